"""From a clean crop to what the network is shown: halved, perhaps blurred, perhaps saved as JPEG.

A few crops are first redrawn in flat garish colours, and halved without antialiasing: terminals, subtitles and pixel
art look like that, and a network that has never seen it answers with noise.

The corruption follows DL-Art-School's `corruption_entropy` (one value in [0, 1] per kind, mostly mild), with three
differences: 0 is uncorrupted, blur comes before JPEG, as it does in pictures that people post, and two of three JPEGs
are of the qualities that programs save by default (95 to 60).
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tilestep.upscaler.corruption.scale import dejpeg_from_quality, quality_from_dejpeg, sigma_from_deblur
from tilestep.upscaler.evaluation import resize

Picture = NDArray[np.uint8]
CLEAN_SHARE = 0.34
JPEG_SHARE = 0.60
USUAL_JPEG_SHARE = 0.65
USUAL_JPEG_STRENGTH = 0.45
BLUR_SHARE = 0.15
OTHER_KERNEL_SHARE = 0.05
HARD_SHARE = 0.5
COLOUR_LEVELS = (0, 85, 170, 255)
CELLS_PX = (1, 1, 2, 3, 4)
OTHER_KERNELS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)


def as_graphic(picture: Picture, rng: np.random.Generator) -> Picture:
    """Redraws (H, W, 3) in square cells of 1 to 4 pixels and in few colours: two of any, or each channel on or off."""
    cell_px = int(rng.choice(CELLS_PX))
    cells = picture[::cell_px, ::cell_px].repeat(cell_px, 0).repeat(cell_px, 1)[: picture.shape[0], : picture.shape[1]]
    share = rng.uniform(0.15, 0.85)
    if rng.random() < 0.5:
        colours = rng.choice(COLOUR_LEVELS, (2, 3)).astype(np.uint8)
        brightness = cells.sum(2, dtype=np.int64)
        redrawn: Picture = colours[(brightness > np.quantile(brightness, share)).astype(np.intp)]
        return redrawn
    on = cells > np.quantile(cells, share, axis=(0, 1))
    return (on[:, :, rng.permutation(3)] * 255).astype(np.uint8)


def halve(picture: Picture, rng: np.random.Generator, hard_share: float = 0.0) -> Picture:
    """Halves (2H, 2W, 3): MATLAB's antialiased bicubic mostly, now and then another kernel.

    `hard_share`: how often every other pixel is simply left out.
    """
    if rng.random() < hard_share:
        row, column = rng.integers(2, size=2)
        return np.ascontiguousarray(picture[row::2, column::2])
    if rng.random() < OTHER_KERNEL_SHARE:
        height, width = picture.shape[:2]
        kernel = OTHER_KERNELS[rng.integers(len(OTHER_KERNELS))]
        return np.asarray(Image.fromarray(picture).resize((width // 2, height // 2), kernel))
    return resize.halve(picture)


def corrupt(picture: Picture, rng: np.random.Generator) -> tuple[Picture, tuple[float, float]]:
    """Corrupts a low-resolution crop; returns it with (dejpeg, deblur), the strengths used."""
    dejpeg = deblur = 0.0
    kind = rng.random()
    if kind >= CLEAN_SHARE:
        wants_jpeg = kind < CLEAN_SHARE + JPEG_SHARE
        if not wants_jpeg or rng.random() < BLUR_SHARE:
            deblur = _strength(rng)
            picture = blur(picture, sigma_from_deblur(deblur))
        if wants_jpeg:
            quality = quality_from_dejpeg(max(_jpeg_strength(rng), 1e-3))
            dejpeg = dejpeg_from_quality(quality)
            picture = jpeg(picture, quality, subsampling=int(rng.choice([0, 2, 2])))
    return picture, (dejpeg, deblur)


def blur(picture: Picture, sigma_px: float) -> Picture:
    """Gaussian blur."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma_px)))


def jpeg(picture: Picture, quality: int, subsampling: int = 2) -> Picture:
    """Saves and reads back; `subsampling` 0 is 4:4:4, 2 is 4:2:0."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file).convert("RGB"))


def _strength(rng: np.random.Generator) -> float:
    return 1 - math.cos(float(rng.random()) * math.pi / 2)


def _jpeg_strength(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, USUAL_JPEG_STRENGTH)) if rng.random() < USUAL_JPEG_SHARE else _strength(rng)
