"""How many tiles one step may take, and how many may stay on the device after it: a pure policy of memory and time. It
never changes what a tile becomes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

FIRST_BATCH = 4
SMOOTHING = 0.3
STEPS_TO_RECOVER = 64


@dataclass(frozen=True)
class EngineLimits:
    """What a step may use.

    `max_memory_bytes`: weights, tiles in work and activations, on the device of the model; the bands of the pictures
    come on top. `quantum_seconds`: about how long a step should take. `network_batch`: tiles in one call of the
    network; None means one on a CPU, where batching gains nothing and would change the rounding, and all elsewhere.
    """

    max_batch: int = 64
    max_memory_bytes: int | None = None
    quantum_seconds: float = 0.25
    network_batch: int | None = None

    def __post_init__(self) -> None:
        if self.max_batch < 1 or self.quantum_seconds <= 0 or (self.network_batch or 1) < 1:
            raise ValueError("limits must be above 0")


@dataclass(frozen=True)
class MemoryNeed:
    """Estimate in bytes: what is there anyway, and what each tile of the batch adds."""

    fixed_bytes: int
    tile_bytes: int


@dataclass
class _Pace:
    """Seconds per tile of one kind of step, smoothed, and the most tiles that the next one may have."""

    seconds_per_tile: float = 0.0
    most: int = FIRST_BATCH

    def size(self, quantum_seconds: float) -> int:
        """Tiles that take about the quantum."""
        return max(1, int(min(quantum_seconds / max(self.seconds_per_tile, 1e-9), self.most)))


@dataclass
class BatchBudget:
    """Batch size per kind of step: the time quantum over the measured time of a tile, at most twice the last size, at
    most what memory allows. After running out of memory the limit is half the failed batch, and slowly rises again.
    """

    limits: EngineLimits
    need: MemoryNeed
    _paces: dict[str, _Pace] = field(default_factory=lambda: defaultdict(_Pace))
    _steps_since: int = 0

    def __post_init__(self) -> None:
        self._limit = self._cap = self._planned_limit()

    def size(self, kind: str) -> int:
        """Tiles in the next step of this kind, at least 1."""
        return min(self._paces[kind].size(self.limits.quantum_seconds), self._cap)

    def set_quantum(self, seconds: float) -> None:
        """About how long a step should take from now on; what was measured stays. Raises ValueError for 0 or less."""
        self.limits = replace(self.limits, quantum_seconds=seconds)

    def observe(self, kind: str, batch: int, seconds: float) -> None:
        """A step of this kind succeeded."""
        self._recover()
        if 2 * batch < self.size(kind):
            return
        pace, measured = self._paces[kind], seconds / batch
        before = pace.seconds_per_tile or measured
        pace.seconds_per_tile, pace.most = before + SMOOTHING * (measured - before), 2 * batch

    def out_of_memory(self, batch: int) -> None:
        """A step of so many tiles did not fit."""
        self._cap, self._steps_since = max(1, batch // 2), 0

    def _recover(self) -> None:
        self._steps_since += 1
        if self._cap < self._limit and self._steps_since >= STEPS_TO_RECOVER:
            self._cap, self._steps_since = min(self._limit, self._cap + max(1, self._cap // 4)), 0

    def _planned_limit(self) -> int:
        if self.limits.max_memory_bytes is None:
            return self.limits.max_batch
        fitting = (self.limits.max_memory_bytes - self.need.fixed_bytes) // self.need.tile_bytes
        return max(1, min(self.limits.max_batch, fitting))


@dataclass(frozen=True)
class Room:
    """Who may begin tiles that stay on the device after the step, in a batch that is being gathered.

    `held`: what each request has there already. Everybody may as long as that is less than a `batch`; then those who
    have nothing, up to their part of a batch when so many are `sharing` it, so that tiles of many steps do not keep
    others out. There are never more than `most`.
    """

    held: Counter[Hashable]
    batch: int
    most: int
    sharing: int
    _begun: Counter[Hashable] = field(default_factory=Counter)

    def admits(self, owner: Hashable) -> bool:
        """Whether this request may begin another."""
        if self.held.total() + self._begun.total() >= self.most:
            return False
        left_out = not self.held[owner] and self._begun[owner] < max(1, self.batch // self.sharing)
        return left_out or self.held.total() < self.batch

    def take(self, owner: Hashable) -> None:
        """This request has begun one."""
        self._begun[owner] += 1
