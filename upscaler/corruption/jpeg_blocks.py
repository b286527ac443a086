"""DCT coefficients of a picture's 8x8 blocks, whatever the phase of the block grid.

Brightness is BT.601 luma in 0..255 rounded to integers, which undoes the rounding of YCbCr -> RGB: what is left of a
decoded JPEG's luma is exactly its inverse DCT, rounded. Where a colour is clipped to 0 or 255 that does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

BLOCK_PX = 8
BLOCK_PIXELS = BLOCK_PX * BLOCK_PX
PHASES = BLOCK_PX * BLOCK_PX
WINDOW_PX = 2 * BLOCK_PX - 1
LEAST_RANGE = 2.0
MOST_CELL_BORDERS = 2
_MIDDLE_GREY = 128.0
_BT601 = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Windows:
    """Squares of 15x15 pixels at rows and columns that are multiples of 8: each holds one block of any phase.

    `luma` (n, 15, 15) in 0..255; `unfit` (n, 15, 15) is 0 for a sound pixel, 1 where a channel is 0 or 255, and 64 for
    one that lies outside the picture.
    """

    luma: NDArray[np.float32]
    unfit: NDArray[np.uint8]

    def blocks(self, phase: int, most_clipped: int) -> NDArray[np.float32]:
        """Luma of the blocks, (m, 64), on the grid whose lines lie at `phase` = 8 * row + column.

        Left out: blocks with more than `most_clipped` clipped pixels, and those that consist of few flat cells.
        """
        rows, columns = (slice(start, start + BLOCK_PX) for start in divmod(phase, BLOCK_PX))
        clipped = self.unfit[:, rows, columns].sum(axis=(1, 2), dtype=np.int64)
        luma = self.luma[clipped <= most_clipped, rows, columns]
        return luma[_has_detail(luma)].reshape(-1, BLOCK_PIXELS)

    def thinned(self, limit: int) -> Windows:
        """At most `limit` windows, spread evenly over those that are not flat."""
        textured = np.flatnonzero(np.ptp(self.luma, axis=(1, 2)) >= LEAST_RANGE)
        kept = textured[_evenly(len(textured), limit)]
        return Windows(self.luma[kept], self.unfit[kept])

    def usable(self, most_clipped: int) -> NDArray[np.bool_]:
        """Which blocks `blocks` would not leave out, (64 phases, n)."""
        changes = [_sums(np.diff(self.luma, axis=axis) != 0, axis=3 - axis) > 0 for axis in (2, 1)]
        cells = [_sums(changed, axis, BLOCK_PX - 1) for changed, axis in zip(changes, (2, 1), strict=True)]
        fits = (np.maximum(*cells) > MOST_CELL_BORDERS) & (_sums(_sums(self.unfit, 1), 2) <= most_clipped)
        by_phase: NDArray[np.bool_] = fits.reshape(len(self.luma), PHASES).T
        return by_phase

    def coefficients(self) -> NDArray[np.float32]:
        """`coefficients` of the blocks of every phase, (64 phases, 64 frequencies, n)."""
        centred = self.luma - np.float32(_MIDDLE_GREY)
        across = np.ascontiguousarray((centred @ _every_phase()).transpose(0, 2, 1))
        both = (across @ _every_phase()).reshape(-1, *[BLOCK_PX] * 4)
        by_phase = both.transpose(3, 1, 4, 2, 0).reshape(PHASES, BLOCK_PIXELS, -1)
        return by_phase.astype(np.float32, copy=False)


def _has_detail(blocks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of (n, 8, 8) are more than a few flat cells, as enlarged pixels and flat shapes give."""
    across = (np.diff(blocks, axis=2) != 0).any(axis=1).sum(axis=1)
    down = (np.diff(blocks, axis=1) != 0).any(axis=2).sum(axis=1)
    detailed: NDArray[np.bool_] = np.maximum(across, down) > MOST_CELL_BORDERS
    return detailed


