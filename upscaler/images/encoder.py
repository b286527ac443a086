"""What the writers of the formats have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from tilestep.upscaler.images.decode import Pixels
from tilestep.upscaler.images.info import FileFormat, Metadata

BAND_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """A picture to be written: `bands` are grey, grey and alpha, RGB, or RGBA; `bits` 8 or 16 per sample."""

    format: FileFormat
    width: int
    height: int
    bands: int
    bits: int
    metadata: Metadata

    @property
    def dtype(self) -> np.dtype[np.uint8 | np.uint16]:
        """Of the samples."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, uncompressed."""
        return self.width * self.bands * self.bits // 8

    def band_rows(self, multiple: int = 1) -> int:
        """Rows that are compressed together: about `BAND_BYTES`, a multiple of `multiple`."""
        return max(BAND_BYTES // self.row_bytes // multiple, 1) * multiple


@dataclass(frozen=True)
class Band:
    """Rows that are compressed together, (rows, width, bands), and the row above them, zeros at the top."""

    rows: Pixels
    above: Pixels
    is_last: bool


class Encoder(Protocol):
    """Writes one file. `begin`, `append` and `end` come in order; `compress` may run on other threads meanwhile."""

    @property
    def band_rows(self) -> int:
        """Rows of every band but the last."""
        ...

    def begin(self, file: BinaryIO) -> None:
        """Writes what comes before the pixels."""
        ...

    def compress(self, band: Band) -> bytes:
        """The band as it goes into the file; keeps nothing and changes nothing."""
        ...

    def append(self, file: BinaryIO, compressed: bytes) -> None:
        """Writes the next band."""
        ...

    def end(self, file: BinaryIO) -> None:
        """Writes what comes after the pixels."""
        ...
