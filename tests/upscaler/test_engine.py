"""The engine turns pictures of any size into pictures twice as large, whatever runs beside them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.upscaler.diffusion.process import ProcessConfig, ResidualDiffusion
from tilestep.upscaler.engine import EngineLimits, Handle, TileEngine, TileOutcome, TileRequest
from tilestep.upscaler.errors import OptionError
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork
from tilestep.upscaler.passes import submit_chain, upscale_array
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

SMALL = NetworkConfig(
    width=8, shallow_blocks=1, deep_blocks=1, denoiser_width=8, outer_blocks=1, inner_blocks=1, time_features=8
)
FAST = Quality("fast", "shallow")
PLAIN = Quality("plain", "deep")
STEPS = Quality("steps", "deep", max_steps=3)
ADAPTIVE = Quality("adaptive", "deep", max_steps=3, thresholds=(2.1, 2.6, 2.9), exit_change=0.4)


def tiny_model(trained: bool = True, read: int = 32, halo: int = 8, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """A network of random weights; untrained, it is the bicubic filter, projected back."""
    torch.manual_seed(7)
    network = TileNetwork(SMALL).eval().requires_grad_(False)
    for name, weight in network.named_parameters() if trained else ():
        gain = 0.5 if "_head" in name else 0.7
        torch.nn.init.normal_(weight, std=gain / weight[0].numel() ** 0.5 if weight.dim() > 1 else 0.0)
    descriptor = ModelDescriptor(SMALL, ProcessConfig(), read_px=read, shallow_read_px=read, halo_px=halo, overlap_px=4)
    return LoadedModel(network.to(dtype), ResidualDiffusion(ProcessConfig()), descriptor, torch.device("cpu"), dtype)


MODEL = tiny_model()
BICUBIC = tiny_model(trained=False)


def picture(width: int, height: int, channels: int = 3, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """A smooth random picture with an edge in it."""
    random = np.random.default_rng((seed, width, height, channels))
    y, x = np.mgrid[:height, :width] / 9.0
    waves = [np.sin(x * a + y * b + c) for a, b, c in random.uniform(0, 2, (channels, 3))]
    values = 0.5 + 0.35 * np.stack(waves, 2) + 0.1 * (x > y)[..., None]
    return (values * np.iinfo(dtype).max).astype(dtype)


class Run:
    """A request with what came of it."""

    def __init__(self, engine: TileEngine, image: np.ndarray, quality: Quality = ADAPTIVE, **options) -> None:
        self.tiles: list[TileOutcome] = []
        self.sink = ArraySink(2 * image.shape[0], 2 * image.shape[1], image.shape[2])
        request = TileRequest(ArraySource(image), self.sink, quality, on_tile=self.tiles.append, **options)
        self.handle: Handle = engine.submit(request)

    @property
    def result(self) -> np.ndarray:
        assert self.handle.done
        assert self.handle.error is None
        return self.sink.picture


def finish(engine: TileEngine) -> list:
    return list(iter(engine.step, None))


def alone(image: np.ndarray, quality: Quality = ADAPTIVE, model: LoadedModel = MODEL, **options) -> np.ndarray:
    engine = TileEngine(model)
    run = Run(engine, image, quality, **options)
    finish(engine)
    return run.result


@given(st.integers(1, 45), st.integers(1, 45), st.sampled_from([3, 4]), st.sampled_from([np.uint8, np.uint16]))
@settings(max_examples=12, deadline=None)
def test_any_size_comes_out_twice_as_large_and_without_a_seam(width, height, channels, dtype) -> None:
    image = picture(width, height, channels, dtype=dtype)
    result = alone(image, PLAIN, BICUBIC)
    values = torch.from_numpy(image.astype(np.float32) / np.iinfo(dtype).max).permute(2, 0, 1)[None]
    padded = torch.nn.functional.pad(values, (9, 9, 9, 9), mode="replicate")
    whole = BICUBIC.network.regressor(padded[:, :3], torch.zeros(1, 2)).g
    expected = whole[0, :, 18:-18, 18:-18].permute(1, 2, 0).numpy()
    inner = (slice(12, -12), slice(12, -12))
    assert result.shape == (2 * height, 2 * width, channels)
    assert np.abs(result[..., :3] - expected)[inner].max(initial=0) < 5e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (7, 31)])
@pytest.mark.parametrize("quality", [FAST, STEPS], ids=["regressor", "denoiser"])
def test_the_smallest_and_the_most_extreme_pictures_work(size, quality) -> None:
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    result = alone(image, quality)
    assert result.shape == (2 * size[1], 2 * size[0], 3)
    assert np.isfinite(result).all()


def test_sixteen_bits_are_read_without_loss() -> None:
    image = np.full((5, 5, 3), 12345, np.uint16)
    assert np.abs(alone(image, PLAIN, BICUBIC) * 65535 - 12345).max() <= 1


def test_depth_and_steps_each_change_the_picture() -> None:
    image = picture(40, 40)
    results = [alone(image, q) for q in (FAST, PLAIN, STEPS)]
    assert all(np.abs(a - b).mean() > 1e-3 for a, b in pairwise(results))


def test_the_seed_and_the_corruption_count() -> None:
    image = picture(20, 20)
    results = [alone(image, STEPS, **o) for o in ({}, {"seed": 1}, {"dejpeg": 0.5}, {"deblur": 0.5})]
    assert all(np.abs(results[0] - other).max() > 1e-4 for other in results[1:])


@pytest.mark.parametrize("option", ["dejpeg", "deblur"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_corruption_outside_its_range_is_refused_in_plain_words(option, value) -> None:
    with pytest.raises(OptionError, match="from 0 to 1"):
        Run(TileEngine(MODEL), picture(4, 4), **{option: value})


def companions(engine: TileEngine) -> list[Run]:
    return [
        Run(engine, picture(30, 20, seed=1), STEPS, seed=3),
        Run(engine, picture(14, 28, 4, seed=2), FAST),
        Run(engine, picture(20, 20, seed=3), PLAIN, dejpeg=0.7),
    ]


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_same_request_gives_the_same_bits_whoever_shares_the_batch(batch) -> None:
    image = picture(40, 30, seed=9)
    engine = TileEngine(MODEL, EngineLimits(max_batch=batch, quantum_seconds=1e9))
    others = companions(engine)
    run = Run(engine, image, seed=5)
    finish(engine)
    assert (run.result == alone(image, seed=5)).all()
    assert all(other.handle.done for other in others)


def test_the_order_of_requests_does_not_matter() -> None:
    images = [picture(30, 20, seed=i) for i in range(3)]
    results = []
    for order in ([0, 1, 2], [2, 0, 1]):
        engine = TileEngine(MODEL)
        runs = {i: Run(engine, images[i], seed=i) for i in order}
        finish(engine)
        results.append([runs[i].result for i in range(3)])
    assert all((a == b).all() for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("quality", [PLAIN, STEPS], ids=["regressor", "denoiser"])
@pytest.mark.parametrize("origin", [(2, 0), (0, 6), (14, 22)])
def test_moving_the_tile_grid_hardly_changes_the_picture(origin, quality) -> None:
    model, image = tiny_model(read=64, halo=20), picture(50, 50)
    moved = alone(image, quality, model, origin_x=origin[0], origin_y=origin[1])
    change = np.abs(moved - alone(image, quality, model)) * 255
    assert (change <= 2).mean() >= 0.99


def test_each_tile_takes_its_own_number_of_steps_and_says_so() -> None:
    image = np.full((60, 90, 3), 128, np.uint8)
    image[:, 45:] = np.random.default_rng(0).integers(0, 255, (60, 45, 3))
    engine = TileEngine(MODEL)
    run = Run(engine, image)
    finish(engine)
    steps = [tile.steps for tile in run.tiles]
    assert len(set(steps)) > 1
    assert all(tile.steps <= ADAPTIVE.steps_for(tile.uncertainty) for tile in run.tiles)
    assert run.handle.progress.steps_done == run.handle.progress.steps_expected == sum(steps)
    assert engine.statistics().steps_histogram == {s: steps.count(s) for s in sorted(set(steps))}


def test_sampling_stops_early_when_the_estimate_stops_changing() -> None:
    eager = Quality("eager", "deep", max_steps=6, exit_change=1e9)
    engine = TileEngine(MODEL)
    run = Run(engine, picture(30, 30), eager)
    finish(engine)
    assert {tile.steps for tile in run.tiles} == {2}


def test_the_result_is_the_clean_estimate_and_not_the_noisy_state() -> None:
    one_step = Quality("one", "deep", max_steps=1)
    flat = np.full((40, 40, 3), 128, np.uint8)
    silent = tiny_model()
    torch.nn.init.zeros_(silent.network.denoiser.head.weight)
    torch.nn.init.zeros_(silent.network.denoiser.head.bias)
    assert np.abs(alone(flat, one_step, silent) - alone(flat, PLAIN, silent)).max() < 5e-5


def test_tiles_written_cover_the_picture() -> None:
    engine = TileEngine(MODEL)
    run = Run(engine, picture(50, 40), FAST)
    finish(engine)
    written = np.zeros((40, 50), int)
    for tile in run.tiles:
        written[tile.rows.start : tile.rows.stop, tile.columns.start : tile.columns.stop] += 1
    assert written.min() == 1
    assert run.handle.progress.tiles_done == len(run.tiles) == run.handle.tiles_total


def test_a_constant_opacity_costs_no_slot_and_an_edge_in_it_costs_one() -> None:
    image = picture(12, 12, 4)
    counts = []
    for right in (200, 10):
        image[..., 3] = 200
        image[:, 6:, 3] = right
        engine = TileEngine(MODEL)
        run = Run(engine, image, FAST)
        counts.append(sum(report.batch_size for report in finish(engine)))
        assert np.abs(run.result[:, :6, 3] * 255 - 200).max() < 0.01
    assert counts == [1, 2]


def test_no_dark_fringe_appears_around_what_is_opaque() -> None:
    y, x = np.mgrid[:48, :48]
    disc = (x - 24) ** 2 + (y - 24) ** 2 < 15**2
    image = np.where(disc[..., None], np.array([250, 120, 40, 255]), 0).astype(np.uint8)
    result = alone(image, PLAIN, BICUBIC)
    seen = result[..., 3] > 0.02
    assert np.abs(result[seen][:, :3] * 255 - [250, 120, 40]).max() < 1


def test_transparent_rubbish_does_not_show_and_does_not_depend_on_the_grid() -> None:
    image = picture(70, 40, 4)
    image[..., 3] = np.where(np.mgrid[:40, :70][1] < 37, 255, 0)
    clean = alone(image, PLAIN)
    image[image[..., 3] == 0, :3] = 255
    assert (alone(image, PLAIN) == clean).all()
    moved = alone(image, PLAIN, tiny_model(read=64, halo=20), origin_x=6)
    still = alone(image, PLAIN, tiny_model(read=64, halo=20))
    assert (np.abs(moved - still)[still[..., 3] > 0.02] * 255 <= 2).mean() >= 0.99


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_within_a_level_whoever_shares_the_batch(dtype) -> None:
    model, image = tiny_model(dtype=dtype), picture(20, 16)
    engine = TileEngine(model, EngineLimits(network_batch=5))
    companions(engine)
    run = Run(engine, image, STEPS)
    finish(engine)
    assert (np.abs(run.result - alone(image, STEPS, model)) * 255 <= 1).mean() >= 0.999


@pytest.mark.parametrize(("scale", "quality"), [(2, STEPS), (4, STEPS), (8, PLAIN)])
def test_an_array_is_enlarged_in_passes(scale, quality) -> None:
    image = picture(5, 7, 4)
    result = upscale_array(MODEL, image, quality, scale=scale, dejpeg=0.4)
    expected = image
    for number in range(scale.bit_length() - 1):
        values = np.clip(alone(expected, quality, dejpeg=0.0 if number else 0.4), 0, 1)
        expected = (values * 65535 + 0.5).astype(np.uint16)
    assert result.shape == (7 * scale, 5 * scale, 4)
    assert np.abs(result - expected / 65535.0).max() < 2e-5


@pytest.mark.parametrize("scale", [0, 1, 3, 16])
def test_another_scale_is_refused_in_plain_words(scale) -> None:
    engine = TileEngine(MODEL)
    with pytest.raises(OptionError, match="2, 4 or 8"):
        submit_chain(engine, ArraySource(picture(4, 4)), ArraySink(4, 4, 3), FAST, scale)
    assert engine.statistics().active_requests == 0
