"""What a caller asks the tile engine for, and what it hears back while the request runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tilestep.upscaler.errors import OptionError
from tilestep.upscaler.handle import Handle
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.tiling.rows import RowSink, RowSource


@dataclass(frozen=True)
class TileOutcome:
    """A finished tile: the pixels of the source that it wrote, and what it took.

    `uncertainty` is what the step budget was made from (see `diffusion.uncertainty`), 0 where the quality has no steps;
    `steps` may be fewer than the budget when sampling stopped early.
    """

    columns: range
    rows: range
    steps: int
    uncertainty: float


@dataclass(frozen=True)
class TileRequest:
    """One picture to enlarge by the scale of the model.

    `dejpeg` and `deblur` in [0, 1] say how much corruption to undo, 0 trusts the picture. `on_tile` hears of every
    finished tile, `on_end` once that nothing more will happen. `origin_x`, `origin_y` move the tile grid by pixels
    of the source; with multiples of the model's tile multiple the picture hardly changes. Raises OptionError.
    """

    source: RowSource
    sink: RowSink
    quality: Quality
    seed: int = 0
    dejpeg: float = 0.0
    deblur: float = 0.0
    on_tile: Callable[[TileOutcome], None] | None = None
    on_end: Callable[[Handle], None] | None = None
    origin_x: int = 0
    origin_y: int = 0

    def __post_init__(self) -> None:
        for name, value in (("dejpeg", self.dejpeg), ("deblur", self.deblur)):
            if not 0 <= value <= 1:
                raise OptionError(f"{name} is {value}: give a number from 0 to 1.")
        if self.source.channels not in (3, 4):
            raise ValueError("a source has 3 or 4 channels")