def cut_windows(strips: Sequence[tuple[int, NDArray[np.uint8]]], limit: int) -> Windows:
    """At most `limit` windows, spread evenly over strips of whole rows: (first row, uint8 RGB (rows, width, 3))."""
    grids = [_window_grid(first_row, rows) for first_row, rows in strips if rows.size]
    counts = [grid.shape[0] * grid.shape[1] for grid in grids]
    chosen = _evenly(sum(counts), limit)
    parts = [np.zeros((0, 4, WINDOW_PX, WINDOW_PX), dtype=np.uint8)]
    for grid, end, count in zip(grids, np.cumsum(counts), counts, strict=True):
        own = chosen[(chosen >= end - count) & (chosen < end)] - (end - count)
        parts.append(grid[np.divmod(own, grid.shape[1])])
    pixels = np.concatenate(parts)
    colours, outside = pixels[:, :3], pixels[:, 3]
    luma = np.rint(np.tensordot(colours.astype(np.float32), np.array(_BT601, dtype=np.float32), axes=(1, 0)))
    clipped = ((colours == 0) | (colours == 255)).any(axis=1)
    return Windows(luma, np.maximum(clipped, outside))


def _window_grid(first_row: int, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """View (down, across, 4, 15, 15) of every window: the colours, and 64 for a pixel that lies outside the strip."""
    height, width = rows.shape[:2]
    above = first_row % BLOCK_PX
    down, across = -(-(above + height) // BLOCK_PX), -(-width // BLOCK_PX)
    padded = np.zeros((4, (down + 1) * BLOCK_PX - 1, (across + 1) * BLOCK_PX - 1), dtype=np.uint8)
    padded[3] = BLOCK_PIXELS
    padded[:3, above : above + height, :width] = rows.transpose(2, 0, 1)
    padded[3, above : above + height, :width] = 0
    every: NDArray[np.uint8] = sliding_window_view(padded, (WINDOW_PX, WINDOW_PX), axis=(1, 2))
    return every[:, ::BLOCK_PX, ::BLOCK_PX].transpose(1, 2, 0, 3, 4)


def coefficients(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 64) luma in row order to the coefficients of JPEG's orthonormal DCT-II in row order."""
    transformed: NDArray[np.float32] = np.matmul(blocks - np.float32(_MIDDLE_GREY), _dct_matrix(), dtype=np.float32)
    return transformed


@cache
def _dct_matrix() -> NDArray[np.float32]:
    return np.kron(_basis(), _basis()).T.astype(np.float32)


def _basis() -> NDArray[np.float64]:
    """JPEG's DCT of 8 values, (frequencies, places)."""
    n = np.arange(BLOCK_PX)
    basis: NDArray[np.float64] = np.cos((2 * n[None, :] + 1) * n[:, None] * np.pi / (2 * BLOCK_PX)) / 2
    basis[0] = np.sqrt(1 / BLOCK_PX)
    return basis


@cache
def _every_phase() -> NDArray[np.float32]:
    """The DCT of a window's 15 values from each of 8 starts on, (15, 8 starts * 8 frequencies)."""
    matrix = np.zeros((WINDOW_PX, BLOCK_PX, BLOCK_PX))
    for start in range(BLOCK_PX):
        matrix[start : start + BLOCK_PX, start] = _basis().T
    return matrix.reshape(WINDOW_PX, -1).astype(np.float32)


def _sums(values: NDArray[Any], axis: int, length: int = BLOCK_PX) -> NDArray[np.int64]:
    """Sums of `length` values in a row along an axis, from every start."""
    totals = np.insert(values.cumsum(axis, dtype=np.int64), 0, 0, axis)
    count = values.shape[axis] - length + 1
    sums: NDArray[np.int64] = totals.take(range(length, length + count), axis) - totals.take(range(count), axis)
    return sums


def _evenly(count: int, limit: int) -> NDArray[np.intp]:
    if count <= limit:
        return np.arange(count)
    return (np.arange(limit) * (count / limit)).astype(np.intp)
