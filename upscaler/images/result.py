"""What a result file will be: decided, and refused, before the work starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.errors import OutputError
from tilestep.upscaler.images import metadata
from tilestep.upscaler.images.decode import Pixels
from tilestep.upscaler.images.encoder import Layout
from tilestep.upscaler.images.exif import UPRIGHT
from tilestep.upscaler.images.info import NAMES, FileFormat
from tilestep.upscaler.images.source import PictureSource

FinishedRows = NDArray[np.float32]

SUFFIXES: dict[str, FileFormat] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
LONGEST_SIDE: dict[FileFormat, int] = {"webp": 16383, "jpeg": 65500, "png": 2**31 - 1, "tiff": 2**32 - 1}
"""Pixels. JPEG's own limit is 65,535, but libjpeg, with which nearly all programs read, ends at 65,500."""
_BT601 = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Result:
    """A file to be written: where, how, and what of the picture it cannot hold (`notes`, a sentence each)."""

    path: Path
    layout: Layout
    notes: tuple[str, ...]

    def samples(self, rows: FinishedRows) -> Pixels:
        """Rows (n, width, 3 or 4), nominally in [0, 1], as the file's samples, rounded and clipped; `rows` is used up.

        Alpha is laid on white where the file has none; grey is BT.601 luma.
        """
        bands = self.layout.bands
        np.clip(rows, 0, 1, out=rows)
        if rows.shape[2] == 4 and bands in (1, 3):
            alpha = rows[..., 3:]
            rows = rows[..., :3] * alpha + (1 - alpha)
        if bands < 3:
            grey = (rows[..., :3] @ _BT601)[..., None]
            rows = grey if bands == 1 else np.concatenate([grey, rows[..., 3:]], axis=2)
        rows *= 2**self.layout.bits - 1
        rows += 0.5
        samples: Pixels = rows.astype(self.layout.dtype)
        return samples


def format_for(path: Path, asked: FileFormat | None = None) -> FileFormat:
    """The format that was asked for, or the one that the name's suffix stands for. Raises OutputError."""
    if asked:
        return asked
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path}: the name does not tell the format. End it in .png, .jpg, .webp or .tif.")
    return SUFFIXES[path.suffix.lower()]


def plan_result(source: PictureSource, path: Path, scale: int, file_format: FileFormat | None = None) -> Result:
    """The result of enlarging `source` by `scale`. Raises OutputError when the format cannot hold it."""
    target = format_for(path, file_format)
    width, height = source.width * scale, source.height * scale
    check_size(path, target, width, height)
    grey = source.is_grey and target != "webp"
    alpha, bits = source.has_alpha and target != "jpeg", source.bits if target in ("png", "tiff") else 8
    turned = source.info.orientation != UPRIGHT
    kept, left_out = metadata.for_result(source.info.metadata, target, (width, height), grey, source.converted, turned)
    notes = ["CMYK was converted to sRGB."] if source.converted else []
    if source.has_alpha and not alpha:
        notes.append("Transparency was laid on white: JPEG has none; PNG keeps it.")
    if bits < source.bits:
        notes.append(f"16 bits per sample became 8: {NAMES[target]} has no more; PNG and TIFF keep them.")
    layout = Layout(target, width, height, (1 if grey else 3) + alpha, bits, kept)
    return Result(path, layout, (*notes, *left_out))


def check_size(path: Path, target: FileFormat, width: int, height: int) -> None:
    """Raises OutputError when a format ends below this size."""
    if max(width, height) > LONGEST_SIDE[target]:
        raise OutputError(
            f"{path}: {width}x{height} pixels do not fit into a {NAMES[target]} file, which ends at "
            f"{LONGEST_SIDE[target]:,} a side. Write PNG instead."
        )
