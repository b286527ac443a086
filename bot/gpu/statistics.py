"""What the GPU scheduler says of itself: frozen, plain data."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

from tilestep.bot.gpu.fairness import Guild
from tilestep.bot.gpu.memory import MemoryStatistics
from tilestep.bot.gpu.task import Flow, JobStatus

REMEMBERED_WAITS = 512

K = TypeVar("K")


@dataclass(frozen=True)
class WaitStatistics:
    """Milliseconds from being accepted to the first step, of the newest jobs that began."""

    count: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    longest_ms: float = 0.0


@dataclass(frozen=True)
class ShareStatistics:
    """Device time by kind and flow so far, of the flows served last."""

    gpu_ms: Mapping[tuple[str, Flow], float]

    @property
    def by_kind(self) -> dict[str, float]:
        """Device milliseconds of each kind."""
        return _sums((kind, ms) for (kind, _), ms in self.gpu_ms.items())

    @property
    def by_guild(self) -> dict[Guild, float]:
        """Device milliseconds of each guild, all kinds together."""
        return _sums((flow.guild, ms) for (_, flow), ms in self.gpu_ms.items())


@dataclass(frozen=True)
class GpuStatistics:
    """The scheduler now. `jobs`: those that are not over, in the order of being accepted."""

    device: str
    waiting: int
    running: int
    queue_limit: int
    paused: bool
    quantum_ms: float
    served_ms: float
    jobs: tuple[JobStatus, ...]
    shares: ShareStatistics
    waits: WaitStatistics
    memory: MemoryStatistics


class WaitTally:
    """Collects waits."""

    def __init__(self) -> None:
        self._waits_ms: deque[float] = deque(maxlen=REMEMBERED_WAITS)
        self._count = 0

    def note(self, wait_ms: float) -> None:
        self._count += 1
        self._waits_ms.append(wait_ms)

    def snapshot(self) -> WaitStatistics:
        ordered = sorted(self._waits_ms)
        if not ordered:
            return WaitStatistics()
        return WaitStatistics(self._count, percentile(ordered, 50), percentile(ordered, 95), ordered[-1])


def percentile(ordered: list[float], percent: float) -> float:
    """The smallest of the values, in rising order, that so many percent of them do not exceed."""
    return ordered[max(ceil(len(ordered) * percent / 100) - 1, 0)] if ordered else 0.0


def jain_index(values: Iterable[float]) -> float:
    """Fairness from 1 / n (one has all) to 1 (all have the same); Jain, Chiu and Hawe 1984. 1 of nobody."""
    values = list(values)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def _sums(pairs: Iterable[tuple[K, float]]) -> dict[K, float]:
    total: dict[K, float] = {}
    for key, ms in pairs:
        total[key] = total.get(key, 0.0) + ms
    return total
