"""Measures agree with their definitions and with what is known in closed form."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.upscaler.evaluation.metrics import (
    high_frequency_energy,
    high_frequency_ratio,
    luma,
    psnr,
    ssim,
    without_border,
)
from tilestep.upscaler.evaluation.perceptual import YIQ, gmsd, haarpsi

levels = st.integers(0, 255)
few = settings(max_examples=8, deadline=None)


def flat(value, side=24):
    return np.full((side, side, 3), value, np.uint8)


def texture(seed=0, height=40, width=36):
    """Noise at several scales, away from black and white."""
    rng = np.random.default_rng(seed)
    picture = sum(rng.normal(0, 12, (height // s, width // s, 3)).repeat(s, 0).repeat(s, 1) for s in (1, 2, 4))
    return (picture + 128).clip(0, 255).astype(np.uint8)


def noisy(picture, sigma):
    noise = np.random.default_rng(5).normal(0, sigma, picture.shape)
    return (picture + noise).round().clip(0, 255).astype(np.uint8)


def convolved(plane, kernel):
    """MATLAB's conv2(plane, kernel, 'same'), by its definition."""
    (rows, columns), (height, width) = kernel.shape, plane.shape
    full = np.zeros((height + rows - 1, width + columns - 1))
    for i in range(rows):
        for j in range(columns):
            full[i : i + height, j : j + width] += kernel[i, j] * plane
    top, left = rows // 2, columns // 2
    return full[top : top + height, left : left + width]


def haarpsi_by_definition(x, y):
    halved = []
    for picture in (x, y):
        planes = np.moveaxis(picture @ YIQ.T, 2, 0)
        halved.append([convolved(plane, np.full((2, 2), 0.25))[::2, ::2] for plane in planes])

    def similar(a, b):
        return (2 * a * b + 30) / (a**2 + b**2 + 30)

    locals_, weights = [], []
    for turned in (False, True):
        maps = [[], []]
        for planes, out in zip(halved, maps, strict=True):
            for scale in (1, 2, 3):
                haar = np.full((2**scale, 2**scale), 2.0**-scale)
                haar[: 2 ** (scale - 1)] *= -1
                out.append(np.abs(convolved(planes[0], haar.T if turned else haar)))
        locals_.append((similar(maps[0][0], maps[1][0]) + similar(maps[0][1], maps[1][1])) / 2)
        weights.append(np.maximum(maps[0][2], maps[1][2]))
    smooth = [[np.abs(convolved(c, np.full((2, 2), 0.25))) for c in planes[1:]] for planes in halved]
    locals_.append((similar(smooth[0][0], smooth[1][0]) + similar(smooth[0][1], smooth[1][1])) / 2)
    weights.append((weights[0] + weights[1]) / 2)
    mean = sum((w / (1 + np.exp(-4.2 * s))).sum() for w, s in zip(weights, locals_, strict=True)) / np.sum(weights)
    return (math.log(mean / (1 - mean)) / 4.2) ** 2


def gmsd_by_definition(x, y):
    prewitt = np.array([[1, 0, -1]] * 3) / 3
    magnitudes = []
    for picture in (x, y):
        grey = convolved(picture @ np.array([0.299, 0.587, 0.114]), np.full((2, 2), 0.25))[::2, ::2]
        magnitudes.append(np.sqrt(convolved(grey, prewitt) ** 2 + convolved(grey, prewitt.T) ** 2))
    a, b = magnitudes
    return np.std((2 * a * b + 170) / (a**2 + b**2 + 170))


def test_luma_runs_from_16_to_235():
    assert luma(flat(0))[0, 0] == pytest.approx(16)
    assert luma(flat(255))[0, 0] == pytest.approx(235)


@few
@given(levels, levels)
def test_psnr_of_two_greys_is_that_of_their_difference(a, b):
    error = abs(a - b) * 219 / 255
    expected = 100.0 if a == b else 20 * math.log10(255 / error)
    assert psnr(flat(a), flat(b)) == pytest.approx(expected)


