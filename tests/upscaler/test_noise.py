"""Noise that belongs to a place and a seed, and the estimate of how much noise there is."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.upscaler.diffusion.immerkaer import noise_estimate
from tilestep.upscaler.diffusion.noise import noise_field

SIDE = range(400)
RECORDED = [-0.8621432, 1.0254309, 0.6241085, 0.4916558]
starts = st.integers(-(2**20), 2**20)


def field(seed: int = 0) -> np.ndarray:
    return noise_field(seed, SIDE, SIDE, 3).numpy().astype(np.float64)


@given(st.integers(), starts, starts, st.integers(1, 20), st.integers(1, 20))
@settings(deadline=None, max_examples=40)
def test_a_pixel_has_the_same_noise_in_every_tile_that_contains_it(seed, top, left, height, width) -> None:
    whole = noise_field(seed, range(top - 3, top + 40), range(left - 5, left + 40), 3)
    part = noise_field(seed, range(top, top + height), range(left, left + width), 3)
    assert torch.equal(part, whole[:, 3 : 3 + height, 5 : 5 + width])


def test_the_noise_is_standard_normal() -> None:
    noise = field().ravel()
    count = noise.size
    assert abs(noise.mean()) < 4 / math.sqrt(count)
    assert abs(noise.var() - 1) < 4 * math.sqrt(2 / count)
    assert abs((noise**3).mean()) < 4 * math.sqrt(15 / count)
    assert abs((noise**4).mean() - 3) < 4 * math.sqrt(96 / count)


def test_its_distribution_follows_the_bell_curve_everywhere() -> None:
    noise = np.sort(field().ravel())
    normal = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in noise[::97]])
    empirical = (np.arange(noise.size)[::97] + 0.5) / noise.size
    assert np.abs(normal - empirical).max() < 1.95 / math.sqrt(noise.size)


@pytest.mark.parametrize("step", [(0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0), (0, 0, 2), (0, 64, 0), (2, 1, 3)])
def test_neighbours_in_place_and_channel_are_not_correlated(step) -> None:
    noise = field()
    shifted = np.roll(noise, step, (0, 1, 2))
    limit = 4 / math.sqrt(noise.size)
    assert abs((noise * shifted).mean()) < limit
    assert abs(((noise**2 - 1) * (shifted**2 - 1)).mean()) < 2 * limit


@pytest.mark.parametrize(("one", "other"), [(0, 1), (0, -1), (1, 2), (5, 5 + 2**32), (5, 5 + 2**64), (7, -7)])
def test_other_seeds_give_unrelated_noise(one, other) -> None:
    first, second = field(one), field(other)
    assert abs((first * second).mean()) < 4 / math.sqrt(first.size)


def test_the_same_seed_gives_the_same_noise_for_ever() -> None:
    values = noise_field(2026, range(-1, 1), range(1), 2).flatten().tolist()
    assert values == pytest.approx(RECORDED, abs=1e-6)


@pytest.mark.parametrize("sigma", [2.0, 8.0, 25.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_estimate_finds_the_noise_on_a_flat_picture_within_a_few_per_cent(sigma, channels) -> None:
    grey = 128 + sigma * noise_field(1, range(256), range(256), 1)
    pictures = torch.stack([grey.expand(channels, -1, -1), torch.full((channels, 256, 256), 128.0)])
    found, nothing = noise_estimate(pictures).tolist()
    assert found == pytest.approx(sigma, rel=0.03)
    assert nothing == pytest.approx(0, abs=1e-3)


def test_the_estimate_is_the_published_sum() -> None:
    picture = torch.rand(1, 1, 5, 7, generator=torch.Generator().manual_seed(1))
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    grey = picture[0, 0].numpy()
    total = sum(abs((grey[y : y + 3, x : x + 3] * kernel).sum()) for y in range(3) for x in range(5))
    assert noise_estimate(picture).item() == pytest.approx(math.sqrt(math.pi / 2) / (6 * 5 * 3) * total, rel=1e-5)


def test_a_linear_gradient_is_no_noise_and_too_small_a_picture_is_refused() -> None:
    assert noise_estimate(torch.linspace(0, 1, 32).expand(1, 1, 32, 32)).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="3 x 3"):
        noise_estimate(torch.zeros(1, 1, 2, 9))
