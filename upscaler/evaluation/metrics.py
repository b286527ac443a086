"""PSNR and SSIM as super-resolution papers report them, and how much fine detail a picture holds.

Pictures are (H, W, 3) uint8 sRGB. Both measures see luma alone: Y of BT.601 in 16..235 with the constants of MATLAB's
`rgb2ycbcr`, not rounded to whole numbers (as for pictures of class double; rounding, as for class uint8, would lower
PSNR by about 0.01 dB at 30 dB). A border as wide as the scale is left out beforehand (`without_border`), because no
method knows what lies outside.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

LUMA_WEIGHTS = np.array([65.481, 128.553, 24.966])
IDENTICAL_DB = 100.0
SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5
SSIM_K1, SSIM_K2, SSIM_RANGE = 0.01, 0.03, 255.0


def luma(picture: Picture) -> Floats:
    """Y of BT.601, (H, W, 3) uint8 -> (H, W) in 16..235, not rounded."""
    return np.asarray(16 + picture.astype(np.float64) @ (LUMA_WEIGHTS / 255))


def without_border(picture: Picture, border_px: int) -> Picture:
    """The picture without `border_px` pixels at each side; a picture too small for that is returned whole."""
    if min(picture.shape[:2]) <= 2 * border_px or border_px == 0:
        return picture
    return picture[border_px:-border_px, border_px:-border_px]


def psnr(output: Picture, reference: Picture) -> float:
    """Peak signal-to-noise ratio on Y in dB, peak 255.

    Never above 100 dB, which is what identical pictures get, so that a mean over pictures stays a number.
    """
    error = float(np.mean((luma(output) - luma(reference)) ** 2))
    return IDENTICAL_DB if error == 0 else min(20 * math.log10(255) - 10 * math.log10(error), IDENTICAL_DB)


def ssim(output: Picture, reference: Picture) -> float:
    """Structural similarity on Y (Wang et al. 2004): 11x11 Gaussian of sigma 1.5, where the window fits.

    1 is identical. Raises ValueError when a side is shorter than the window.
    """
    if min(reference.shape[:2]) < SSIM_WINDOW_PX:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW_PX} px")
    x, y = luma(output), luma(reference)
    c1, c2 = (SSIM_K1 * SSIM_RANGE) ** 2, (SSIM_K2 * SSIM_RANGE) ** 2
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x**2
    variance_y = _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * structure))


def high_frequency_energy(picture: Picture) -> float:
    """Mean square of the three finest Haar detail sub-bands of Y, over all 2x2 neighbourhoods (undecimated).

    0 for a flat picture; in squared units of 1/255. Zero when a side is a single pixel.
    """
    y = luma(picture)
    a, b, c, d = y[:-1, :-1], y[:-1, 1:], y[1:, :-1], y[1:, 1:]
    if a.size == 0:
        return 0.0
    bands = (a - b + c - d, a + b - c - d, a - b - c + d)
    return float(np.mean(sum(np.square(band / 2) for band in bands)))


def high_frequency_ratio(output: Picture, reference: Picture) -> float:
    """High-frequency energy of the output in parts of the reference's; 1 is as much detail, below 1 blurred.

    Both energies are raised by 0.01, less than the rounding of pictures makes, so that flat ones compare as equal.
    """
    floor = 0.01
    return (high_frequency_energy(output) + floor) / (high_frequency_energy(reference) + floor)


def _window_mean(plane: Floats) -> Floats:
    """Gaussian-weighted mean around each pixel, (H, W) -> (H - 10, W - 10)."""
    taps = np.exp(-0.5 * ((np.arange(SSIM_WINDOW_PX) - SSIM_WINDOW_PX // 2) / SSIM_SIGMA_PX) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        length = plane.shape[axis] - SSIM_WINDOW_PX + 1
        shifted = (plane.take(range(i, i + length), axis) for i in range(SSIM_WINDOW_PX))
        plane = sum((tap * part for tap, part in zip(taps, shifted, strict=True)), np.zeros(()))
    return plane
