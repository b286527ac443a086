"""A picture on disk, uncompressed and upright: for files whose rows do not come in order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tilestep.upscaler.errors import OutputError
from tilestep.upscaler.images.decode import Decoder, Pixels
from tilestep.upscaler.images.info import SWAPS_SIDES

BAND_BYTES = 4 << 20
_TURNED_LEFT_RIGHT = frozenset({2, 3, 6, 7})
_TURNED_UPSIDE_DOWN = frozenset({3, 4, 7, 8})


def upright(stored: Pixels, orientation: int) -> Pixels:
    """A view of pixels (rows, columns, bands) as EXIF's `orientation` means them to be seen."""
    if orientation in SWAPS_SIDES:
        stored = stored.swapaxes(0, 1)
    if orientation in _TURNED_LEFT_RIGHT:
        stored = stored[:, ::-1]
    return stored[::-1] if orientation in _TURNED_UPSIDE_DOWN else stored


class Spool:
    """All rows of a picture, upright, in a temporary file that has no name and so vanishes whatever happens."""

    def __init__(self, decoder: Decoder, orientation: int, folder: Path | None = None) -> None:
        """Decodes the whole picture into the file, a band at a time. Raises InputError and OutputError."""
        swaps = orientation in SWAPS_SIDES
        self.width, self.height = (decoder.height, decoder.width) if swaps else (decoder.width, decoder.height)
        self._orientation, self._dtype, self._bands = orientation, decoder.dtype, decoder.bands
        self._pixel_bytes = decoder.bands * decoder.dtype.itemsize
        try:
            self._file = tempfile.TemporaryFile(dir=folder, prefix="tilestep-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _unwritable(decoder.path, error) from error
        try:
            self._fill(decoder)
        except OSError as error:
            self.close()
            raise _unwritable(decoder.path, error) from error
        except BaseException:
            self.close()
            raise

    def read(self, start: int, stop: int) -> Pixels:
        """Rows start..stop, (rows, width, bands), in any order of calls."""
        self._file.seek(start * self.width * self._pixel_bytes)
        pixels = np.empty((stop - start, self.width, self._bands), self._dtype)
        view = pixels.data.cast("B")
        while view.nbytes:
            count = self._file.readinto(view)
            if not count:
                raise OutputError("The temporary copy of the picture was cut short while it was in use. Try again.")
            view = view[count:]
        return pixels

    def close(self) -> None:
        """Removes the file."""
        self._file.close()

    def _fill(self, decoder: Decoder) -> None:
        rows = max(BAND_BYTES // (decoder.width * self._pixel_bytes) // 16 * 16, 16)
        for start in range(0, decoder.height, rows):
            stop = min(start + rows, decoder.height)
            self._put(decoder.read(start, stop), start, stop)

    def _put(self, band: Pixels, start: int, stop: int) -> None:
        """Writes stored rows start..stop where the upright picture has them: whole rows, or a piece of every row."""
        turned = np.ascontiguousarray(upright(band, self._orientation))
        if self._orientation not in SWAPS_SIDES:
            first = self.height - stop if self._orientation in _TURNED_UPSIDE_DOWN else start
            self._write(turned, first * self.width)
            return
        first = self.width - stop if self._orientation in _TURNED_LEFT_RIGHT else start
        for row, piece in enumerate(turned):
            self._write(piece, row * self.width + first)

    def _write(self, pixels: Pixels, pixel: int) -> None:
        self._file.seek(pixel * self._pixel_bytes)
        view = pixels.data.cast("B")
        while view.nbytes:
            view = view[self._file.write(view) :]


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: the temporary copy of the picture cannot be written ({error.strerror}). Free some disk space, or set "
        "TMPDIR to a folder that has some."
    )
