"""Requests take turns, leave at once when cancelled, and fail alone."""

import numpy as np
import pytest
import torch

from tilestep.upscaler.diffusion.process import ProcessConfig, ResidualDiffusion
from tilestep.upscaler.engine import EngineLimits, Handle, StepReport, TileEngine, TileRequest
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import Denoiser, NetworkConfig, Regression, Regressor, TileNetwork
from tilestep.upscaler.passes import submit_chain
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

CONFIG = NetworkConfig(
    width=4, shallow_blocks=1, deep_blocks=1, denoiser_width=4, outer_blocks=1, inner_blocks=1, time_features=4
)
FAST = Quality("fast", "shallow")
PLAIN = Quality("plain")
STEPS = Quality("steps", max_steps=3)


class CrampedRegressor(Regressor):
    """Runs out of memory on more than `fits` tiles, less those that are `held` already."""

    fits = 10**9

    def held(self) -> int:
        return 0

    def forward(self, lr: torch.Tensor, corruption: torch.Tensor) -> Regression:
        if len(lr) > self.fits - self.held():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(lr, corruption)


class CrampedDenoiser(Denoiser):
    """Runs out of memory on more than `fits` tiles, or fails in another way."""

    fits = 10**9
    message = "DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes"

    def forward(self, z: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        if len(z) > self.fits:
            raise RuntimeError(self.message)
        return super().forward(z, t, condition)


class CrampedNetwork(TileNetwork):
    """A network on a device that is too small."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.regressor = CrampedRegressor(CONFIG)
        self.denoiser = CrampedDenoiser(CONFIG)


def model(regressor_fits: int = 10**9, denoiser_fits: int = 10**9) -> LoadedModel:
    torch.manual_seed(3)
    network = CrampedNetwork().eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    network.regressor.fits, network.denoiser.fits = regressor_fits, denoiser_fits
    descriptor = ModelDescriptor(CONFIG, ProcessConfig(), read_px=24, shallow_read_px=24, halo_px=4, overlap_px=2)
    return LoadedModel(network, ResidualDiffusion(ProcessConfig()), descriptor, torch.device("cpu"), torch.float32)


def engine_of(loaded: LoadedModel | None = None, batch: int = 4, together: int | None = None) -> TileEngine:
    return TileEngine(loaded or model(), EngineLimits(max_batch=batch, quantum_seconds=1e9, network_batch=together))


def picture(width: int = 40, height: int = 40, channels: int = 3) -> np.ndarray:
    return np.random.default_rng((width, height)).integers(0, 256, (height, width, channels), np.uint8)


class FailingSource(ArraySource):
    """Breaks off in the middle, as a damaged file does."""

    def read(self, start: int, stop: int) -> np.ndarray:
        if stop > 30:
            raise OSError("the file ends here")
        return super().read(start, stop)


class LyingSource(ArraySource):
    """Gives fewer rows than it promised."""

    def read(self, start: int, stop: int) -> np.ndarray:
        return super().read(start, stop)[:-1]


class FailingSink(ArraySink):
    """Fails in the middle, as a full disk does."""

    def write(self, rows: np.ndarray) -> None:
        if self.rows_written > 20:
            raise OSError("no space left")
        super().write(rows)


class Gate:
    """A source that becomes ready, and a sink that has room, when told to."""

    open = False


class GatedSource(ArraySource, Gate):
    """Nothing can be read before it is opened."""

    def ready(self, stop: int) -> bool:
        return self.open


class GatedSink(ArraySink, Gate):
    """Takes nothing before it is opened."""

    def room(self, rows: int) -> bool:
        return self.open


def submit(engine: TileEngine, quality: Quality = STEPS, source: ArraySource | None = None, **options) -> Handle:
    source = source or ArraySource(picture())
    sink = options.pop("sink", None) or ArraySink(2 * source.height, 2 * source.width, source.channels)
    return engine.submit(TileRequest(source, sink, quality, **options))


def finish(engine: TileEngine) -> list[StepReport]:
    return list(iter(engine.step, None))


def result_of(loaded: LoadedModel, **limits) -> tuple[np.ndarray, TileEngine]:
    engine, sink = engine_of(loaded, **limits), ArraySink(80, 80, 3)
    handle = submit(engine, sink=sink)
    finish(engine)
    assert handle.done
    assert handle.error is None
    return sink.picture, engine


def test_every_request_advances_in_turn() -> None:
    engine = engine_of(batch=2)
    handles = [submit(engine, quality) for quality in (FAST, PLAIN, STEPS, FAST, PLAIN)]
    for _ in range(12):
        engine.step()
    assert all(handle.progress.tiles_done or handle.progress.steps_done for handle in handles)
    assert not any(handle.done for handle in handles)


def test_one_regressor_step_is_of_one_depth_and_mixes_requests() -> None:
    engine = engine_of(batch=4)
    shallow, deep = {submit(engine, FAST).id for _ in range(2)}, {submit(engine, PLAIN).id for _ in range(2)}
    reports = [engine.step() for _ in range(4)]
    assert [set(report.tiles) for report in reports] == [shallow, deep, shallow, deep]
    assert all(sum(report.tiles.values()) == report.batch_size == 4 for report in reports)


def test_one_denoising_step_holds_tiles_at_different_steps() -> None:
    engine = engine_of(batch=3)
    one, three = submit(engine, Quality("one", max_steps=1)), submit(engine, STEPS)
    reports = finish(engine)
    mixed = [report for report in reports if report.phase == "denoise" and len(report.tiles) == 2]
    assert mixed
    assert (one.progress.steps_done, three.progress.steps_done) == (one.tiles_total, 3 * three.tiles_total)


def test_cancelling_frees_the_slots_at_once_and_leaves_the_others_alone() -> None:
    engine, ended = engine_of(), []
    sink = ArraySink(80, 80, 3)
    cancelled, other = submit(engine, on_end=ended.append), submit(engine, sink=sink)
    for _ in range(3):
        engine.step()
    both = engine.statistics().slots_in_use
    engine.cancel(cancelled)
    assert engine.statistics().slots_in_use < both
    assert engine.statistics().active_requests == 1
    assert (cancelled.done, cancelled.cancelled, cancelled.error) == (True, True, None)
    engine.cancel(cancelled)
    assert ended == [cancelled]
    assert all(cancelled.id not in report.tiles for report in finish(engine))
    assert other.done
    assert (sink.picture == result_of(model())[0]).all()


def test_cancelling_what_is_done_changes_nothing() -> None:
    engine = engine_of()
    handle = submit(engine, FAST)
    finish(engine)
    engine.cancel(handle)
    assert handle.done
    assert not handle.cancelled


def test_nothing_can_run_while_a_source_is_not_ready_or_a_sink_has_no_room() -> None:
    engine = engine_of()
    source, sink = GatedSource(picture()), GatedSink(80, 80, 3)
    handle = submit(engine, source=source, sink=sink)
    for gate in (source, sink):
        assert engine.step() is None
        assert not handle.done
        gate.open = True
    finish(engine)
    assert handle.done


def test_a_waiting_request_does_not_hold_up_another() -> None:
    engine = engine_of()
    waiting, other = submit(engine, source=GatedSource(picture())), submit(engine)
    finish(engine)
    assert other.done
    assert not waiting.done


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ({"source": FailingSource(picture())}, OSError),
        ({"source": LyingSource(picture())}, ValueError),
        ({"sink": FailingSink(80, 80, 3)}, OSError),
        ({"on_tile": [].pop}, TypeError),
    ],
    ids=["source", "lying source", "sink", "callback"],
)
def test_a_broken_source_sink_or_callback_fails_its_request_alone(broken, kind) -> None:
    engine, ended, sink = engine_of(), [], ArraySink(80, 80, 3)
    bad, good = submit(engine, on_end=ended.append, **broken), submit(engine, sink=sink)
    finish(engine)
    assert isinstance(bad.error, kind)
    assert (bad.done, bad.cancelled) == (True, False)
    assert ended == [bad]
    assert good.error is None
    assert (sink.picture == result_of(model())[0]).all()
    assert engine.statistics().slots_in_use == 0


def test_a_request_that_fails_while_a_batch_is_gathered_does_not_stop_the_engine() -> None:
    engine = engine_of(batch=64)
    bad, good = submit(engine, FAST, FailingSource(picture(8, 60))), submit(engine, PLAIN)
    assert engine.step()
    finish(engine)
    assert isinstance(bad.error, OSError)
    assert good.error is None
    assert good.progress.tiles_done == good.tiles_total


@pytest.mark.parametrize("broken", ["source", "sink"])
def test_a_chain_fails_as_one(broken) -> None:
    engine = engine_of()
    source = FailingSource(picture()) if broken == "source" else ArraySource(picture())
    sink = FailingSink(320, 320, 3) if broken == "sink" else ArraySink(320, 320, 3)
    chain = submit_chain(engine, source, sink, FAST, 8)
    finish(engine)
    assert chain.done
    assert isinstance(chain.error, OSError)
    assert not chain.cancelled
    assert engine.statistics().active_requests == 0


def test_a_chain_is_cancelled_as_one() -> None:
    engine = engine_of()
    chain = submit_chain(engine, ArraySource(picture()), ArraySink(160, 160, 3), FAST, 4)
    engine.step()
    engine.cancel(chain)
    assert chain.done
    assert chain.cancelled
    assert engine.statistics().active_requests == engine.statistics().slots_in_use == 0


@pytest.mark.parametrize("fits", [(2, 10**9), (10**9, 3), (1, 1)])
def test_a_step_that_runs_out_of_memory_is_halved_and_loses_nothing(fits) -> None:
    image, engine = result_of(model(*fits), batch=8, together=8)
    assert engine.statistics().out_of_memory_retries > 0
    assert np.abs(image - result_of(model(), batch=8, together=8)[0]).max() < 1e-4
    assert engine.statistics().batch_size <= min(fits)


def test_a_tile_that_does_not_fit_beside_those_that_wait_begins_once_they_have_left() -> None:
    loaded = model(regressor_fits=3)
    engine, sink = engine_of(loaded, together=8), ArraySink(80, 80, 3)
    loaded.network.regressor.held = lambda: sum(slot.sampling is not None for slot in engine._slots)
    sampled, plain = submit(engine, sink=sink), submit(engine, PLAIN)
    finish(engine)
    assert (sampled.error, plain.error) == (None, None)
    assert engine.statistics().out_of_memory_retries > 0
    assert np.abs(sink.picture - result_of(model(), together=8)[0]).max() < 1e-4


def test_what_held_a_tile_back_may_be_cancelled() -> None:
    loaded = model(regressor_fits=1)
    engine = engine_of(loaded, together=8)
    loaded.network.regressor.held = lambda: sum(slot.sampling is not None for slot in engine._slots)
    sampled = submit(engine, Quality("many steps", max_steps=8))
    while not any(slot.sampling for slot in engine._slots):
        engine.step()
    plain = submit(engine, Quality("plain too"))
    engine.step()
    engine.cancel(sampled)
    finish(engine)
    assert plain.error is None
    assert plain.progress.tiles_done == plain.tiles_total


@pytest.mark.parametrize("where", ["sink", "on_tile"])
def test_a_request_that_cancels_itself_and_then_fails_is_over_once(where) -> None:
    engine, ended = engine_of(), []

    def give_up(_: object) -> None:
        engine.cancel(handle)
        raise OSError("gone")

    sink = ArraySink(80, 80, 3)
    if where == "sink":
        sink.write = give_up
    handle = submit(engine, FAST, sink=sink, on_end=ended.append, on_tile=give_up if where == "on_tile" else None)
    finish(engine)
    assert handle.cancelled
    assert ended == [handle]


def test_a_tile_that_does_not_fit_alone_fails_its_request_and_no_other() -> None:
    engine = engine_of(model(denoiser_fits=0), together=8)
    hopeless, plain, also_plain = submit(engine, STEPS), submit(engine, PLAIN), submit(engine, FAST)
    finish(engine)
    assert isinstance(hopeless.error, RuntimeError)
    assert plain.done
    assert also_plain.done
    assert plain.error is also_plain.error is None


def test_another_error_of_the_network_reaches_the_caller_and_changes_nothing() -> None:
    loaded = model(denoiser_fits=0)
    loaded.network.denoiser.message = "an illegal memory access was encountered"
    engine, sink = engine_of(loaded), ArraySink(80, 80, 3)
    handle = submit(engine, sink=sink)
    engine.step()
    before = engine.statistics()
    with pytest.raises(RuntimeError, match="illegal"):
        engine.step()
    assert engine.statistics() == before
    loaded.network.denoiser.fits = 10**9
    finish(engine)
    assert handle.error is None
    assert (sink.picture == result_of(model())[0]).all()


def test_the_statistics_count_what_happened() -> None:
    engine = engine_of()
    plain, steps = submit(engine, PLAIN), submit(engine, STEPS)
    assert engine.statistics().active_requests == 2
    reports = finish(engine)
    counts, tiles = engine.statistics(), plain.tiles_total
    assert counts.tiles_done == 2 * tiles
    assert counts.steps_histogram == {0: tiles, 3: tiles}
    assert counts.steps_done == 3 * tiles == steps.progress.steps_done
    assert counts.batch_size == reports[-1].batch_size
    assert counts.network_seconds == pytest.approx(sum(report.seconds for report in reports))
    assert (counts.active_requests, counts.slots_in_use, counts.out_of_memory_retries) == (0, 0, 0)


def test_progress_forecasts_the_steps_and_ends_exact() -> None:
    engine = engine_of()
    handle = submit(engine, STEPS)
    assert handle.progress.steps_expected == 3 * handle.tiles_total
    finish(engine)
    assert handle.progress.steps_done == handle.progress.steps_expected == 3 * handle.tiles_total
