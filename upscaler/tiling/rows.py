"""Pictures that pass by row by row: what a request reads from and writes to.

Rows run top to bottom, (rows, width, channels); 3 channels are RGB, 4 are RGBA, sRGB, alpha not premultiplied.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.tiling.plan import TileGeometry

SourceRows = NDArray[Any]
FinishedRows = NDArray[np.float32]

BAND_ROWS = 16


class RowSource(Protocol):
    """A picture that is read top to bottom."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def channels(self) -> int: ...

    def ready(self, stop: int) -> bool:
        """Whether the rows before `stop` can be read now; of a file always."""
        ...

    def read(self, start: int, stop: int) -> SourceRows:
        """Rows start..stop, uint8 or uint16. No later call starts before `start`: earlier rows may be forgotten."""
        ...


class RowSink(Protocol):
    """Takes the finished picture top to bottom, at most `BAND_ROWS` rows at a time."""

    def room(self, rows: int) -> bool:
        """Whether so many rows can be taken now; a file always can."""
        ...

    def write(self, rows: FinishedRows) -> None:
        """The next rows, (n, width, channels) float32, nominally in [0, 1] but not clipped; the sink may keep them."""
        ...


class ArraySource:
    """A whole picture in memory, (height, width, 3 or 4), uint8 or uint16."""

    def __init__(self, picture: SourceRows) -> None:
        if picture.ndim != 3 or picture.shape[2] not in (3, 4) or picture.dtype not in (np.uint8, np.uint16):
            raise ValueError("a picture is an array (height, width, 3 or 4) of uint8 or uint16")
        self._picture = picture
        self.height, self.width, self.channels = picture.shape

    def ready(self, stop: int) -> bool:
        return True

    def read(self, start: int, stop: int) -> SourceRows:
        return self._picture[start:stop]


class ArraySink:
    """Collects a picture in memory as float32, so far `rows_written` of its rows."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.picture: FinishedRows = np.zeros((height, width, channels), np.float32)
        self.rows_written = 0

    def room(self, rows: int) -> bool:
        return True

    def write(self, rows: FinishedRows) -> None:
        self.picture[self.rows_written : self.rows_written + len(rows)] = rows
        self.rows_written += len(rows)


class RowPipe:
    """Sink of one request and source of the next: the middle picture of two passes, of which only a band exists.

    Rows are kept as uint16, clipped to [0, 1], and forgotten once read: the reader keeps what it still needs. The
    capacity covers the reader's largest wish, one tile's patch, beside a band that may not fit in yet. So whenever the
    writer finds no room, the reader finds its rows ready, and a chain cannot stand still.
    """

    def __init__(self, width: int, height: int, channels: int, geometry: TileGeometry) -> None:
        self.width, self.height, self.channels = width, height, channels
        self.capacity = geometry.read_px + BAND_ROWS - 1
        self.peak_rows = 0
        self._bands: deque[SourceRows] = deque()
        self._start = self._stop = 0

    def room(self, rows: int) -> bool:
        return self._stop - self._start + rows <= self.capacity

    def write(self, rows: FinishedRows) -> None:
        self._bands.append((np.clip(rows, 0, 1) * 65535 + 0.5).astype(np.uint16))
        self._stop += len(rows)
        self.peak_rows = max(self.peak_rows, self._stop - self._start)

    def ready(self, stop: int) -> bool:
        return stop <= self._stop

    def read(self, start: int, stop: int) -> SourceRows:
        """Rows start..stop, uint16; start is at or after the stop of every earlier read."""
        if start < self._start or stop > self._stop:
            raise ValueError(f"rows {start} to {stop} asked for, {self._start} to {self._stop} are there")
        self._forget(start)
        rows = self._take(stop - start)
        self._start = stop
        return rows

    def _forget(self, start: int) -> None:
        self._take(start - self._start)
        self._start = start

    def _take(self, count: int) -> SourceRows:
        taken = [np.empty((0, self.width, self.channels), np.uint16)]
        while count:
            band = self._bands.popleft()
            if len(band) > count:
                self._bands.appendleft(band[count:])
            taken.append(band[:count])
            count -= len(taken[-1])
        return np.concatenate(taken)
