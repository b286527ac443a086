"""Halving and enlarging agree with imresize's definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tilestep.upscaler.evaluation.resize import BICUBIC, LANCZOS3, enlarge, halve, resize

pictures = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
few = settings(max_examples=15, deadline=None)


def cubic(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def resized_line_by_definition(line, scale):
    """One line, pixel by pixel in exact arithmetic: the stretched cubic over the line and its mirror images."""
    stretch, count, out = min(scale, 1), len(line), []
    mirrored = [*line, *line[::-1]]
    for i in range(int(np.ceil(scale * count))):
        centre = (i + 0.5) / scale - 0.5
        near = range(int(np.floor(centre - 2 / stretch)) - 1, int(np.ceil(centre + 2 / stretch)) + 2)
        weights = [cubic(stretch * (centre - j)) for j in near]
        value = sum(w * mirrored[j % (2 * count)] for w, j in zip(weights, near, strict=True)) / sum(weights)
        out.append(int(np.floor(min(max(value, 0), 255) + 0.5)))
    return out


def resized_by_definition(picture, scale):
    tall = np.apply_along_axis(resized_line_by_definition, 0, picture.astype(float), scale)
    return np.apply_along_axis(resized_line_by_definition, 1, tall.astype(float), scale)


def test_halving_an_edge_gives_the_values_worked_out_by_hand():
    # taps (-3 -9 29 111 111 29 -9 -3) / 256
    edge = np.zeros((4, 16, 3), np.uint8)
    edge[:, 8:] = 255
    assert halve(edge)[0, :, 0].tolist() == [0, 0, 0, 17, 238, 255, 255, 255]


@pytest.mark.parametrize("scale", [0.5, 2.0, 0.25])
def test_bicubic_follows_the_definition_rounding_after_each_pass(scale):
    picture = np.random.default_rng(1).integers(0, 256, (14, 11, 3), dtype=np.uint8)
    assert np.array_equal(resize(picture, scale), resized_by_definition(picture, scale))


def test_the_dimension_with_the_smaller_scale_is_resized_first():
    picture = np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    columns_first = resize(resize(picture, (1.0, 0.5)), (2.0, 1.0))
    assert np.array_equal(resize(picture, (2.0, 0.5)), columns_first)
    assert not np.array_equal(columns_first, resize(resize(picture, (2.0, 1.0)), (1.0, 0.5)))


@few
@given(pictures)
def test_halving_any_size_rounds_the_sides_up_and_commutes_with_flips(picture):
    small = halve(picture)
    assert small.shape == (-(-picture.shape[0] // 2), -(-picture.shape[1] // 2), 3)
    assert small.dtype == np.uint8
    even = picture.repeat(2, 0).repeat(2, 1)
    assert np.array_equal(halve(even[::-1, ::-1]), halve(even)[::-1, ::-1])


@few
@given(pictures, st.sampled_from([BICUBIC, LANCZOS3]))
def test_enlarging_doubles_the_sides_and_commutes_with_flips(picture, kernel):
    large = enlarge(picture, 2, kernel)
    assert large.shape == (2 * picture.shape[0], 2 * picture.shape[1], 3)
    flipped = enlarge(picture[::-1, ::-1], 2, kernel)[::-1, ::-1]
    assert np.abs(large.astype(int) - flipped).max() <= 1


@few
@given(st.integers(0, 255), st.sampled_from([BICUBIC, LANCZOS3]), st.sampled_from([0.25, 0.5, 2.0, 3.0]))
def test_a_flat_picture_stays_flat(value, kernel, scale):
    assert np.all(resize(np.full((8, 8, 3), value, np.uint8), scale, kernel) == value)


@pytest.mark.parametrize(
    ("kernel", "pillow"), [(BICUBIC, Image.Resampling.BICUBIC), (LANCZOS3, Image.Resampling.LANCZOS)]
)
def test_away_from_the_border_pillow_agrees_up_to_rounding(kernel, pillow):
    picture = np.random.default_rng(3).integers(64, 192, (64, 64, 3), dtype=np.uint8)  # never clipped in between
    for scale, size in ((2.0, 128), (0.5, 32)):
        theirs = np.asarray(Image.fromarray(picture).resize((size, size), pillow)).astype(int)
        ours = resize(picture, scale, kernel)
        assert np.abs(ours - theirs)[8:-8, 8:-8].max() <= 2
