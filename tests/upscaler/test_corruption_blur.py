"""Blur estimated from the strongest edges, on pictures made here."""

import io
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tilestep.upscaler.corruption.blur import edge_variance
from tilestep.upscaler.corruption.estimate import Sample, estimate_deblur, estimate_dejpeg
from tilestep.upscaler.corruption.scale import sigma_from_deblur

SIDE = 128
FINE = 3


@cache
def scene(seed: int, sigma: float = 0.0) -> NDArray[np.uint8]:
    """Discs, blurred by `sigma` pixels, taken by area sampling from three times the resolution; RGB."""
    random = np.random.default_rng(seed)
    y, x = (np.mgrid[: SIDE * FINE, : SIDE * FINE] / FINE).astype(np.float32)
    canvas = 80 + 60 * x / SIDE
    for _ in range(24):
        row, column = random.uniform(0, SIDE, 2)
        canvas[np.hypot(y - row, x - column) < random.uniform(6, 25)] = random.uniform(20, 235)
    canvas = smoothed(smoothed(canvas, sigma * FINE).T, sigma * FINE).T
    small = canvas.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
    return np.repeat(np.rint(small).astype(np.uint8)[..., None], 3, axis=2)


def smoothed(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if sigma == 0:
        return values
    offsets = np.arange(-int(4 * sigma), int(4 * sigma) + 1)
    weights = np.exp(-((offsets / sigma) ** 2) / 2)
    padded = np.pad(values, ((0, 0), (len(offsets) // 2,) * 2), mode="edge")
    taps = (w * padded[:, i : i + values.shape[1]] for i, w in enumerate(weights / weights.sum()))
    return np.sum(list(taps), axis=0, dtype=np.float32)


def decoded(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def whole(picture: NDArray[np.uint8]) -> Sample:
    return Sample(((0, picture),))


@pytest.mark.parametrize("seed", range(3))
def test_sharp_edges_mean_no_blur(seed: int) -> None:
    assert estimate_deblur(whole(scene(seed))) == 0.0


@pytest.mark.parametrize("sigma", [1.0, 1.25, 1.5])
def test_blur_is_measured(sigma: float) -> None:
    assert sigma_from_deblur(estimate_deblur(whole(scene(0, sigma)))) == pytest.approx(sigma, abs=0.2)


def test_more_blur_never_looks_like_less() -> None:
    values = [estimate_deblur(whole(scene(1, sigma))) for sigma in (0.0, 0.4, 0.8, 1.2)]
    assert values == sorted(values)


@pytest.mark.parametrize("quality", [15, 30, 50, 75, 90])
def test_jpeg_is_not_taken_for_blur(quality: int) -> None:
    sample = whole(decoded(scene(2), quality))
    assert estimate_deblur(sample, estimate_dejpeg(sample)) == 0.0


def test_blur_is_seen_through_jpeg() -> None:
    sample = whole(decoded(scene(0, 1.25), 80))
    assert sigma_from_deblur(estimate_deblur(sample, estimate_dejpeg(sample))) == pytest.approx(1.25, abs=0.35)


def test_a_soft_background_is_no_blur_when_something_is_sharp() -> None:
    picture = scene(0, 1.5).copy()
    picture[32:96, 32:96] = scene(3)[32:96, 32:96]
    assert estimate_deblur(whole(picture)) == 0.0


def test_soft_gradients_alone_are_no_evidence() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = 128 + 60 * np.sin(x / 9) + 60 * np.cos(y / 11)
    assert estimate_deblur(whole(np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2))) == 0.0


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (5, 300), (11, 11)])
def test_a_tiny_picture_is_left_alone(shape: tuple[int, int]) -> None:
    assert estimate_deblur(whole(np.zeros((*shape, 3), dtype=np.uint8))) == 0.0
    assert estimate_deblur(Sample(())) == 0.0


def test_strips_say_the_same_as_the_whole() -> None:
    picture = scene(0, 1.25)
    strips = tuple((row, picture[row : row + 64]) for row in (0, 64))
    assert edge_variance(strips) == pytest.approx(edge_variance(((0, picture),)), rel=0.15)
