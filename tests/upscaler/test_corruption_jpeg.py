"""JPEG quality estimated from quantisation tables and from pixels, on pictures made here."""

import io
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tilestep.upscaler.corruption.estimate import Sample, estimate_dejpeg
from tilestep.upscaler.corruption.jpeg_pixels import pixel_quality
from tilestep.upscaler.corruption.jpeg_tables import ijg_luminance_table, quality_from_tables
from tilestep.upscaler.corruption.scale import dejpeg_from_quality, quality_from_dejpeg

Picture = NDArray[np.uint8]


@cache
def scene(seed: int = 0, side: int = 128) -> Picture:
    """Discs with sharp edges on a gradient, with fine texture; RGB."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    canvas = np.stack([60 + 90 * x / side, 70 + 80 * y / side, np.full_like(x, 110)], axis=-1)
    for _ in range(side // 8):
        row, column, radius = (*random.uniform(0, side, 2), random.uniform(4, side / 5))
        cover = np.clip(radius - np.hypot(y - row, x - column) + 0.5, 0, 1)[..., None]
        canvas = canvas * (1 - cover) + cover * random.uniform(40, 215, 3)
    canvas += random.normal(0, 3, (side, side, 1)) + 6 * np.sin(x * y / 40)[..., None]
    return np.clip(np.rint(canvas), 5, 250).astype(np.uint8)


def jpeg(picture: Picture, quality: int, **options: object) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, **options)
    return Image.open(file)


def decoded(picture: Picture, quality: int, **options: object) -> Picture:
    return np.asarray(jpeg(picture, quality, **options).convert("RGB"))


def whole(picture: Picture) -> Sample:
    return Sample(((0, picture),))


def quality_of(picture: Picture) -> float | None:
    return pixel_quality(whole(picture).strips)


@given(st.integers(1, 100))
def test_a_libjpeg_table_gives_its_own_quality(quality: int) -> None:
    assert quality_from_tables([ijg_luminance_table(quality).tolist()]) == pytest.approx(quality, abs=1e-6)


@pytest.mark.parametrize("quality", [15, 50, 75, 95])
def test_tables_are_read_as_pillow_gives_them(quality: int) -> None:
    image = jpeg(scene(), quality)
    assert estimate_dejpeg(whole(scene()), image.quantization) == pytest.approx(dejpeg_from_quality(quality))


def test_tables_above_quality_95_count_as_uncorrupted() -> None:
    assert estimate_dejpeg(whole(scene()), jpeg(scene(), 97).quantization) == 0.0


def test_a_foreign_table_is_placed_by_its_mean_strength() -> None:
    flatter = (ijg_luminance_table(60) * np.linspace(1.3, 0.7, 64)).tolist()
    assert quality_from_tables({0: flatter}) == pytest.approx(60, abs=5)
    assert quality_from_tables({0: [1] * 64}) > 98


@pytest.mark.parametrize("tables", [{}, [], [[1] * 63], {0: [0] * 64}])
def test_tables_that_are_none_are_refused(tables: dict[int, list[int]] | list[list[int]]) -> None:
    with pytest.raises(ValueError, match="quantisation table"):
        quality_from_tables(tables)


@settings(max_examples=6, deadline=None)
@given(st.integers(15, 92), st.integers(0, 7), st.integers(0, 7), st.integers(0, 3), st.sampled_from([0, 2]))
def test_quality_is_found_from_pixels_at_any_crop(quality: int, top: int, left: int, seed: int, chroma: int) -> None:
    picture = decoded(scene(seed), quality, subsampling=chroma)[top:, left:]
    assert quality_of(picture) == pytest.approx(quality, abs=2)


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_picture_is_not_taken_for_jpeg(seed: int) -> None:
    assert estimate_dejpeg(whole(scene(seed))) == 0.0


def test_a_grey_jpeg_is_recognised() -> None:
    file = io.BytesIO()
    Image.fromarray(scene()).convert("L").save(file, "JPEG", quality=40)
    assert quality_of(np.asarray(Image.open(file).convert("RGB"))) == pytest.approx(40, abs=2)


def test_a_turned_jpeg_is_recognised() -> None:
    assert quality_of(np.rot90(decoded(scene(), 60))) == pytest.approx(60, abs=2)


def test_a_jpeg_of_a_foreign_table_is_recognised() -> None:
    steps = (ijg_luminance_table(50) * np.linspace(1.3, 0.7, 64)).astype(int).tolist()
    image = jpeg(scene(), 75, qtables=[steps, steps])
    assert quality_of(np.asarray(image)) == pytest.approx(quality_from_tables(image.quantization), abs=6)


def test_black_text_on_white_is_judged_in_spite_of_clipping() -> None:
    page = np.full((160, 160, 3), 255, dtype=np.uint8)
    random = np.random.default_rng(3)
    for row in range(4, 152, 9):
        page[row : row + 6] = np.where(random.random((6, 160, 1)) < 0.4, random.integers(0, 256, (6, 160, 1)), 255)
    assert estimate_dejpeg(whole(page)) == 0.0
    assert quality_of(decoded(page, 80)) == pytest.approx(80, abs=3)


def test_the_last_compression_counts() -> None:
    again = decoded(decoded(scene(), 30)[3:, 5:], 80)
    assert quality_of(again) == pytest.approx(80, abs=3)


def test_slight_noise_after_decoding_does_not_hide_the_grid() -> None:
    noisy = decoded(scene(), 40) + np.random.default_rng(0).normal(0, 1, (128, 128, 3))
    assert quality_of(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)) == pytest.approx(40, abs=4)


@pytest.mark.parametrize("method", [Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
def test_an_enlarged_jpeg_has_no_grid(method: Image.Resampling) -> None:
    image = jpeg(scene(side=96), 40).convert("RGB")
    assert estimate_dejpeg(whole(np.asarray(image.resize((192, 192), method)))) == 0.0


def test_strips_are_placed_on_the_grid_by_their_rows() -> None:
    picture = decoded(scene(), 70)
    sample = Sample(tuple((row, picture[row : row + 37]) for row in (3, 45, 90)))
    assert quality_from_dejpeg(estimate_dejpeg(sample)) == pytest.approx(70, abs=2)


@pytest.mark.parametrize("shape", [(0, 9), (1, 1), (3, 200), (200, 3), (8, 8), (15, 16)])
def test_a_tiny_picture_is_left_alone(shape: tuple[int, int]) -> None:
    assert estimate_dejpeg(whole(decoded(scene(), 30)[: shape[0], : shape[1]])) == 0.0


def test_an_empty_sample_is_left_alone() -> None:
    assert estimate_dejpeg(Sample(())) == 0.0


def _ramp() -> Picture:
    y, x = np.mgrid[:128, :128]
    noise = np.random.default_rng(0).normal(0, 0.3, (128, 128))
    return np.repeat(np.rint(40 + x / 4 + y / 5 + noise).astype(np.uint8)[..., None], 3, axis=2)


def _enlarged_pixels() -> Picture:
    return np.kron(scene(side=40), np.ones((4, 4, 1), dtype=np.uint8))


def _few_levels() -> Picture:
    return scene() // 32 * 32 + 16


def _one_colour() -> Picture:
    return np.full((128, 128, 3), 90, dtype=np.uint8)


def _checks() -> Picture:
    return np.kron(np.indices((20, 20)).sum(axis=0)[..., None] % 2 * 150 + 40, np.ones((8, 8, 3))).astype(np.uint8)


@pytest.mark.parametrize("make", [_ramp, _enlarged_pixels, _few_levels, _one_colour, _checks])
def test_regular_drawings_are_not_taken_for_jpeg(make: object) -> None:
    assert callable(make)
    assert estimate_dejpeg(whole(make())) == 0.0


def test_a_sample_refuses_what_is_no_strip_of_rgb_rows() -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        Sample(((0, np.zeros((8, 8), dtype=np.uint8)),))
    with pytest.raises(ValueError, match="same width"):
        Sample(((0, scene()), (200, scene(side=96))))