@few
@given(levels, levels)
def test_ssim_of_two_greys_is_its_luminance_term(a, b):
    x, y = (16 + value * 219 / 255 for value in (a, b))
    c1 = (0.01 * 255) ** 2
    assert ssim(flat(a), flat(b)) == pytest.approx((2 * x * y + c1) / (x**2 + y**2 + c1))


def test_ssim_weighs_a_window_by_a_gaussian():
    reference = texture()[:11, :11]
    output = noisy(reference, 20)
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    x, y = luma(output), luma(reference)
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy, cov = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum(), (window * (x - mx) * (y - my)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(output, reference) == pytest.approx(expected)


def test_ssim_refuses_what_its_window_does_not_fit_in():
    with pytest.raises(ValueError, match="11 px"):
        ssim(flat(1, 10), flat(1, 10))


@pytest.mark.parametrize("sigma", [3, 30])
def test_haarpsi_follows_its_paper(sigma):
    reference = texture()
    output = noisy(reference, sigma)
    assert haarpsi(output, reference) == pytest.approx(haarpsi_by_definition(output, reference), abs=1e-9)


@pytest.mark.parametrize("sigma", [3, 30])
def test_gmsd_follows_its_paper(sigma):
    reference = texture()
    output = noisy(reference, sigma)
    assert gmsd(output, reference) == pytest.approx(gmsd_by_definition(output, reference), abs=1e-9)


@few
@given(st.integers(0, 1000))
def test_identical_pictures_are_perfect_by_every_measure(seed):
    picture = texture(seed)
    assert psnr(picture, picture) == 100
    assert ssim(picture, picture) == pytest.approx(1)
    assert haarpsi(picture, picture) == pytest.approx(1)
    assert gmsd(picture, picture) == 0
    assert high_frequency_ratio(picture, picture) == 1


def test_black_pictures_are_identical_to_every_measure():
    assert haarpsi(flat(0), flat(0)) == pytest.approx(1)
    assert gmsd(flat(0), flat(0)) == 0
    assert high_frequency_ratio(flat(0), flat(0)) == 1


def test_more_noise_is_worse_by_every_measure():
    picture = texture(height=64, width=64)
    steps = [noisy(picture, sigma) for sigma in (2, 6, 18, 54)]
    for measure, sign in ((psnr, -1), (ssim, -1), (haarpsi, -1), (gmsd, 1)):
        values = [sign * measure(step, picture) for step in steps]
        assert values == sorted(values)
        assert len(set(values)) == len(values)


@few
@given(st.integers(0, 1000))
def test_measures_do_not_care_which_picture_is_the_reference(seed):
    a, b = texture(seed), texture(seed + 1)
    for measure in (psnr, ssim, haarpsi, gmsd):
        assert measure(a, b) == pytest.approx(measure(b, a))


@few
@given(levels)
def test_a_flat_picture_has_no_high_frequency_energy(value):
    assert high_frequency_energy(flat(value)) == pytest.approx(0)
    assert high_frequency_energy(flat(value, 1)) == 0


@few
@given(st.integers(1, 255))
def test_stripes_of_one_pixel_have_the_energy_of_their_contrast(contrast):
    stripes = flat(0)
    stripes[:, ::2] = contrast
    assert high_frequency_energy(stripes) == pytest.approx((contrast * 219 / 255) ** 2)


def test_blur_lowers_high_frequency_energy_and_noise_raises_it():
    picture = texture().astype(float)
    blurred = ((picture[:, :-1] + picture[:, 1:]) / 2).astype(np.uint8)
    assert high_frequency_ratio(blurred, texture()) < 0.8
    assert high_frequency_ratio(noisy(texture(), 20), texture()) > 1.2


def test_the_border_is_left_out_at_each_side():
    picture = texture()
    assert np.array_equal(without_border(picture, 2), picture[2:-2, 2:-2])
    assert without_border(picture, 0) is picture
    assert without_border(flat(0, 4), 2).shape == (4, 4, 3)
