"""What training shows the network: the mixture of corruptions, and strengths that are true."""

from __future__ import annotations

import numpy as np
import pytest

from tilestep.upscaler.corruption.scale import dejpeg_from_quality
from tilestep.upscaler.training.degradation import Picture, as_graphic, blur, corrupt, halve, jpeg

DRAWS = 2000


@pytest.fixture(scope="module")
def crop() -> Picture:
    return np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def drawn(crop: Picture) -> list[tuple[Picture, tuple[float, float]]]:
    rng = np.random.default_rng(2)
    return [corrupt(crop, rng) for _ in range(DRAWS)]


def test_shares_of_clean_jpeg_and_blurred_crops(drawn: list[tuple[Picture, tuple[float, float]]]) -> None:
    strengths = np.array([strength for _, strength in drawn])
    has_jpeg, has_blur = (strengths > 0).T
    assert np.mean(~has_jpeg & ~has_blur) == pytest.approx(0.34, abs=0.05)
    assert np.mean(has_jpeg) == pytest.approx(0.60, abs=0.05)
    assert np.mean(has_blur[has_jpeg]) == pytest.approx(0.15, abs=0.06)


def test_most_jpegs_are_of_usual_quality_and_the_worst_occur(drawn: list[tuple[Picture, tuple[float, float]]]) -> None:
    dejpeg = np.array([strength[0] for _, strength in drawn if strength[0] > 0])
    assert np.mean(dejpeg <= dejpeg_from_quality(60)) > 0.75
    assert dejpeg.min() <= dejpeg_from_quality(94)
    assert dejpeg.max() >= dejpeg_from_quality(20)


def test_strength_zero_means_untouched_and_more_means_farther(
    crop: Picture, drawn: list[tuple[Picture, tuple[float, float]]]
) -> None:
    assert all(np.array_equal(crop, picture) for picture, strength in drawn if strength == (0, 0))
    errors = [np.square(jpeg(crop, quality).astype(float) - crop).mean() for quality in (95, 75, 40, 15)]
    assert errors == sorted(errors)
    assert errors[0] > 0
    errors = [np.square(blur(crop, sigma).astype(float) - crop).mean() for sigma in (0.3, 0.8, 1.5)]
    assert errors == sorted(errors)
    assert errors[0] > 0


def test_halving_keeps_flat_colour_and_halves_the_size() -> None:
    flat = np.full((10, 14, 3), (10, 120, 250), np.uint8)
    for seed in range(30):
        small = halve(flat, np.random.default_rng(seed))
        assert small.shape == (5, 7, 3)
        assert np.array_equal(small, np.broadcast_to(flat[0, 0], small.shape))


def test_a_graphic_has_the_size_of_its_picture_and_few_flat_colours() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (50, 38, 3), dtype=np.uint8)
    for seed in range(40):
        graphic = as_graphic(picture, np.random.default_rng(seed))
        assert graphic.shape == picture.shape
        assert len(np.unique(graphic.reshape(-1, 3), axis=0)) <= 8
        assert set(np.unique(graphic)) <= {0, 85, 170, 255}
    different = {as_graphic(picture, np.random.default_rng(seed)).tobytes() for seed in range(40)}
    assert len(different) > 30


def test_halving_without_antialiasing_leaves_out_every_other_pixel(crop: Picture) -> None:
    found = {halve(crop, np.random.default_rng(seed), hard_share=1).tobytes() for seed in range(40)}
    assert found == {crop[row::2, column::2].tobytes() for row in (0, 1) for column in (0, 1)}
