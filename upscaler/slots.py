"""A slot: one network patch of one tile of one request, from the patch to the finished pixels; and what runs as one."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tilestep.upscaler.diffusion.process import timesteps
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.reports import Phase
from tilestep.upscaler.tiling.plan import Tile

if TYPE_CHECKING:
    from tilestep.upscaler.opened import OpenRequest


MIRRORS = ((), (0, 1), (1,), (0,))
DENOISE = "denoise"


@dataclass(frozen=True)
class Sampling:
    """A tile between two denoising steps; tensors on the device, without a batch axis, H x W the enlarged patch.

    `g`, `z`, `x0` (3, H, W), `w` (1, H, W), all float32; `condition` (channels, H / 2, W / 2) in the model's precision.
    `z` and `x0`, the newest clean estimate, are overwritten by each step; x0 means nothing before the first.
    """

    g: Tensor
    w: Tensor
    condition: Tensor
    z: Tensor
    x0: Tensor


@dataclass(eq=False)
class Slot:
    """What the network is given, and how far it is.

    `patch` (read, read, 3) in [0, 1]; `is_alpha`: the patch is the opacity as grey, to be enlarged as it is. `mean`:
    the regressor's estimates of the core over `passes_done` mirror images, each with its share of the final mean.
    """

    owner: OpenRequest
    tile: Tile
    patch: NDArray[np.float32]
    is_alpha: bool = False
    uncertainty: float = 0.0
    budget: int = 0
    steps_done: int = 0
    sampling: Sampling | None = None
    passes_done: int = 0
    mean: Tensor | None = None

    @property
    def quality(self) -> Quality:
        """Of its request."""
        return self.owner.request.quality

    @property
    def kind(self) -> str:
        """What it needs next: "denoise", or the kind of its pass of the regressor."""
        return DENOISE if self.sampling else regressor_kind(self.quality)

    @property
    def corruption(self) -> tuple[float, float]:
        """Strength of JPEG and of blur to undo."""
        return (0.0, 0.0) if self.is_alpha else (self.owner.request.dejpeg, self.owner.request.deblur)

    @property
    def may_sample(self) -> bool:
        """Whether any uncertainty would earn it a denoising step."""
        return not self.is_alpha and self.quality.takes_steps

    @property
    def is_regressed(self) -> bool:
        """Whether the regressor has seen all mirror images that the quality asks for."""
        return self.passes_done >= self.quality.mirrors

    @property
    def next_mirror(self) -> tuple[int, ...]:
        """Axes of (rows, columns) that are turned round for the next pass of the regressor."""
        return MIRRORS[self.passes_done]

    def budget_for(self, uncertainty: float) -> int:
        """Steps that this slot may take."""
        return self.quality.steps_for(uncertainty) if self.may_sample else 0

    @property
    def times(self) -> tuple[float, float]:
        """The time of the next step and the time that it leads to, 0 for the last."""
        times = [*timesteps(self.budget), 0.0]
        return times[self.steps_done], times[self.steps_done + 1]

    def ends_with(self, change: float) -> bool:
        """Whether the step that is being taken is the last: the budget is spent, or the core changed by less, in 1/255,
        than the quality cares for. The first step has no estimate before it to compare with.
        """
        spent = self.steps_done + 1 >= self.budget
        return spent or (self.steps_done > 0 and change < self.quality.exit_change)


@dataclass(frozen=True)
class Batch:
    """What one step runs; its duration depends on `kind`, that of all its slots."""

    kind: str
    slots: list[Slot]

    @property
    def phase(self) -> Phase:
        """The part of the network that runs."""
        return "denoise" if self.kind == DENOISE else "regress"


def regressor_kind(quality: Quality) -> str:
    """What slots of one pass of the regressor have in common: their size, and how deep it goes."""
    return f"{quality.depth} before steps" if quality.takes_steps else quality.depth


def queues_of(kind: str, slots: Iterable[Slot]) -> defaultdict[OpenRequest, deque[Slot]]:
    """The slots that need this next, of each request, in their order."""
    queues: defaultdict[OpenRequest, deque[Slot]] = defaultdict(deque)
    for slot in slots:
        if slot.kind == kind:
            queues[slot.owner].append(slot)
    return queues
