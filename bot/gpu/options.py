"""What the operator sets of the GPU scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.task import UPSCALE
from tilestep.bot.gpu.waiting import QueueLimits

GIB = 1 << 30


@dataclass(frozen=True)
class GpuSettings:
    """`device`: "cpu", "cuda", "cuda:1", or "auto" for CUDA where there is one.

    `budget_bytes`: memory of the device that may be used; None for all but `reserve_bytes` on CUDA, and for no bound on
    a CPU. `at_once`: how many jobs of a kind are under way at the same time, `at_once_default` for kinds not named; the
    others wait. `grace_ms`: how long the device waits for the thread whose turn it is. `upscaler`: checkpoint of the
    tile model, the shipped one by default; `upscaler_bytes`: what the tile engine may use of the budget.
    """

    device: str = "auto"
    budget_bytes: int | None = None
    reserve_bytes: int = GIB
    fairness: FairSettings = field(default_factory=lambda: FairSettings(follow_steps=True))
    limits: QueueLimits = field(default_factory=QueueLimits)
    at_once: Mapping[str, int] = field(default_factory=lambda: {UPSCALE: 64})
    at_once_default: int = 8
    grace_ms: float = 5.0
    lease_log: int = 1000
    upscaler: Path | None = None
    upscaler_bytes: int = GIB

    def at_once_of(self, kind: str) -> int:
        """Jobs of this kind that may be under way."""
        return self.at_once.get(kind, self.at_once_default)
