"""What the engine says of a step, and of its work so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["regress", "denoise"]


@dataclass(frozen=True)
class StepReport:
    """One step: which part of the network ran, over how many slots of which request (by handle id), and how long.

    `seconds` ends when the device has finished, so a caller may split it by the slots and charge it.
    """

    phase: Phase
    tiles: Mapping[int, int]
    seconds: float
    batch_size: int


@dataclass(frozen=True)
class EngineStatistics:
    """The engine's life so far.

    `steps_histogram`: finished tiles by the denoising steps that they took. `steps_done`: denoising steps of tiles,
    those that are still being sampled included. `batch_size`: of the last step, 0 before the first.
    `slots_in_use`: patches that wait for the network, and tiles between two denoising steps.
    """

    tiles_done: int
    steps_done: int
    steps_histogram: Mapping[int, int]
    batch_size: int
    out_of_memory_retries: int
    network_seconds: float
    active_requests: int
    slots_in_use: int


@dataclass
class Tally:
    """What is counted while the engine runs."""

    steps_done: int = 0
    steps_histogram: Counter[int] = field(default_factory=Counter)
    batch_size: int = 0
    out_of_memory_retries: int = 0
    network_seconds: float = 0.0

    def snapshot(self, active_requests: int, slots_in_use: int) -> EngineStatistics:
        """Frozen, with what the engine holds now."""
        return EngineStatistics(
            sum(self.steps_histogram.values()),
            self.steps_done,
            dict(sorted(self.steps_histogram.items())),
            self.batch_size,
            self.out_of_memory_retries,
            self.network_seconds,
            active_requests,
            slots_in_use,
        )
