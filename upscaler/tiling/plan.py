"""Which tiles a picture has and where they lie: integers only.

A tile's patch is a square that the network sees. From the outside in:

    halo      read, never written: context on each side
    core      written; neighbouring cores share `overlap_px`, where they are blended

Tiles lie on an absolute grid, so a picture's tiles do not depend on its size. All lengths are low-resolution pixels.
This module does not know pixels, networks or memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class TileGeometry:
    """Sizes of a tile along either axis, in low-resolution pixels.

    Raises ValueError where nothing would be written, or where more than two tiles would write one pixel.
    """

    read_px: int = 96
    halo_px: int = 8
    overlap_px: int = 8

    def __post_init__(self) -> None:
        if self.halo_px < 0 or self.overlap_px < 0:
            raise ValueError("halo and overlap must not be negative")
        if self.core_px < max(2 * self.overlap_px, 1):
            raise ValueError(
                f"a tile of {self.read_px} px with a halo of {self.halo_px} px leaves {self.core_px} px, "
                f"too few for an overlap of {self.overlap_px} px"
            )

    @property
    def core_px(self) -> int:
        """What a tile writes."""
        return self.read_px - 2 * self.halo_px

    @property
    def stride_px(self) -> int:
        """From one tile to the next."""
        return self.core_px - self.overlap_px


@dataclass(frozen=True)
class Span:
    """A tile along one axis. `read` and `core` may hang over the border, `visible` and `written` are cut at it.

    `fade_in`, `fade_out`: whether a neighbour shares the first, the last `overlap_px` of the core.
    """

    read: range
    core: range
    visible: range
    written: range
    fade_in: bool
    fade_out: bool


@dataclass(frozen=True)
class Axis:
    """The tiles along one side of a picture: the fewest of the grid that cover 0..length.

    `origin` moves the grid: some core starts there. `trim_to`: the last core ends at the border, rounded up to this
    multiple, instead of hanging over it; 0 leaves all tiles the same size, as a batch of several needs them.
    """

    length: int
    geometry: TileGeometry
    origin: int = 0
    trim_to: int = 0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError("a picture has at least one pixel")

    @property
    def _first_core(self) -> int:
        return -(-self.origin % self.geometry.stride_px)

    @cached_property
    def count(self) -> int:
        """How many tiles."""
        beyond_first = self.length - self._first_core - self.geometry.core_px
        return 1 + max(0, -(-beyond_first // self.geometry.stride_px))

    def span(self, index: int) -> Span:
        """Tile `index` of 0..count - 1."""
        size = self.geometry
        start = self._first_core + index * size.stride_px
        core = range(start, start + self._core_length(start))
        read = range(core.start - size.halo_px, core.stop + size.halo_px)
        return Span(read, core, self._cut(read), self._cut(core), fade_in=index > 0, fade_out=index < self.count - 1)

    def _core_length(self, start: int) -> int:
        whole = self.geometry.core_px
        return min(whole, self.length - start + (start - self.length) % self.trim_to) if self.trim_to else whole

    def finished(self, index: int) -> range:
        """What is complete once tile `index` is written and was not before; over all tiles these add up to the side."""
        start = self._first_core + index * self.geometry.stride_px
        stop = start + self.geometry.stride_px if index < self.count - 1 else self.length
        return range(max(0, start), stop)

    def _cut(self, span: range) -> range:
        return range(max(0, span.start), min(self.length, span.stop))


@dataclass(frozen=True)
class Tile:
    """One tile of a plan; `index` counts row by row."""

    index: int
    row: int
    column: int
    x: Span
    y: Span


@dataclass(frozen=True)
class TilePlan:
    """All tiles of a picture of `width` x `height`, row by row, each worked out when asked for."""

    width: int
    height: int
    geometry: TileGeometry
    origin_x: int = 0
    origin_y: int = 0
    trim_to: int = 0

    @cached_property
    def x_axis(self) -> Axis:
        """Tile columns."""
        return Axis(self.width, self.geometry, self.origin_x, self.trim_to)

    @cached_property
    def y_axis(self) -> Axis:
        """Tile rows."""
        return Axis(self.height, self.geometry, self.origin_y, self.trim_to)

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return self.x_axis.count

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return self.y_axis.count

    @property
    def count(self) -> int:
        """Tiles in the picture."""
        return self.columns * self.rows

    def tile(self, index: int) -> Tile:
        """Tile `index` of 0..count - 1."""
        if not 0 <= index < self.count:
            raise IndexError(f"tile {index} of {self.count}")
        row, column = divmod(index, self.columns)
        return Tile(index, row, column, self.x_axis.span(column), self.y_axis.span(row))


def reflect(position: int, visible: range) -> int:
    """The pixel of `visible` that stands in for `position`: mirrored at its ends (the end itself not doubled), as often
    as needed, so that a single pixel stands for everything.
    """
    if len(visible) == 1:
        return visible.start
    period = 2 * (len(visible) - 1)
    phase = (position - visible.start) % period
    return visible.start + min(phase, period - phase)


def reflected(read: range, visible: range) -> Sequence[int]:
    """`reflect` of every position of `read`."""
    if read == visible:
        return read
    return [reflect(position, visible) for position in read]
