"""Which work may be on the device at the same time: plain arithmetic in bytes, no torch, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tilestep.bot.gpu.gate import Phase


@dataclass(frozen=True)
class MemoryNeed:
    """What a job needs on the device, in bytes, by measurement.

    `resident_bytes`: weights that stay between steps. Jobs that name the same `weights` share them: counted once.
    `phase_peaks`: what a step of each phase needs beyond that while it runs; one step runs at a time.
    `held_bytes`: what this job alone keeps between its steps (latents, prompt embeddings, tiles in flight).
    """

    resident_bytes: int = 0
    phase_peaks: Mapping[Phase, int] = field(default_factory=dict)
    weights: str | None = None
    held_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """The largest single phase."""
        return max(self.phase_peaks.values(), default=0)

    @property
    def alone_bytes(self) -> int:
        """What the job needs with the device to itself."""
        return self.resident_bytes + self.held_bytes + self.peak_bytes
