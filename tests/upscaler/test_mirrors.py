"""Averaged over mirror images, the regressor treats a picture and its mirror image alike."""

import copy
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from tilestep.upscaler.diffusion.process import ProcessConfig, ResidualDiffusion
from tilestep.upscaler.engine import EngineLimits, TileEngine, TileRequest
from tilestep.upscaler.evaluation.resize import halve
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import Calibration, ModelDescriptor
from tilestep.upscaler.model.inference import regress_core
from tilestep.upscaler.model.network import NetworkConfig, Regressor, TileNetwork
from tilestep.upscaler.model.projection import TRUST_REACH_PX, USUAL_CORRECTION, trust, upsample_bicubic
from tilestep.upscaler.quality import FULL, PRESET_NAMES, Quality, preset, with_steps
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

CONFIG = NetworkConfig(width=8, shallow_blocks=1, deep_blocks=3, denoiser_width=8, outer_blocks=1, inner_blocks=1)
FAITHFUL, PLAIN = FULL["faithful"], Quality("plain")
ACROSS, DOWN = (slice(None), slice(None, None, -1)), (slice(None, None, -1), slice(None))


def tiny_model() -> LoadedModel:
    torch.manual_seed(11)
    network = TileNetwork(CONFIG).eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.7 / weight[0].numel() ** 0.5 if weight.dim() > 1 else 0.1)
    descriptor = ModelDescriptor(CONFIG, ProcessConfig(), read_px=24, shallow_read_px=40, halo_px=6, overlap_px=4)
    return LoadedModel(network, ResidualDiffusion(ProcessConfig()), descriptor, torch.device("cpu"), torch.float32)


MODEL = tiny_model()


def picture(width: int = 26, height: int = 20, channels: int = 3) -> np.ndarray:
    return np.random.default_rng((width, height)).integers(80, 176, (height, width, channels), np.uint8)


def enlarged(image: np.ndarray, quality: Quality, engine: TileEngine | None = None, others: int = 0) -> np.ndarray:
    engine = engine or TileEngine(MODEL)
    sink = ArraySink(2 * image.shape[0], 2 * image.shape[1], image.shape[2])
    handle = engine.submit(TileRequest(ArraySource(image), sink, quality))
    for number in range(others):
        size = (30 + number, 50)
        engine.submit(
            TileRequest(ArraySource(picture(*size)), ArraySink(100, 2 * size[0], 3), (PLAIN, FAITHFUL)[number % 2])
        )
    while not handle.done:
        engine.step()
    assert handle.error is None
    return sink.picture


@pytest.mark.parametrize("mirror", [ACROSS, DOWN, (*DOWN[:1], *ACROSS[1:])], ids=["across", "down", "both"])
@pytest.mark.parametrize("channels", [3, 4])
def test_the_mirror_image_of_a_picture_gives_the_mirror_image_of_the_result(mirror, channels) -> None:
    image = picture(channels=channels)
    turned = enlarged(np.ascontiguousarray(image[mirror]), FAITHFUL)[mirror]
    assert np.abs(turned - enlarged(image, FAITHFUL)).max() < 3e-5
    once = enlarged(np.ascontiguousarray(image[mirror]), PLAIN)[mirror]
    assert np.abs(once - enlarged(image, PLAIN)).max() > 1e-2


def test_the_estimate_is_the_mean_of_what_the_mirror_images_give() -> None:
    image = picture()
    alone = [enlarged(np.ascontiguousarray(image[m]), PLAIN)[m] for m in (np.s_[:, :], ACROSS, DOWN, np.s_[::-1, ::-1])]
    assert np.abs(np.mean(alone, axis=0) - enlarged(image, FAITHFUL)).max() < 3e-5


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_same_picture_gives_the_same_bits_whoever_shares_its_passes(batch) -> None:
    image = picture(70, 60)
    engine = TileEngine(MODEL, EngineLimits(max_batch=batch, quantum_seconds=1e9))
    assert (enlarged(image, FAITHFUL, engine, others=3) == enlarged(image, FAITHFUL)).all()


def test_each_pass_counts_in_the_batch_and_a_tile_is_counted_once() -> None:
    engine, image = TileEngine(MODEL, EngineLimits(max_batch=3, quantum_seconds=1e9)), picture(70, 60)
    sink = ArraySink(120, 140, 3)
    handle = engine.submit(TileRequest(ArraySource(image), sink, FAITHFUL))
    reports = list(iter(engine.step, None))
    passes = sum((Counter(report.tiles) for report in reports), Counter())
    assert passes == {handle.id: 4 * handle.tiles_total}
    assert max(report.batch_size for report in reports) <= 3
    progress, statistics = handle.progress, engine.statistics()
    assert (progress.tiles_done, progress.steps_done, progress.steps_expected) == (handle.tiles_total, 0, 0)
    assert statistics.steps_histogram == {0: handle.tiles_total}


