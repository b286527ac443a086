"""The scale of `corruption_entropy`: what the values 0 to 1 mean for JPEG and for blur.

0 means uncorrupted and is outside the range of any corruption: the smallest JPEG value belongs to quality 95.
"""

from __future__ import annotations

BEST_JPEG_QUALITY = 95
WORST_JPEG_QUALITY = 15
MAX_BLUR_SIGMA_PX = 1.5


def dejpeg_from_quality(quality: float) -> float:
    """Value in [0, 1] of an IJG quality in 1..100; above 95 it is 0, at 95 just above 0, at 15 and below 1."""
    span = BEST_JPEG_QUALITY + 1 - WORST_JPEG_QUALITY
    return min(max((BEST_JPEG_QUALITY + 1 - quality) / span, 0.0), 1.0)


def quality_from_dejpeg(value: float) -> int:
    """IJG quality 15..95 of a value in (0, 1]."""
    span = BEST_JPEG_QUALITY + 1 - WORST_JPEG_QUALITY
    return min(max(round(BEST_JPEG_QUALITY + 1 - value * span), WORST_JPEG_QUALITY), BEST_JPEG_QUALITY)


def deblur_from_sigma(sigma_px: float) -> float:
    """Value in [0, 1] of a Gaussian blur of `sigma_px` low-resolution pixels."""
    return min(max(sigma_px / MAX_BLUR_SIGMA_PX, 0.0), 1.0)


def sigma_from_deblur(value: float) -> float:
    """Standard deviation in low-resolution pixels of a value in [0, 1]."""
    return value * MAX_BLUR_SIGMA_PX
