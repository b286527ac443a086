"""Rows flow from source to sink in bands: nothing is held whole, nothing is read twice, and no chain stands still."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.upscaler.diffusion.process import ProcessConfig, ResidualDiffusion
from tilestep.upscaler.engine import EngineLimits, TileEngine, TileRequest
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork
from tilestep.upscaler.passes import submit_chain
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.tiling.band import SourceBand
from tilestep.upscaler.tiling.plan import TileGeometry, TilePlan
from tilestep.upscaler.tiling.rows import BAND_ROWS, ArraySink, ArraySource, RowPipe

TINIEST = NetworkConfig(
    width=2, shallow_blocks=1, deep_blocks=1, denoiser_width=2, outer_blocks=1, inner_blocks=1, time_features=2
)
GEOMETRY = TileGeometry(24, 4, 2)
FAST = Quality("fast", "shallow")


def tiniest_model() -> LoadedModel:
    descriptor = ModelDescriptor(TINIEST, ProcessConfig(), read_px=24, shallow_read_px=24, halo_px=4, overlap_px=2)
    network = TileNetwork(TINIEST).eval().requires_grad_(False)
    return LoadedModel(network, ResidualDiffusion(ProcessConfig()), descriptor, torch.device("cpu"), torch.float32)


MODEL = tiniest_model()


def picture(width: int, height: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng((width, height)).integers(0, 256, (height, width, channels), np.uint8)


class WatchedSource(ArraySource):
    """Remembers what was read."""

    def __init__(self, image: np.ndarray) -> None:
        super().__init__(image)
        self.reads: list[range] = []

    def read(self, start: int, stop: int) -> np.ndarray:
        self.reads.append(range(start, stop))
        return super().read(start, stop)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3))])
def test_an_array_of_another_kind_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="uint8 or uint16"):
        ArraySource(bad)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(-9, 9))
@settings(deadline=None, max_examples=40)
def test_a_patch_is_the_picture_reflected_at_its_borders_and_every_row_is_read_once(width, height, origin) -> None:
    image, plan = picture(width, height), TilePlan(width, height, GEOMETRY, origin, origin)
    source = WatchedSource(image)
    band = SourceBand(source)
    beyond = GEOMETRY.halo_px
    padded = np.pad(image, ((beyond, beyond), (beyond, beyond), (0, 0)), mode="reflect")
    for index in range(plan.count):
        tile = plan.tile(index)
        patch = (band.patch(tile) * 255).round().astype(np.uint8)
        assert patch.shape == (24, 24, 3)
        inside = [
            range(max(s.read.start, -beyond), min(s.read.stop, n + beyond))
            for s, n in ((tile.y, height), (tile.x, width))
        ]
        y, x = (slice(r.start + beyond, r.stop + beyond) for r in inside)
        mine = patch[inside[0].start - tile.y.read.start :, inside[1].start - tile.x.read.start :]
        assert (mine[: len(inside[0]), : len(inside[1])] == padded[y, x]).all()
    assert [row for read in source.reads for row in read] == list(range(height))


def test_a_band_of_a_tall_picture_keeps_one_row_of_tiles_only() -> None:
    image, plan = picture(3, 2000), TilePlan(3, 2000, GEOMETRY)
    band = SourceBand(ArraySource(image))
    for index in range(plan.count):
        band.patch(plan.tile(index))
        assert band.held_rows <= GEOMETRY.read_px


def test_sixteen_bit_values_can_be_told_apart_after_conversion() -> None:
    image = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, 2)
    plan, band = TilePlan(256, 256, TileGeometry(256, 0, 0)), SourceBand(ArraySource(image))
    assert (np.rint(band.patch(plan.tile(0)) * 65535.0).astype(np.uint16) == image).all()


@given(st.lists(st.integers(1, BAND_ROWS), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_a_pipe_gives_out_in_order_what_came_in_and_is_never_fuller_than_its_capacity(bands, random) -> None:
    height = sum(bands)
    image = picture(2, height) / np.float32(255)
    pipe = RowPipe(2, height, 3, GEOMETRY)
    written = read = 0
    while read < height:
        if bands and pipe.room(bands[0]):
            pipe.write(image[written : written + bands[0]])
            written += bands.pop(0)
        stop = min(height, read + random.randint(1, GEOMETRY.read_px))
        if pipe.ready(stop):
            assert np.abs(pipe.read(read, stop) / 65535.0 - image[read:stop]).max() < 1e-5
            read = stop
    assert pipe.peak_rows <= pipe.capacity < GEOMETRY.read_px + BAND_ROWS


def test_a_pipe_skips_rows_that_nobody_wants_and_refuses_rows_that_are_gone() -> None:
    pipe = RowPipe(1, 30, 3, GEOMETRY)
    pipe.write(np.linspace(0, 1, 12, dtype=np.float32)[:, None, None].repeat(3, 2))
    assert pipe.read(5, 7)[0, 0, 0] == round(65535 * 5 / 11)
    for rows in ((4, 8), (7, 13)):
        with pytest.raises(ValueError, match="asked for"):
            pipe.read(*rows)


def test_a_pipe_clips_what_lies_outside_the_range() -> None:
    pipe = RowPipe(1, 2, 3, GEOMETRY)
    pipe.write(np.array([[[-0.2] * 3], [[1.2] * 3]], np.float32))
    assert pipe.read(0, 2)[:, 0, 0].tolist() == [0, 65535]


@given(st.integers(1, 40), st.integers(1, 60), st.sampled_from([2, 4, 8]), st.integers(1, 9))
@settings(deadline=None, max_examples=15)
def test_a_chain_of_passes_never_stands_still(width, height, scale, batch) -> None:
    if scale == 8:
        width, height = 1 + width // 4, 1 + height // 3
    engine = TileEngine(MODEL, EngineLimits(max_batch=batch, quantum_seconds=1e9))
    sink = ArraySink(scale * height, scale * width, 3)
    chain = submit_chain(engine, ArraySource(picture(width, height)), sink, FAST, scale)
    while engine.step():
        pass
    assert chain.done
    assert chain.error is None
    assert chain.progress.tiles_done == chain.progress.tiles_total
    assert sink.rows_written == scale * height


def test_the_middle_picture_of_two_passes_never_exists_whole() -> None:
    engine = TileEngine(MODEL, EngineLimits(max_batch=64, quantum_seconds=1e9))
    source, height = ArraySource(picture(4, 400)), 400
    pipe, sink = RowPipe(8, 2 * height, 3, engine.geometry(Quality("q"))), ArraySink(4 * height, 16, 3)
    engine.submit(TileRequest(source, pipe, FAST))
    last = engine.submit(TileRequest(pipe, sink, FAST))
    while engine.step():
        pass
    assert last.done
    assert pipe.peak_rows <= pipe.capacity < 50


def test_two_chains_in_one_engine_both_arrive() -> None:
    engine = TileEngine(MODEL)
    sinks = [ArraySink(80, 40, 3), ArraySink(160, 80, 4)]
    chains = [
        submit_chain(engine, ArraySource(picture(10, 20)), sinks[0], FAST, 4),
        submit_chain(engine, ArraySource(picture(10, 20, 4)), sinks[1], FAST, 8),
    ]
    while engine.step():
        pass
    assert all(chain.done and not chain.error for chain in chains)
    assert [sink.rows_written for sink in sinks] == [80, 160]
