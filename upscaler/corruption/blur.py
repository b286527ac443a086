"""Blur from a picture's strongest edges.

An edge that is a step smoothed by a Gaussian of variance v loses slope by the ratio sqrt(1 + w/v) when it is smoothed
again by one of variance w, which tells v: S. Zhuo and T. Sim, "Defocus map estimation from a single image", Pattern
Recognition 44(9), 2011. Only the strongest slopes are asked, because a sharp picture may be soft anywhere else (shallow
depth of field, gradients) while a blurred one has no sharp edge at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

STRONGEST_EDGES = 50
LEAST_SLOPE = 28.0
SHARP_VARIANCE = 0.09
LEAST_VARIANCE = 0.5
MAX_PIECES = 64
PIECE_PX = 128
_REACH = 4
_PERCENTILE = 25
_BT601 = (0.299, 0.587, 0.114)


def blur_sigma(strips: Sequence[tuple[int, NDArray[np.uint8]]], dejpeg: float) -> float:
    """Standard deviation in pixels, 0..3, of the Gaussian blur of a picture; 0 without clear evidence.

    `strips` are whole rows: (first row, uint8 RGB (rows, width, 3)); `dejpeg` in [0, 1] is how strongly the picture was
    compressed after the blur: that makes blurred edges look sharper, and is reckoned with.
    """
    variance = edge_variance(strips)
    if variance is None or variance < LEAST_VARIANCE + 0.15 * dejpeg:
        return 0.0
    kept_by_jpeg = max(0.9 - 0.8 * dejpeg, 0.2)
    return min(float(np.sqrt((variance - SHARP_VARIANCE) / kept_by_jpeg)), 3.0)


def edge_variance(strips: Sequence[tuple[int, NDArray[np.uint8]]]) -> float | None:
    """Variance in square pixels, 0 for an ideal step, that the sharper of the strongest edges have.

    None where there are too few edges or their slopes are too weak to be judged.
    """
    found = [_edges(piece) for piece in _pieces(strips)]
    if not found:
        return None
    slopes, variances = (np.concatenate(parts) for parts in zip(*found, strict=True))
    strongest = np.argsort(-slopes)[:STRONGEST_EDGES]
    if len(strongest) < STRONGEST_EDGES or slopes[strongest[-1]] < LEAST_SLOPE:
        return None
    return float(np.percentile(variances[strongest], _PERCENTILE))


def _pieces(strips: Sequence[tuple[int, NDArray[np.uint8]]]) -> Iterator[NDArray[np.float32]]:
    """Luma of at most `MAX_PIECES` squares of at most 128 pixels, spread evenly over the strips."""
    corners = [
        (rows, top, left)
        for _, rows in strips
        for top in range(0, rows.shape[0], PIECE_PX)
        for left in range(0, rows.shape[1], PIECE_PX)
    ]
    for index in np.unique(np.linspace(0, max(len(corners) - 1, 0), MAX_PIECES).astype(int))[: len(corners)]:
        rows, top, left = corners[index]
        piece = rows[top : top + PIECE_PX + 2 * _REACH, left : left + PIECE_PX + 2 * _REACH]
        if min(piece.shape[:2]) > 2 * _REACH + 3:
            yield piece.astype(np.float32) @ np.array(_BT601, dtype=np.float32)


def _edges(luma: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slopes in levels per pixel and variances of all edges, across and down."""
    again = _smoothed(_smoothed(luma).T).T
    inner = luma[_REACH:-_REACH, _REACH:-_REACH]
    slopes, variances = zip(_edges_across(inner, again), _edges_across(inner.T, again.T), strict=True)
    return np.concatenate(slopes), np.concatenate(variances)


def _edges_across(
    luma: NDArray[np.float32], smoothed: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    slope = np.abs(np.diff(luma, axis=1))
    crest = (slope[:, 1:-1] > slope[:, :-2]) & (slope[:, 1:-1] >= slope[:, 2:])
    sharp = slope[:, 1:-1][crest]
    soft = np.abs(np.diff(smoothed, axis=1))[:, 1:-1][crest]
    ratio = sharp / np.maximum(soft, 1e-3)
    return sharp, (1 / np.maximum(ratio**2 - 1, 1e-3)).astype(np.float32)


def _smoothed(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows smoothed by a Gaussian of variance 1; 4 columns shorter at either end."""
    offsets = np.arange(-_REACH, _REACH + 1)
    weights = np.exp(-(offsets**2) / 2)
    columns = luma.shape[1] - 2 * _REACH
    parts = [w * luma[:, i : i + columns] for i, w in enumerate((weights / weights.sum()).astype(np.float32))]
    total: NDArray[np.float32] = np.sum(parts, axis=0, dtype=np.float32)
    return total
