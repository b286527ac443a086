"""Collects finished tiles in any order and passes the blended picture on as row bands.

Only the rows of tiles that are still being written exist, two bytes a sample. A band is blended when it is passed on,
tiles always in the same order, so that the order in which they were finished cannot change a bit of the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.tiling.blend import Weights, axis_weights
from tilestep.upscaler.tiling.fixed import MIDDLE, STEPS_PER_UNIT, FixedPixels
from tilestep.upscaler.tiling.pages import on_own_pages
from tilestep.upscaler.tiling.plan import Span, Tile, TilePlan
from tilestep.upscaler.tiling.rows import BAND_ROWS, FinishedRows, RowSink

MIN_OPEN_ROWS = 2
WINDOW_BYTES = 16 * 2**20


@dataclass(frozen=True)
class _Block:
    """Pixels of one tile from column `left` on, and the share of each column."""

    left: int
    weights: Weights
    pixels: FixedPixels


@dataclass
class _Strip:
    """One row of tiles from output row `top` on, and the share of each row; `room` (tiles, rows, columns, channels)."""

    top: int
    weights: Weights
    room: FixedPixels
    blocks: dict[int, _Block] = field(default_factory=dict)

    def add(self, column: int, left: int, weights: Weights, pixels: FixedPixels) -> None:
        """Keeps a copy of what a tile writes."""
        mine = self.room[column, :, : len(weights)]
        mine[:] = pixels
        self.blocks[column] = _Block(left, weights, mine)

    def add_to(self, band: NDArray[np.float32], start: int) -> None:
        """Adds this strip's share to the rows start.. of the picture."""
        stop = min(start + len(band), self.top + len(self.weights))
        first = max(start, self.top)
        if first >= stop:
            return
        mine = slice(first - self.top, stop - self.top)
        down = self.weights[mine, None, None] * np.float32(1 / STEPS_PER_UNIT)
        target = band[first - start : stop - start]
        for column in range(len(self.blocks)):
            block = self.blocks[column]
            share = down * block.weights[:, None]
            target[:, block.left : block.left + len(block.weights)] += block.pixels[mine] * share

    def tail(self, rows: int) -> _Strip:
        """The last rows alone, which the next row of tiles writes too."""
        first = len(self.weights) - rows
        tail = _Strip(self.top + first, self.weights[first:], on_own_pages(self.room[:, first:].shape))
        for column, block in self.blocks.items():
            tail.add(column, block.left, block.weights, block.pixels[first:])
        return tail


class Canvas:
    """The part of a result that is being written, (scale * height, scale * width, channels).

    Tiles may lie in the first unfinished row of tiles and the row after it; in a narrow picture in more, as far as
    `window_bytes` go.
    """

    def __init__(self, plan: TilePlan, channels: int, scale: int, window_bytes: int = WINDOW_BYTES) -> None:
        self._plan, self._channels, self._scale = plan, channels, scale
        row_bytes = 2 * channels * scale**2 * plan.geometry.core_px**2 * plan.columns
        self._open_rows = max(MIN_OPEN_ROWS, window_bytes // row_bytes)
        self._strips: dict[int, _Strip] = {}
        self._before: _Strip | None = None
        self._row = self._next = 0

    @property
    def finished(self) -> bool:
        """Whether the last row has been passed on."""
        return self._row == self._plan.rows

    @property
    def held_bytes(self) -> int:
        """Memory of the pixels that wait here."""
        strips = [*self._strips.values(), *([self._before] if self._before else [])]
        return sum(block.pixels.nbytes for strip in strips for block in strip.blocks.values())

    def has_room(self, row: int) -> bool:
        """Whether tiles of this row of tiles may be begun."""
        return row < self._row + self._open_rows

    def put(self, tile: Tile, pixels: FixedPixels) -> None:
        """Takes a tile's core, (scale * core, scale * core, channels) encoded; what hangs over the border is cut."""
        strip = self._strips.get(tile.row) or self._strips.setdefault(tile.row, self._strip(tile.y))
        rows, columns = (self._inside(span) for span in (tile.y, tile.x))
        weights = axis_weights(tile.x, self._plan.geometry.overlap_px, self._scale)
        strip.add(tile.column, self._scale * tile.x.written.start, weights, pixels[rows, columns])

    def flush(self, sink: RowSink) -> None:
        """Passes on what is complete, as far as the sink has room."""
        while self._row in self._strips and len(self._strips[self._row].blocks) == self._plan.columns:
            stop = self._scale * self._plan.y_axis.finished(self._row).stop
            while self._next < stop:
                rows = min(BAND_ROWS, stop - self._next)
                if not sink.room(rows):
                    return
                sink.write(self._band(rows))
                self._next += rows
            self._before = self._strips.pop(self._row).tail(self._scale * self._plan.geometry.overlap_px)
            self._row += 1

    def _band(self, rows: int) -> FinishedRows:
        band = np.zeros((rows, self._scale * self._plan.width, self._channels), np.float32)
        if self._before:
            self._before.add_to(band, self._next)
        self._strips[self._row].add_to(band, self._next)
        band += np.float32(MIDDLE)
        return band

    def _strip(self, span: Span) -> _Strip:
        weights = axis_weights(span, self._plan.geometry.overlap_px, self._scale)
        widest = self._scale * self._plan.geometry.core_px
        room = on_own_pages((self._plan.columns, len(weights), widest, self._channels))
        return _Strip(self._scale * span.written.start, weights, room)

    def _inside(self, span: Span) -> slice:
        start = self._scale * (span.written.start - span.core.start)
        return slice(start, start + self._scale * len(span.written))
