"""Sampling undoes exactly what training did: the same noise levels, from the same start."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.upscaler.diffusion.process import ProcessConfig, ResidualDiffusion, timesteps
from tilestep.upscaler.diffusion.sampling import Prepared, estimates, sample

DIFFUSION = ResidualDiffusion(ProcessConfig())
SHAPE = (2, 3, 6, 5)


def randn(seed: int, channels: int = 3) -> torch.Tensor:
    shape = (SHAPE[0], channels, *SHAPE[2:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scales(seed: int = 9) -> torch.Tensor:
    return 0.25 + 0.75 * randn(seed, channels=1).sigmoid()


def at(t: float) -> torch.Tensor:
    return torch.full(SHAPE[:1], t, dtype=torch.float64)


def prepared() -> Prepared:
    g = randn(3).sigmoid()
    return Prepared(g, g, scales(), torch.zeros(SHAPE[0], 1))


def test_training_shows_at_time_one_what_sampling_starts_from() -> None:
    w, eps = scales(), randn(1)
    shown = DIFFUSION.diffuse(randn(0), eps, w, at(1.0))
    assert torch.equal(shown, DIFFUSION.start(eps, w))


@given(st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_a_step_leads_to_where_training_would_have_noised_the_same_picture(one: float, other: float) -> None:
    before, after = max(one, other), min(one, other)
    r0, eps, w = randn(0), randn(1), scales()
    moved = DIFFUSION.step(DIFFUSION.diffuse(r0, eps, w, at(before)), r0, w, at(before), at(after))
    assert torch.allclose(moved, DIFFUSION.diffuse(r0, eps, w, at(after)), atol=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_the_network_is_asked_at_falling_noise_levels_from_pure_noise_on(steps: int) -> None:
    times = timesteps(steps)
    assert times[0] == 1
    assert times == sorted(set(times), reverse=True)
    assert len(times) == steps
    assert times[-1] > 0


@pytest.mark.parametrize("steps", [1, 4])
def test_a_network_that_knows_the_picture_gives_the_picture(steps: int) -> None:
    ready, r0 = prepared(), randn(0).float()
    result = sample(lambda z, t, condition: r0, DIFFUSION, ready, randn(1), steps)
    assert torch.allclose(result, DIFFUSION.to_picture(r0, ready.g, ready.w), atol=1e-6)


def test_at_every_step_the_clean_estimate_is_free_of_the_noise_that_goes_on() -> None:
    ready, r0 = prepared(), randn(0).float()
    pictures = list(estimates(lambda z, t, condition: r0, DIFFUSION, ready, randn(1), 4))
    truth = DIFFUSION.to_picture(r0, ready.g, ready.w)
    noise = [float((noisy - truth).abs().mean()) for _, noisy in pictures]
    assert all(torch.allclose(clean, truth, atol=1e-6) for clean, _ in pictures)
    assert noise[:-1] == sorted(noise[:-1], reverse=True)
    assert noise[-2] > 1e-3


def test_no_step_at_all_is_the_regressor() -> None:
    ready = prepared()
    assert sample(lambda z, t, condition: z, DIFFUSION, ready, randn(1), 0) is ready.g


@pytest.mark.parametrize("channels", [[0, 1, 2], [1]], ids=["grey", "green alone"])
def test_nothing_is_invented_in_drawings_of_hard_pixels(channels: list[int]) -> None:
    """There the regressor leaves the bicubic picture by more than texture makes it, in all channels or in one."""
    enlarged = torch.full((1, 3, 40, 40), 0.5)
    r0 = torch.ones(1, 3, 40, 40)
    for change, share in ((0.095, 1.0), (0.11, 1.0), (0.125, 0.5), (0.2, 0.001)):
        g = enlarged.clone()
        g[:, channels] += change
        w = DIFFUSION.noise_scale(g, enlarged)
        expected = g + share * DIFFUSION.config.sigma_r
        assert torch.allclose(w, torch.full_like(w, share), atol=1e-4)
        if share in (1.0, 0.001):
            assert torch.allclose(DIFFUSION.to_picture(r0, g, w), expected, atol=1e-3)