def test_a_cancelled_picture_leaves_nothing_between_its_passes() -> None:
    engine = TileEngine(MODEL)
    handle = engine.submit(TileRequest(ArraySource(picture()), ArraySink(40, 52, 3), FAITHFUL))
    engine.step()
    engine.cancel(handle)
    assert engine.step() is None
    assert engine.statistics().slots_in_use == 0


def exploding(correction: float) -> Regressor:
    """A regressor whose corrections reach about so far from 0, here and there."""
    regressor = copy.deepcopy(MODEL.network.regressor)
    lr, corruption = torch.rand(1, 3, 40, 40), torch.zeros(1, 2)
    for head, estimate in ((regressor.shallow_head, regressor.shallow), (regressor.deep_head, regressor)):
        regressor.train()
        largest = float((estimate(lr, corruption).g - upsample_bicubic(lr)).abs().max())
        head.weight.mul_(correction / largest)
        head.bias.mul_(correction / largest)
    return regressor.eval()


@pytest.mark.parametrize("halo", [0, 3, 5, 6, 12])
@pytest.mark.parametrize("depth", ["shallow", "deep"])
@pytest.mark.parametrize("correction", [0.5, 1.5])
def test_leaving_out_what_the_core_does_not_see_changes_no_value(depth, halo, correction) -> None:
    lr, corruption = torch.rand(2, 3, 40, 34), torch.tensor([[0.3, 0.0], [0.0, 0.0]])
    regressor = exploding(correction)
    whole = (regressor.shallow(lr, corruption) if depth == "shallow" else regressor(lr, corruption)).g
    expected = whole[..., 2 * halo : whole.shape[-2] - 2 * halo, 2 * halo : whole.shape[-1] - 2 * halo]
    assert torch.allclose(regress_core(regressor, lr, corruption, depth, halo), expected, atol=1e-5)


def test_a_correction_is_taken_back_where_it_is_as_large_as_the_range_of_pictures() -> None:
    correction = torch.zeros(1, 3, 40, 40)
    correction[0, 1, 10, 12] = USUAL_CORRECTION
    assert (trust(correction) == 1).all()
    correction[0, 2, 30, 20] = -2 * USUAL_CORRECTION
    reach = 2 * TRUST_REACH_PX
    expected = torch.ones(1, 1, 40, 40)
    expected[..., 30 - reach : 31 + reach, 20 - reach : 21 + reach] = 0
    assert torch.equal(trust(correction), expected)


def test_a_network_that_explodes_gives_the_bicubic_picture_but_not_while_it_learns() -> None:
    regressor, lr, corruption = exploding(1000), torch.rand(1, 3, 32, 32), torch.tensor([[0.3, 0.0]])
    wild = regressor.train()(lr, corruption).g
    calm = regressor.eval()(lr, corruption).g
    assert float((wild - upsample_bicubic(lr)).abs().max()) > 10
    assert float((calm - upsample_bicubic(lr)).abs().max()) < 2 * USUAL_CORRECTION


def test_a_trusted_picture_is_nearly_what_the_result_gives_when_it_is_halved_again() -> None:
    regressor = MODEL.network.regressor
    soft = upsample_bicubic(upsample_bicubic(torch.rand(1, 3, 10, 8, generator=torch.Generator().manual_seed(1))))
    wrong = []
    for dejpeg in (0.0, 0.5):
        g = regressor(soft, torch.tensor([[dejpeg, 0.0]])).g
        wrong.append(float((regressor.back_projection.halve(g) - soft).abs().mean()))
    assert wrong[0] < wrong[1] / 3


def test_halving_agrees_with_the_protocol_of_the_field() -> None:
    image = picture(40, 32)
    ours = MODEL.network.regressor.back_projection.halve(torch.from_numpy(image).permute(2, 0, 1)[None].float())
    theirs = halve(image).transpose(2, 0, 1)
    assert np.abs(ours[0, :, 2:-2, 2:-2].numpy() - theirs[:, 2:-2, 2:-2]).max() < 1.01


def test_only_faithful_averages_and_never_with_steps() -> None:
    presets = {name: preset(name, Calibration()) for name in PRESET_NAMES}
    assert {name: quality.mirrors for name, quality in presets.items() if quality.mirrors > 1} == {"faithful": 4}
    assert with_steps(presets["faithful"], 2).mirrors == 1
    assert with_steps(presets["faithful"], 0).mirrors == 4
    with pytest.raises(ValueError, match="mirrors"):
        replace(FAITHFUL, max_steps=1)
