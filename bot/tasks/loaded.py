"""A text-to-image model in memory, with what the runner has to know of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tilestep.bot.gpu.gate import Phase
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.tasks.arguments import UsualArguments
from tilestep.bot.tasks.memory import MemoryPlan, ModelSizes, estimate_need

if TYPE_CHECKING:
    from torch import nn

    from tilestep.bot.tasks.encode import EmbeddingCache
    from tilestep.bot.tasks.placement import HostWeights


def new_key() -> str:
    """Tells one load of a model from the others."""
    return uuid4().hex[:12]


@dataclass(frozen=True, eq=False)
class LoadedPipeline:
    """`pipe` is a diffusers pipeline whose weights lie where `plan` says.

    `swapped`: text encoders whose weights wait in host memory. `cache`: what they answered lately. `usual`:
    the steps and guidance that its maker recommends. `measured`: bytes of the largest step of each phase at the model's
    own size, where they could be measured. `key`: of this load alone, since a model that goes may be loaded again
    before its last job is over. Dropping the last reference frees everything.
    """

    pipe: Any
    model: str = ""
    plan: MemoryPlan | None = None
    sizes: ModelSizes | None = None
    swapped: Mapping[nn.Module, HostWeights] = field(default_factory=dict)
    cache: EmbeddingCache | None = None
    usual: UsualArguments = field(default_factory=UsualArguments)
    measured: Mapping[Phase, int] = field(default_factory=dict)
    key: str = field(default_factory=new_key)

    @property
    def weights(self) -> str:
        """What these weights are called where memory is counted."""
        return weights_name(self.model, self.key)

    def need(self, width_px: int | None = None, height_px: int | None = None, images: int = 1) -> MemoryNeed:
        """What a request needs: estimated, and more where measuring found more. Without a plan nothing is known."""
        if self.plan is None or self.sizes is None:
            return MemoryNeed()
        sizes = self.sizes.at(width_px or self.sizes.width_px, height_px or self.sizes.height_px, images)
        need = estimate_need(sizes, self.plan)
        own_peaks = estimate_need(self.sizes, self.plan).phase_peaks
        excess = {phase: self.measured.get(phase, 0) / max(peak, 1) for phase, peak in own_peaks.items()}
        peaks = {phase: math.ceil(peak * max(excess[phase], 1)) for phase, peak in need.phase_peaks.items()}
        return replace(need, phase_peaks=peaks, weights=self.weights)


def weights_name(model: str, key: str) -> str:
    return f"{model or 'pipeline'} ({key})"
