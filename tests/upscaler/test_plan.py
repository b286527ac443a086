"""Every pixel of every size is covered, by tiles that follow from integers alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.upscaler.tiling.plan import Axis, TileGeometry, TilePlan, reflect, reflected

geometries = st.builds(
    lambda halo, overlap, extra: TileGeometry(2 * halo + 2 * overlap + extra, halo, overlap),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(3, 30),
)
calm = settings(deadline=None, max_examples=40)
axes = st.builds(Axis, st.integers(1, 150), geometries, st.integers(-100, 100), st.sampled_from([0, 2, 4]))


@given(axes)
@calm
def test_every_pixel_is_written_by_one_tile_or_by_two_neighbours_in_their_overlap(axis: Axis) -> None:
    writers = np.zeros(axis.length, int)
    for index in range(axis.count):
        span = axis.span(index)
        writers[span.written.start : span.written.stop] += 1
        assert len(span.written) > 0
    assert writers.min() >= 1
    assert writers.max() <= 2
    shared = sum(len(range(axis.span(i + 1).written.start, axis.span(i).written.stop)) for i in range(axis.count - 1))
    assert (writers == 2).sum() == shared == (axis.count - 1) * axis.geometry.overlap_px


@given(axes)
@calm
def test_the_finished_parts_follow_each_other_and_add_up_to_the_side(axis: Axis) -> None:
    at = 0
    for index in range(axis.count):
        part = axis.finished(index)
        assert part.start == at
        assert part.stop > part.start
        at = part.stop
    assert at == axis.length


@given(axes)
@calm
def test_tiles_lie_on_a_grid_that_does_not_depend_on_the_size(axis: Axis) -> None:
    longer = Axis(axis.length + 17, axis.geometry, axis.origin)
    starts = [axis.span(i).core.start for i in range(axis.count)]
    assert starts == [longer.span(i).core.start for i in range(axis.count)]
    assert all((axis.span(i).core.start - axis.origin) % axis.geometry.stride_px == 0 for i in range(axis.count))


@given(axes)
@calm
def test_a_tile_reads_its_core_and_a_halo_on_each_side(axis: Axis) -> None:
    span, size = axis.span(axis.count - 1), axis.geometry
    assert (span.read.start + size.halo_px, span.read.stop - size.halo_px) == (span.core.start, span.core.stop)


@given(axes)
@calm
def test_only_a_trimmed_last_tile_is_smaller_and_hardly_hangs_over(axis: Axis) -> None:
    cores = [axis.span(i).core for i in range(axis.count)]
    assert all(len(core) == axis.geometry.core_px for core in cores[: -1 if axis.trim_to else None])
    if axis.trim_to:
        assert axis.length <= cores[-1].stop < axis.length + axis.trim_to or len(cores[-1]) == axis.geometry.core_px
        assert len(cores[-1]) % axis.trim_to == 0 or len(cores[-1]) == axis.geometry.core_px


@given(st.integers(1, 40), st.integers(1, 40), geometries)
@calm
def test_tiles_are_numbered_row_by_row(width: int, height: int, geometry: TileGeometry) -> None:
    plan = TilePlan(width, height, geometry)
    order = [(t.row, t.column) for t in map(plan.tile, range(plan.count))]
    assert order == [(row, column) for row in range(plan.rows) for column in range(plan.columns)]


def test_a_plan_of_a_million_tiles_costs_nothing_until_a_tile_is_asked_for() -> None:
    plan = TilePlan(10**6, 10**6, TileGeometry())
    assert plan.count > 10**8
    assert plan.tile(plan.count - 1).x.visible.stop == 10**6


def test_a_tile_outside_the_plan_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        TilePlan(5, 5, TileGeometry()).tile(1)


@pytest.mark.parametrize(("read", "halo", "overlap"), [(16, 8, 0), (16, 4, 5), (16, -1, 0), (16, 0, -1), (0, 0, 0)])
def test_a_geometry_that_leaves_too_little_to_write_is_refused(read: int, halo: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=r"halo|leaves"):
        TileGeometry(read, halo, overlap)


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        Axis(0, TileGeometry())


@given(st.integers(1, 12), st.integers(0, 30))
@calm
def test_reflection_is_what_numpy_does_beyond_a_border(length: int, beyond: int) -> None:
    padded = np.pad(np.arange(length), beyond, mode="reflect")
    assert list(reflected(range(-beyond, length + beyond), range(length))) == padded.tolist()


@given(axes)
@calm
def test_within_a_halo_of_the_border_the_reflection_is_that_of_the_whole_picture(axis: Axis) -> None:
    size = axis.geometry
    for span in (axis.span(0), axis.span(axis.count - 1)):
        for position in span.read:
            assert reflect(position, span.visible) in span.visible
            near = -size.halo_px <= position <= axis.length - 1 + size.halo_px
            if near and len(span.visible) > size.halo_px:
                assert reflect(position, span.visible) == reflect(position, range(axis.length))
