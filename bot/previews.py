"""Pictures shown small: of a finished file, of one that is still being made, and several side by side."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

from tilestep.bot.threads import Overdue, Patience, run_bounded
from tilestep.upscaler.errors import OutputError
from tilestep.upscaler.images import libvips
from tilestep.upscaler.images.sink import unwritable
from tilestep.upscaler.tiling.rows import FinishedRows, RowSink

LONGEST_PX = 512
QUALITY = 80
LIMIT_S = 60.0
COMPRESSION_LEVEL = 2
_UNMADE = 0x80


class PreviewSink:
    """Passes rows on and keeps a small copy of them; grey where no row came yet. A `RowSink`."""

    def __init__(self, sink: RowSink, width: int, height: int, longest_px: int = LONGEST_PX) -> None:
        self._sink, self._step = sink, max(math.ceil(max(width, height) / longest_px), 1)
        self._small = np.full((max(height // self._step, 1), max(width // self._step, 1), 3), _UNMADE, np.uint8)
        self._rows = 0

    def room(self, rows: int) -> bool:
        return self._sink.room(rows)

    def write(self, rows: FinishedRows) -> None:
        first = -self._rows % self._step
        height, width, _ = self._small.shape
        at = (self._rows + first) // self._step
        picked = rows[first :: self._step, :: self._step][: max(height - at, 0), :width]
        self._small[at : at + len(picked)] = _on_white(picked)
        self._rows += len(rows)
        self._sink.write(rows)

    def picture(self) -> NDArray[np.uint8]:
        """What there is so far, (rows, width, 3)."""
        return self._small.copy()


async def preview(picture: Path | NDArray[np.uint8], longest_px: int = LONGEST_PX) -> bytes:
    """A JPEG of at most `longest_px` a side, of a file of ours or of pixels (rows, width, 3). Raises OutputError."""
    try:
        return await run_bounded(lambda patience: _preview(picture, longest_px), LIMIT_S)
    except Overdue as error:
        raise OutputError("Making the preview took too long.") from error


async def grid(paths: Sequence[Path], target: Path) -> Path:
    """Pictures of ours side by side, as near to a square as their number allows, as a PNG file. Raises OutputError."""
    try:
        return await run_bounded(lambda patience: _grid(paths, target, patience), LIMIT_S)
    except Overdue as error:
        raise OutputError("Putting the pictures side by side took too long: ask for fewer or smaller ones.") from error


def _preview(picture: Path | NDArray[np.uint8], longest_px: int) -> bytes:
    libvips.prepare()
    try:
        if isinstance(picture, Path):
            small = pyvips.Image.thumbnail(os.fsencode(picture), longest_px, height=longest_px, size="down")
        else:
            small = pyvips.Image.new_from_array(picture).thumbnail_image(longest_px, height=longest_px, size="down")
        if small.hasalpha():
            small = small.flatten(background=255)
        data: bytes = small.jpegsave_buffer(Q=QUALITY, keep="none")
    except pyvips.Error as error:
        raise OutputError(str(libvips.damaged(error))) from error
    return data


def _grid(paths: Sequence[Path], target: Path, patience: Patience) -> Path:
    libvips.prepare()
    temporary = target.with_name(f".tilestep-{secrets.token_hex(6)}.part")
    try:
        pictures = [pyvips.Image.pngload(os.fsencode(path), access="sequential") for path in paths]
        joined = pyvips.Image.arrayjoin(pictures, across=math.ceil(math.sqrt(len(pictures))))
        joined.pngsave(os.fsencode(temporary), compression=COMPRESSION_LEVEL, keep="none")
        patience.check()
        temporary.replace(target)
    except pyvips.Error as error:
        raise OutputError(str(libvips.damaged(error))) from error
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _on_white(rows: FinishedRows) -> NDArray[np.uint8]:
    rows = np.clip(rows, 0, 1)
    if rows.shape[2] == 4:
        rows = rows[..., :3] * rows[..., 3:] + (1 - rows[..., 3:])
    return (rows * 255 + 0.5).astype(np.uint8)
