"""Blending: shares add up to one, borders do not fade, and the canvas passes rows on as soon as it can."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.upscaler.tiling.blend import axis_weights, ramp
from tilestep.upscaler.tiling.canvas import Canvas
from tilestep.upscaler.tiling.fixed import FixedPixels, decode, encode
from tilestep.upscaler.tiling.plan import Axis, Tile, TileGeometry, TilePlan
from tilestep.upscaler.tiling.rows import ArraySink

SCALE = 2
GEOMETRY = TileGeometry(20, 3, 4)
calm = settings(deadline=None, max_examples=40)
axes = st.builds(
    lambda length, halo, overlap, extra, origin: Axis(
        length, TileGeometry(2 * halo + 2 * overlap + extra, halo, overlap), origin
    ),
    st.integers(1, 150),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(3, 30),
    st.integers(-50, 50),
)


@given(axes)
@calm
def test_the_shares_of_all_tiles_at_any_pixel_add_up_to_one(axis: Axis) -> None:
    total = np.zeros(SCALE * axis.length, np.float64)
    for index in range(axis.count):
        span = axis.span(index)
        written = slice(SCALE * span.written.start, SCALE * span.written.stop)
        total[written] += axis_weights(span, axis.geometry.overlap_px, SCALE)
    assert np.abs(total - 1).max() <= 1e-6


@given(axes)
@calm
def test_the_border_of_the_picture_does_not_fade(axis: Axis) -> None:
    first, last = (axis_weights(axis.span(i), axis.geometry.overlap_px, SCALE) for i in (0, axis.count - 1))
    assert first[0] == 1
    assert last[-1] == 1


@given(st.integers(0, 64))
@calm
def test_a_ramp_rises_like_a_raised_cosine_and_completes_its_mirror_image(length: int) -> None:
    rising = ramp(length)
    assert all(before < after for before, after in pairwise(rising))
    assert np.allclose(rising + rising[::-1], 1, rtol=0, atol=1e-7)
    assert np.allclose(rising, np.sin(np.pi / 2 * (np.arange(length) + 0.5) / max(length, 1)) ** 2, atol=1e-6)


def test_eight_bit_levels_survive_the_two_byte_form_exactly() -> None:
    levels = torch.arange(256, dtype=torch.float64) / 255
    assert np.abs(decode(encode(levels).numpy()) * 255 - np.arange(256)).max() < 1e-4


def test_values_far_outside_the_range_are_cut_a_little_outside_it() -> None:
    assert decode(encode(torch.tensor([-9.0, 9.0])).numpy()) == pytest.approx([-0.25, 1.25], abs=1e-4)


def scene(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * 1000 + height).random((height, width, 3), np.float32)


def core_of(tile: Tile, picture: np.ndarray) -> FixedPixels:
    """The core of a tile cut from a result; what hangs over the border is noise that must not show."""
    core = np.full((SCALE * len(tile.y.core), SCALE * len(tile.x.core), 3), 0.123, np.float32)
    rows = slice(SCALE * tile.y.written.start, SCALE * tile.y.written.stop)
    columns = slice(SCALE * tile.x.written.start, SCALE * tile.x.written.stop)
    y, x = (SCALE * (s.written.start - s.core.start) for s in (tile.y, tile.x))
    cut = picture[rows, columns]
    core[y : y + cut.shape[0], x : x + cut.shape[1]] = cut
    pixels: FixedPixels = encode(torch.from_numpy(core)).numpy()
    return pixels


sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))
origins = st.tuples(st.integers(-20, 20), st.integers(-20, 20))


@given(sizes, origins, st.randoms(use_true_random=False))
@calm
def test_tiles_that_agree_make_the_picture_they_were_cut_from(size, origin, random) -> None:
    width, height = size
    picture = scene(SCALE * width, SCALE * height)
    plan = TilePlan(width, height, GEOMETRY, *origin)
    canvas, sink = Canvas(plan, 3, SCALE, window_bytes=0), ArraySink(SCALE * height, SCALE * width, 3)
    waiting = list(range(plan.count))
    while waiting:
        allowed = [i for i in waiting if canvas.has_room(plan.tile(i).row)]
        tile = plan.tile(random.choice(allowed))
        waiting.remove(tile.index)
        canvas.put(tile, core_of(tile, picture))
        canvas.flush(sink)
    assert canvas.finished
    assert np.abs(sink.picture - picture).max() < 3e-5


def test_the_order_in_which_tiles_finish_cannot_change_a_bit() -> None:
    plan = TilePlan(50, 50, GEOMETRY)
    results = []
    for order in (range(plan.count), reversed(range(plan.count))):
        canvas, sink = Canvas(plan, 3, SCALE), ArraySink(100, 100, 3)
        for index in order:
            random = np.random.default_rng(index).integers(-9000, 9000, (28, 28, 3), np.int16)
            canvas.put(plan.tile(index), random)
        canvas.flush(sink)
        results.append(sink.picture)
    assert (results[0] == results[1]).all()


class NarrowSink(ArraySink):
    """Has room for `free` rows."""

    free = 0

    def room(self, rows: int) -> bool:
        return rows <= self.free

    def write(self, rows: np.ndarray) -> None:
        self.free -= len(rows)
        super().write(rows)


def test_nothing_is_passed_on_without_room_and_nothing_is_lost_by_waiting() -> None:
    plan, picture = TilePlan(30, 30, GEOMETRY), scene(60, 60)
    canvas, sink = Canvas(plan, 3, SCALE), NarrowSink(60, 60, 3)
    for index in range(plan.count):
        canvas.put(plan.tile(index), core_of(plan.tile(index), picture))
    canvas.flush(sink)
    assert not sink.picture.any()
    for _ in range(60):
        sink.free += 1 if sink.free < 16 else 0
        canvas.flush(sink)
        sink.free = max(sink.free, 16)
    assert np.abs(sink.picture - picture).max() < 3e-5


def test_a_picture_16384_wide_waits_in_less_than_50_megabytes() -> None:
    plan = TilePlan(8192, 8192, TileGeometry(96, 8, 8))
    canvas, sink = Canvas(plan, 4, SCALE), NarrowSink(1, 1, 4)
    core = np.zeros((160, 160, 4), np.int16)
    index = 0
    while canvas.has_room(plan.tile(index).row):
        canvas.put(plan.tile(index), core)
        canvas.flush(sink)
        index += 1
    assert index == 2 * plan.columns
    assert canvas.held_bytes < 50e6


def test_a_narrow_picture_may_have_more_rows_of_tiles_open() -> None:
    assert Canvas(TilePlan(90, 10**5, TileGeometry()), 3, SCALE).has_room(20)
    assert not Canvas(TilePlan(8192, 10**5, TileGeometry()), 3, SCALE).has_room(2)
