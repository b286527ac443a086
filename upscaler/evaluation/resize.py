"""MATLAB's `imresize` for 8-bit pictures: how test pictures are halved, and the enlargements to be beaten.

A kernel (bicubic of Keys 1981 with a = -0.5, or Lanczos with three lobes) is laid over each new pixel; when the picture
shrinks it is stretched by the factor, which removes what the smaller picture cannot show. Beyond the border the
picture is its own mirror image (the edge pixel twice). Rows and columns are done in two passes, the smaller scale first
(equal scales: vertical first), and each pass ends in 8-bit values, halves rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kernel:
    """An interpolation kernel: `weight(distance in pixels)`, nothing beyond `width / 2`."""

    name: str
    width: float
    weight: Callable[[Floats], Floats]


def _cubic(distance: Floats) -> Floats:
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _lanczos3(distance: Floats) -> Floats:
    return np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)


BICUBIC = Kernel("bicubic", 4.0, _cubic)
LANCZOS3 = Kernel("Lanczos-3", 6.0, _lanczos3)


def halve(picture: Picture) -> Picture:
    """Halves (H, W, 3) uint8 to (ceil(H/2), ceil(W/2), 3), antialiased bicubic."""
    return resize(picture, 0.5, BICUBIC)


def enlarge(picture: Picture, factor: int = 2, kernel: Kernel = BICUBIC) -> Picture:
    """Enlarges (H, W, 3) uint8 to (factor H, factor W, 3)."""
    return resize(picture, float(factor), kernel)


def resize(picture: Picture, scale: float | tuple[float, float], kernel: Kernel = BICUBIC) -> Picture:
    """MATLAB's `imresize(picture, scale)` of (H, W, C) uint8; `scale` may differ as (vertical, horizontal).

    A side of n pixels becomes ceil(scale * n).
    """
    scales = scale if isinstance(scale, tuple) else (scale, scale)
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        length = math.ceil(scales[axis] * picture.shape[axis])
        picture = _resize_axis(picture, axis, length, scales[axis], kernel)
    return picture


def _resize_axis(picture: Picture, axis: int, length: int, scale: float, kernel: Kernel) -> Picture:
    weights, sources = _taps(picture.shape[axis], length, scale, kernel)
    lines = np.ascontiguousarray(picture.swapaxes(0, axis))
    total = np.full((length, *lines.shape[1:]), 0.5, np.float32)
    for tap in range(weights.shape[1]):
        total += lines[sources[:, tap]] * weights[:, tap, None, None]
    return np.ascontiguousarray(total.clip(0, 255, out=total).astype(np.uint8).swapaxes(0, axis))


@lru_cache(maxsize=32)
def _taps(
    length_in: int, length_out: int, scale: float, kernel: Kernel
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each new pixel the weights (length_out, taps), which sum to 1, and the pixels they apply to.

    At the factors 2, 4, 8 and their inverses the bicubic weights are multiples of a power of two,
    so that float32 sums are exact and no rounding depends on the machine.
    """
    stretch = min(scale, 1.0)
    width = kernel.width / stretch
    centre = (np.arange(length_out) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(np.int64)
    positions = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = kernel.weight(stretch * (centre[:, None] - positions))
    weights /= weights.sum(1, keepdims=True)
    used = (weights != 0).any(0)
    return weights[:, used].astype(np.float32), _mirror(positions[:, used], length_in)


def _mirror(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Pixels outside 0..length-1 reflected into it, the edge pixel repeated, as often as needed."""
    phase = positions % (2 * length)
    return np.minimum(phase, 2 * length - 1 - phase)
