"""The band of source rows that a request's next tiles look at, and the patches cut from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.tiling.plan import Span, Tile, reflected
from tilestep.upscaler.tiling.rows import RowSource, SourceRows


class SourceBand:
    """Reads a source as tile rows ask for it, each row once, and keeps no more than one tile row's rows."""

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self._rows: SourceRows | None = None
        self._start = self._stop = 0

    @property
    def held_rows(self) -> int:
        """Rows in memory now."""
        return self._stop - self._start

    def ready(self, span: Span) -> bool:
        """Whether the rows of a tile row, given by its vertical span, are here or can be read now."""
        return span.visible.stop <= self._stop or self._source.ready(span.visible.stop)

    def patch(self, tile: Tile) -> NDArray[np.float32]:
        """What the network sees of a tile, (read, read, channels) in [0, 1]; beyond the border by reflection.

        Tiles are asked for row by row. Whatever the source raises passes through.
        """
        rows = self._advance(tile.y.visible)
        down = np.array(reflected(tile.y.read, tile.y.visible)) - self._start
        across = np.array(reflected(tile.x.read, tile.x.visible))
        patch = rows[down[:, None], across[None, :]]
        scaled: NDArray[np.float32] = patch.astype(np.float32) / np.float32(np.iinfo(patch.dtype).max)
        return scaled

    def _advance(self, wanted: range) -> SourceRows:
        if self._rows is None:
            self._rows = self._read(wanted.start, wanted.stop).copy()
        elif wanted.stop > self._stop:
            kept = self._rows[max(0, wanted.start - self._start) :]
            self._rows = np.concatenate([kept, self._read(max(self._stop, wanted.start), wanted.stop)])
        self._stop = max(self._stop, wanted.stop)
        self._start = self._stop - len(self._rows)
        return self._rows

    def _read(self, start: int, stop: int) -> SourceRows:
        rows = self._source.read(start, stop)
        if rows.shape != (stop - start, self._source.width, self._source.channels):
            raise ValueError(f"the source gave rows of shape {rows.shape} for rows {start} to {stop}")
        return rows
