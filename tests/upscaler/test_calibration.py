"""Calibration: budgets follow the uncertainty, and what they save costs no more than allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tilestep.upscaler.diffusion.process import ResidualDiffusion
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork
from tilestep.upscaler.quality import FULL, Quality, preset
from tilestep.upscaler.training.calibration import (
    MOST_MEASURE_LOSS,
    TileStudy,
    calibrate,
    calibrate_preset,
    fine_energy,
    study_tiles,
    within_bounds,
)
from tilestep.upscaler.training.stages import Batch

BALANCED = FULL["balanced"]


def study_of(difficulty: torch.Tensor) -> TileStudy:
    """Tiles that come nearer to the truth by half with each step, from as far away as they are difficult."""
    count, generator = len(difficulty), torch.Generator().manual_seed(0)
    truth = torch.rand(count, 3, 16, 16, generator=generator)
    error = torch.randn(truth.shape, generator=generator) * difficulty[:, None, None, None] / 255
    paths = {0: (truth + error)[None].half()}
    for n in range(1, BALANCED.max_steps + 1):
        paths[n] = torch.stack([truth + error * 0.5 ** (4 * (i + 1) / n) for i in range(n)]).half()
    return TileStudy(difficulty, truth, paths)


def test_easy_tiles_get_fewer_steps_than_hard_ones() -> None:
    study = study_of(torch.tensor([0.01] * 12 + [20.0] * 4))
    found = calibrate_preset(BALANCED, study)
    steps, _ = study.taken(found)
    assert steps[:12].max() < steps[12:].min()
    assert list(found.thresholds) == sorted(found.thresholds)


def test_what_is_saved_stays_within_the_allowed_loss() -> None:
    study = study_of(torch.linspace(0.1, 30, 16))
    found = calibrate_preset(BALANCED, study)
    assert within_bounds(study, BALANCED, found)
    assert study.taken(found)[0].sum() < study.taken(BALANCED)[0].sum()


def test_no_more_than_half_of_the_steps_is_saved() -> None:
    study = study_of(torch.full((8,), 0.01))
    found = calibrate_preset(BALANCED, study)
    assert study.taken(found)[0].float().mean() >= 0.5 * BALANCED.max_steps


def test_a_quality_that_blurs_is_out_of_bounds() -> None:
    study = study_of(torch.full((8,), 25.0))
    assert not within_bounds(study, BALANCED, replace(BALANCED, max_steps=0))


def unlike(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """A measure that sees much in little: (N,)."""
    return (found - truth).abs().mean((1, 2, 3)) * 1000


def test_a_measure_is_held_too_and_says_how_far_a_step_is() -> None:
    study = replace(study_of(torch.linspace(0.1, 30, 16)), measure=unlike, corrupted=torch.arange(16) % 2 == 0)
    found = calibrate_preset(BALANCED, study)
    for group in study.groups():
        assert (study.measured(found) - study.measured(BALANCED))[group].mean() <= MOST_MEASURE_LOSS
    without = study.paths[0][0].float(), study.paths[4][-1].float()
    assert torch.allclose(study.distance(0), unlike(without[0] * 2, without[1] * 2))


def test_clean_tiles_do_not_make_up_for_what_corrupted_ones_lose() -> None:
    study = replace(study_of(torch.tensor([0.01] * 15 + [25.0])), measure=unlike, corrupted=torch.arange(16) == 15)
    assert not within_bounds(study, BALANCED, replace(BALANCED, max_steps=0))
    assert [int(group.sum()) for group in study.groups()] == [1, 15]


def test_sampling_stops_when_nothing_changes_any_more() -> None:
    study = study_of(torch.tensor([8.0]))
    assert study.taken(Quality("q", max_steps=4, exit_change=100.0))[0].tolist() == [2]
    assert study.taken(Quality("q", max_steps=4, exit_change=0.0))[0].tolist() == [4]


def test_fine_energy_is_zero_for_flat_and_grows_with_noise() -> None:
    noise = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    weak, strong = (float(fine_energy(0.5 + noise * scale)) for scale in (0.01, 0.02))
    assert float(fine_energy(torch.full((1, 3, 16, 16), 0.5))) == 0
    assert strong == pytest.approx(4 * weak, rel=1e-3)


def test_a_real_network_is_studied_and_calibrated() -> None:
    torch.manual_seed(0)
    sizes = NetworkConfig(width=8, shallow_blocks=1, deep_blocks=1, denoiser_width=8, outer_blocks=1, inner_blocks=1)
    facts = replace(ModelDescriptor(), network=sizes, read_px=32, halo_px=4)
    network = TileNetwork(sizes).eval()
    torch.nn.init.normal_(network.denoiser.head.weight, std=0.1)
    model = LoadedModel(network, ResidualDiffusion(facts.process), facts, torch.device("cpu"), torch.float32)
    tiles = Batch(torch.rand(3, 3, 64, 64), torch.rand(3, 3, 32, 32), torch.zeros(3, 2))
    study = study_tiles(model, tiles, 2)
    assert study.paths[2].shape == (2, 3, 3, 48, 48)
    found = calibrate(model, tiles)
    for name, full in FULL.items():
        if full.max_steps:
            steps, _ = study_tiles(model, tiles, full.max_steps).taken(preset(name, found))
            assert 0.5 * full.max_steps <= steps.float().mean() <= full.max_steps
