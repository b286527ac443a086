"""Which work may be on the device at the same time: plain arithmetic in bytes, no torch, no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from tilestep.bot.gpu.errors import DoesNotFit
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


@dataclass(frozen=True)
class MemoryStatistics:
    """Bytes: what is taken of the budget. `budget_bytes` None: there is no bound."""

    budget_bytes: int | None
    resident_bytes: int
    held_bytes: int
    largest_phase_bytes: int

    @property
    def planned_bytes(self) -> int:
        """The most that is in use at any moment."""
        return self.resident_bytes + self.held_bytes + self.largest_phase_bytes


class Admission:
    """Keeps resident weights, what jobs hold, and the largest single phase of all together within the budget.

    Only one step runs at a time, so the peaks of two phases never add up. Jobs are named by number. Weights that stay
    on the device without a job are kept by name: pinned, or in the order of their last use until the room is needed.
    """

    def __init__(self, budget_bytes: int | None = None) -> None:
        self.budget_bytes = budget_bytes
        self._jobs: dict[int, MemoryNeed] = {}
        self._kept: dict[str, MemoryNeed] = {}
        self._pinned: set[str] = set()

    def check(self, need: MemoryNeed, name: str) -> None:
        """Raises DoesNotFit, with the numbers, if the work does not fit with nothing else but what is pinned."""
        self._check(need, name, self._pinned)

    def _check(self, need: MemoryNeed, name: str, pinned: Iterable[str]) -> None:
        if self.budget_bytes is None:
            return
        planned = _total([*(self._kept[key] for key in pinned), need]).planned_bytes
        if planned > self.budget_bytes:
            refusal = _refusal(name, need, planned - need.alone_bytes, self.budget_bytes)
            raise DoesNotFit(refusal, planned, self.budget_bytes)

    def fits(self, need: MemoryNeed) -> bool:
        """Whether the work can be admitted now."""
        return self.budget_bytes is None or self._planned(need, ()) <= self.budget_bytes

    def to_evict(self, need: MemoryNeed) -> tuple[str, ...] | None:
        """Kept weights that must go so that the work fits, least recently used first; None if that is not enough."""
        gone: list[str] = []
        idle = iter(self._idle(need))
        while self.budget_bytes is not None and self._planned(need, gone) > self.budget_bytes:
            key = next(idle, None)
            if key is None:
                return None
            gone.append(key)
        return tuple(gone)

    def admit(self, job: int, need: MemoryNeed) -> None:
        """The work is on the device from now on. Raises ValueError where it does not fit."""
        if not self.fits(need):
            raise ValueError(f"job {job} does not fit now")
        self._jobs[job] = need
        if need.weights in self._kept:
            self._kept[need.weights] = self._kept.pop(need.weights)

    def release(self, job: int) -> None:
        """The work is over; unknown jobs are ignored."""
        self._jobs.pop(job, None)

    def keep(self, weights: str, need: MemoryNeed, pinned: bool = False, name: str | None = None) -> None:
        """These weights stay on the device without a job; pinned ones are never to be evicted.

        Raises DoesNotFit for pinned ones beyond the budget, which calls them `name`, if one is given.
        """
        need = replace(need, weights=weights)
        if pinned:
            self._check(need, name or weights, self._pinned - {weights})
            self._pinned.add(weights)
        self._kept[weights] = need

    def keeps(self, weights: str) -> bool:
        """Whether these weights stay on the device without a job."""
        return weights in self._kept

    def drop(self, weights: str) -> None:
        """These weights are off the device."""
        self._kept.pop(weights, None)
        self._pinned.discard(weights)

    def pinned(self, but: str | None = None) -> MemoryStatistics:
        """What is taken for good, the weights of one name left out."""
        return replace(_total(self._kept[key] for key in self._pinned if key != but), budget_bytes=self.budget_bytes)

    def statistics(self) -> MemoryStatistics:
        """What is taken now."""
        total = _total([*self._kept.values(), *self._jobs.values()])
        return replace(total, budget_bytes=self.budget_bytes)

    def _planned(self, need: MemoryNeed, gone: Collection[str]) -> int:
        kept = [kept for key, kept in self._kept.items() if key not in gone]
        return _total([*kept, *self._jobs.values(), need]).planned_bytes

    def _idle(self, need: MemoryNeed) -> list[str]:
        used = {job.weights for job in self._jobs.values()} | {need.weights}
        return [key for key in self._kept if key not in used and key not in self._pinned]


def default_budget(total_bytes: int, reserve_bytes: int = 1 << 30) -> int:
    """What a card has, less a reserve for the context of CUDA and for others."""
    return max(total_bytes - reserve_bytes, 0)


def _total(needs: Iterable[MemoryNeed]) -> MemoryStatistics:
    needs = list(needs)
    shared: dict[str, int] = {}
    for need in needs:
        if need.weights is not None:
            shared[need.weights] = max(shared.get(need.weights, 0), need.resident_bytes)
    own = sum(need.resident_bytes for need in needs if need.weights is None)
    return MemoryStatistics(
        None,
        own + sum(shared.values()),
        sum(need.held_bytes for need in needs),
        max((need.peak_bytes for need in needs), default=0),
    )


def _refusal(name: str, need: MemoryNeed, taken_bytes: int, budget_bytes: int) -> str:
    phase = max(need.phase_peaks, key=lambda phase: need.phase_peaks[phase], default="step")
    others = f", of which {gib(taken_bytes)} are taken for good" if taken_bytes > 0 else ""
    return (
        f"{name} needs {gib(need.alone_bytes)} of GPU memory ({gib(need.resident_bytes + need.held_bytes)} to stay, "
        f"{gib(need.peak_bytes)} for its largest step, {phase}); the budget is {gib(budget_bytes)}{others}. "
        "Choose a smaller picture or a smaller model, or raise the budget."
    )


def gib(size_bytes: int) -> str:
    """For people: `9.00 GiB`."""
    return f"{size_bytes / (1 << 30):.2f} GiB"
