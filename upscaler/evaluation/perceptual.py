"""Perceptual measures without learned weights, each from its paper: HaarPSI and GMSD.

Pictures are (H, W, 3) uint8 sRGB with values 0..255. Both papers halve the picture first (mean of 2x2, every second
sample), which stands for the distance from which a picture is looked at. Filters keep the size; outside is zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
HAARPSI_C = 30.0
HAARPSI_ALPHA = 4.2
HAARPSI_SCALES = (2, 4, 8)
GMSD_C = 170.0


def haarpsi(output: Picture, reference: Picture) -> float:
    """Haar wavelet-based perceptual similarity index, in [0, 1]; 1 is identical.

    Reisenhofer, Bosse, Kutyniok and Wiegand 2018 (Signal Processing: Image Communication 61), the colour form: in
    YIQ, similarities of the two finest Haar scales, weighted by the coarsest one; horizontal, vertical and chroma.
    """
    x, y = _halved_yiq(output), _halved_yiq(reference)
    similarities, weights = [], []
    for axis in (0, 1):
        fine_x, coarse_x = _haar_magnitudes(x[0], axis)
        fine_y, coarse_y = _haar_magnitudes(y[0], axis)
        similarities.append(np.mean([_similarity(a, b, HAARPSI_C) for a, b in zip(fine_x, fine_y, strict=True)], 0))
        weights.append(np.maximum(coarse_x, coarse_y))
    chroma = [
        _similarity(np.abs(_box(a, 2)) / 4, np.abs(_box(b, 2)) / 4, HAARPSI_C)
        for a, b in zip(x[1:], y[1:], strict=True)
    ]
    similarities.append(np.mean(chroma, 0))
    weights.append(np.mean(weights, 0))
    return _pooled(np.stack(similarities), np.stack(weights))


def gmsd(output: Picture, reference: Picture) -> float:
    """Gradient magnitude similarity deviation, 0 is identical, rarely above 0.4.

    Xue, Zhang, Mou and Bovik 2014 (IEEE TIP 23(2)): standard deviation of the similarity of Prewitt gradient
    magnitudes of the grey picture (0.299 R + 0.587 G + 0.114 B).
    """
    x, y = (_gradient_magnitude(_halve_plane(picture.astype(np.float64) @ YIQ[0])) for picture in (output, reference))
    return float(np.std(_similarity(x, y, GMSD_C)))


def _similarity(a: Floats, b: Floats, c: float) -> Floats:
    return (2 * a * b + c) / (a * a + b * b + c)


def _pooled(similarities: Floats, weights: Floats) -> float:
    """Weighted mean of the similarities' logistic images, mapped back and squared."""
    total = float(weights.sum())
    if total == 0:  # nothing but one flat colour: no weight anywhere, so every pixel counts alike
        weights, total = np.ones_like(weights), float(weights.size)
    mean = float((weights / (1 + np.exp(-HAARPSI_ALPHA * similarities))).sum()) / total
    return float((np.log(mean / (1 - mean)) / HAARPSI_ALPHA) ** 2)


def _haar_magnitudes(plane: Floats, axis: int) -> tuple[list[Floats], Floats]:
    """Magnitudes of Haar details across `axis`: (the two finest scales, the coarsest scale), each (H, W)."""
    details = []
    for size in HAARPSI_SCALES:
        signs = np.repeat((-1.0, 1.0), size // 2) / size
        kernel = (signs, np.ones(size)) if axis == 0 else (np.ones(size), signs)
        details.append(np.abs(_filter(plane, *kernel)))
    return details[:-1], details[-1]


def _gradient_magnitude(plane: Floats) -> Floats:
    slope, mean = np.array([1.0, 0.0, -1.0]), np.full(3, 1 / 3)
    return np.asarray(np.hypot(_filter(plane, slope, mean), _filter(plane, mean, slope)))


def _halved_yiq(picture: Picture) -> list[Floats]:
    planes = np.moveaxis(picture.astype(np.float64) @ YIQ.T, 2, 0)
    return [_halve_plane(plane) for plane in planes]


def _halve_plane(plane: Floats) -> Floats:
    return _box(plane, 2)[::2, ::2] / 4


def _box(plane: Floats, size: int) -> Floats:
    return _filter(plane, np.ones(size), np.ones(size))


def _filter(plane: Floats, vertical: Floats, horizontal: Floats) -> Floats:
    """Convolution with the product of two one-dimensional kernels, same size, zeros outside (MATLAB's conv2 'same')."""
    return _filter_axis(_filter_axis(plane, vertical, 0), horizontal, 1)


def _filter_axis(plane: Floats, kernel: Floats, axis: int) -> Floats:
    after = len(kernel) // 2
    padding = [(0, 0), (0, 0)]
    padding[axis] = (len(kernel) - 1 - after, after)
    lines = np.swapaxes(np.pad(plane, padding), 0, axis)
    length = plane.shape[axis]
    total = np.zeros((length, plane.shape[1 - axis]))
    for i, tap in enumerate(kernel[::-1]):
        total += tap * lines[i : i + length]
    return np.swapaxes(total, 0, axis)
