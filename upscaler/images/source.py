"""A picture file as rows for the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.images import libvips
from tilestep.upscaler.images.decode import Decoder, Pixels
from tilestep.upscaler.images.info import PictureInfo
from tilestep.upscaler.images.probe import ReadLimits, probe
from tilestep.upscaler.images.spool import Spool, upright

Strips = list[tuple[int, NDArray[np.uint8]]]

SAMPLE_PIXELS = 1_000_000
STRIP_ROWS = 32
ALIGNMENT = 8


class PictureSource:
    """Upright rows of a file, top to bottom: RGB or RGBA, uint8 or uint16; a `RowSource`.

    Grey is three equal channels (`is_grey`), palettes are resolved, CMYK is converted to sRGB (`converted`), all other
    values are as they are. Files that cannot be read in order are first unpacked into a temporary file in `folder` (the
    system's choice by default); to unpack interlaced PNG, WebP and progressive JPEG their decoders hold the whole
    picture once, in 1 to 4 times as many bytes as it has samples. Use as a context manager, or call `close`.
    """

    def __init__(self, info: PictureInfo, folder: Path | None = None) -> None:
        """Raises InputError when the file is damaged, OutputError when the temporary file cannot be written."""
        self.info, self.width, self.height = info, info.width, info.height
        decoder = Decoder(info)
        self.is_grey = decoder.bands < 3
        self.has_alpha = decoder.bands in (2, 4)
        self.channels = 3 + self.has_alpha
        self.bits = 8 * decoder.dtype.itemsize
        self.converted = info.colour == "cmyk"
        self._rows = _Window(decoder, info.orientation) if info.streams_in_order else None
        self._spool = None if info.streams_in_order else Spool(decoder, info.orientation, folder)
        if self._spool:
            del decoder
            libvips.release_memory()

    def ready(self, stop: int) -> bool:
        """Always: a file can be read at any time."""
        return True

    def read(self, start: int, stop: int) -> Pixels:
        """Rows start..stop, (rows, width, channels). No call may start before an earlier call's start."""
        pixels = (self._spool or self._in_order()).read(start, stop)
        return _in_colour(pixels) if self.is_grey else pixels

    def sample(self, max_pixels: int = SAMPLE_PIXELS) -> Strips:
        """Strips spread over the picture: (first row, a multiple of 8; uint8 RGB (rows, columns, 3)).

        The file is decoded for it once more, unless it lies in a temporary file, so that a file that breaks off is
        found out here. The rows of the source are not used up. Raises InputError.
        """
        if self._spool:
            return list(self._strips(self._spool, max_pixels))
        return list(self._strips(_Window(Decoder(self.info), self.info.orientation), max_pixels))

    def close(self) -> None:
        """Lets go of the file and of the temporary one."""
        self._rows = None
        if self._spool:
            self._spool.close()

    def __enter__(self) -> PictureSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _in_order(self) -> _Window:
        if self._rows is None:
            raise ValueError("the source is closed")
        return self._rows

    def _strips(self, rows: _Window | Spool, max_pixels: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        columns = min(self.width, max(max_pixels // min(self.height, STRIP_ROWS), 1))
        for start, stop in strip_rows(self.width, self.height, max_pixels):
            pixels = rows.read(start, stop)[:, :columns]
            if self.is_grey:
                pixels = _in_colour(pixels)
            yield start, np.ascontiguousarray(pixels[..., :3] if self.bits == 8 else pixels[..., :3] >> 8, np.uint8)


class _Window:
    """Upright rows of a decoder, top to bottom; the newest can be read again."""

    def __init__(self, decoder: Decoder, orientation: int) -> None:
        self._decoder, self._orientation = decoder, orientation
        self._kept: deque[Pixels] = deque()
        self._start = self._stop = 0

    def read(self, start: int, stop: int) -> Pixels:
        if start < self._start:
            raise ValueError(f"row {start} was given up; the first that is left is {self._start}")
        while self._stop < start:
            self._fetch(min(STRIP_ROWS, start - self._stop))
            self._forget(start)
        if self._stop < stop:
            self._fetch(stop - self._stop)
        self._forget(start)
        rows = self._kept[0] if len(self._kept) == 1 else np.concatenate(self._kept)
        return rows[start - self._start : stop - self._start]

    def _fetch(self, rows: int) -> None:
        stored = self._decoder.read(self._stop, self._stop + rows)
        self._kept.append(upright(stored, self._orientation))
        self._stop += rows

    def _forget(self, start: int) -> None:
        while self._kept and self._start + len(self._kept[0]) <= start:
            self._start += len(self._kept.popleft())


def strip_rows(width: int, height: int, max_pixels: int) -> list[tuple[int, int]]:
    """Rows (start, stop) of strips over the whole height that together have about `max_pixels` pixels at most.

    Starts are multiples of 8. A picture that is small enough is one strip.
    """
    if width * height <= max_pixels or height <= STRIP_ROWS:
        return [(0, height)]
    last = (height - STRIP_ROWS) // ALIGNMENT
    count = min(max(max_pixels // (width * STRIP_ROWS), 1), height // (STRIP_ROWS + ALIGNMENT) or 1)
    places = np.linspace(0, last, count) if count > 1 else [last // 2]
    return [(int(place) * ALIGNMENT, int(place) * ALIGNMENT + STRIP_ROWS) for place in places]


def sample_strips(path: Path | str, max_pixels: int = SAMPLE_PIXELS, limits: ReadLimits | None = None) -> Strips:
    """Strips of a file as `PictureSource.sample` cuts them. Raises InputError and OutputError."""
    with PictureSource(probe(path, limits)) as source:
        return source.sample(max_pixels)


def _in_colour(pixels: Pixels) -> Pixels:
    """Grey (rows, width, 1 or 2) as RGB or RGBA."""
    return np.concatenate([pixels[..., :1]] * 3 + [pixels[..., 1:]], axis=2)
