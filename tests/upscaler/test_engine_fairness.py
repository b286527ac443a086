"""No kind of request keeps another from the device, whatever its quality costs."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from tilestep.upscaler.diffusion.process import ProcessConfig, ResidualDiffusion
from tilestep.upscaler.engine import EngineLimits, Handle, StepReport, TileEngine, TileRequest
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

CONFIG = NetworkConfig(
    width=4, shallow_blocks=1, deep_blocks=1, denoiser_width=4, outer_blocks=1, inner_blocks=1, time_features=4
)
FAST = Quality("fast", "shallow")
PLAIN = Quality("plain")
STEPS = Quality("steps", max_steps=4)
LONG = Quality("long", max_steps=50)
FAITHFUL = Quality("faithful", mirrors=4)
BATCH = 4
SMALL, LARGE = (40, 26), (160, 160)
SMALL_TILES = 6


def model() -> LoadedModel:
    torch.manual_seed(3)
    network = TileNetwork(CONFIG).eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    descriptor = ModelDescriptor(CONFIG, ProcessConfig(), read_px=24, shallow_read_px=24, halo_px=4, overlap_px=2)
    return LoadedModel(network, ResidualDiffusion(ProcessConfig()), descriptor, torch.device("cpu"), torch.float32)


MODEL = model()


def engine_of(batch: int = BATCH, together: int | None = BATCH) -> TileEngine:
    return TileEngine(MODEL, EngineLimits(max_batch=batch, quantum_seconds=1e9, network_batch=together))


def submit(engine: TileEngine, quality: Quality, size: tuple[int, int] = LARGE, sink=None) -> Handle:
    picture = np.random.default_rng(size).integers(0, 256, (size[1], size[0], 3), np.uint8)
    sink = sink or ArraySink(2 * size[1], 2 * size[0], 3)
    return engine.submit(TileRequest(ArraySource(picture), sink, quality, seed=len(quality.name)))


def steps_with(engine: TileEngine, handle: Handle) -> list[int]:
    """Which of the next steps, from 1, had tiles of a request, until it is done or 150 are over."""
    found = []
    for number in range(1, 151):
        report = engine.step()
        if report and handle.id in report.tiles:
            found.append(number)
        if handle.done:
            break
    assert handle.done
    return found


def after(steps: int, engine: TileEngine) -> list[StepReport]:
    reports = [engine.step() for _ in range(steps)]
    return [report for report in reports if report]


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_a_small_fast_request_does_not_wait_for_a_large_faithful_one(batch) -> None:
    engine = engine_of(batch, batch)
    large = submit(engine, FAITHFUL)
    after(3, engine)
    found = steps_with(engine, submit(engine, FAST, SMALL))
    assert found[0] <= 2
    assert found[-1] <= 2 * math.ceil(SMALL_TILES / min(batch, 4))
    assert not large.done


def test_a_request_of_one_pass_shares_the_batches_of_one_that_needs_four() -> None:
    engine = engine_of()
    submit(engine, FAITHFUL)
    after(3, engine)
    found = steps_with(engine, submit(engine, PLAIN, SMALL))
    assert found == list(range(1, 1 + math.ceil(SMALL_TILES / (BATCH / 2))))


def test_a_second_faithful_request_begins_when_the_tiles_of_the_first_are_done() -> None:
    engine = engine_of()
    submit(engine, FAITHFUL)
    after(3, engine)
    found = steps_with(engine, submit(engine, FAITHFUL, SMALL))
    assert found[0] <= FAITHFUL.mirrors
    assert found[-1] <= 2 * FAITHFUL.mirrors * math.ceil(SMALL_TILES / BATCH) + FAITHFUL.mirrors


def test_tiles_in_mid_sampling_go_on_when_a_faithful_request_comes() -> None:
    engine = engine_of(batch=16)
    balanced = submit(engine, STEPS, SMALL)
    after(3, engine)
    assert 0 < balanced.progress.steps_done < balanced.progress.steps_expected
    submit(engine, FAITHFUL)
    found = steps_with(engine, balanced)
    assert max(later - earlier for earlier, later in pairwise([0, *found])) <= 3


def test_a_small_request_with_steps_does_not_wait_for_a_large_faithful_one() -> None:
    engine = engine_of(batch=16)
    large = submit(engine, FAITHFUL)
    after(3, engine)
    found = steps_with(engine, submit(engine, STEPS, SMALL))
    assert found[0] <= 3
    assert max(later - earlier for earlier, later in pairwise(found)) <= 3
    assert found[-1] <= 3 * math.ceil(SMALL_TILES / 4) * (1 + STEPS.max_steps)
    assert not large.done


def test_a_request_of_many_steps_does_not_keep_another_from_sampling() -> None:
    engine = engine_of()
    large = submit(engine, LONG)
    after(8, engine)
    found = steps_with(engine, submit(engine, STEPS, SMALL))
    assert found[0] <= 2
    assert max(later - earlier for earlier, later in pairwise(found)) <= 2
    assert large.progress.tiles_done < SMALL_TILES


def test_no_kind_has_two_steps_in_a_row_while_others_wait() -> None:
    engine = engine_of()
    handles = {submit(engine, quality).id for quality in (FAITHFUL, STEPS, FAST)}
    reports = after(40, engine)
    kinds = 4
    for start in range(len(reports) - kinds):
        assert set().union(*(report.tiles for report in reports[start : start + kinds])) == handles


def test_tiles_between_steps_stay_below_two_batches_and_those_between_passes_below_one() -> None:
    sampling, averaging = engine_of(), engine_of()
    for _ in range(3):
        submit(sampling, LONG, SMALL)
        submit(sampling, STEPS, SMALL)
        submit(averaging, FAITHFUL, SMALL)
    while sampling.step():
        assert sampling.statistics().slots_in_use < 2 * BATCH
    while averaging.step():
        assert averaging.statistics().slots_in_use <= BATCH


def test_every_quality_gives_the_bits_that_it_gives_alone() -> None:
    qualities = (FAITHFUL, STEPS, FAST, PLAIN)
    shared, sinks = engine_of(together=None), [ArraySink(52, 80, 3) for _ in qualities]
    for quality, sink in zip(qualities, sinks, strict=True):
        submit(shared, quality, SMALL, sink)
    after(100, shared)
    for quality, sink in zip(qualities, sinks, strict=True):
        engine, alone = engine_of(1, None), ArraySink(52, 80, 3)
        submit(engine, quality, SMALL, alone)
        after(100, engine)
        assert sink.picture.any()
        assert (sink.picture == alone.picture).all()
