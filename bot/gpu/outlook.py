"""How jobs stand: their place, what they have used, and when they will be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from tilestep.bot.gpu.fairness import FairPolicy
from tilestep.bot.gpu.forecast import Ahead, CostBook, forecast
from tilestep.bot.gpu.jobs import Job
from tilestep.bot.gpu.lease import Lease
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.outcome import Outcome
from tilestep.bot.gpu.statistics import WaitStatistics, WaitTally
from tilestep.bot.gpu.task import JobStatus
from tilestep.bot.gpu.waiting import WaitingRoom

FORECAST_S = 0.25


class Outlook:
    """Learns from jobs that are over. `now_s`: the monotonic clock."""

    def __init__(
        self,
        settings: GpuSettings,
        lease: Lease,
        room: WaitingRoom,
        policy: FairPolicy,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._lease, self._room, self._policy, self._now_s = settings, lease, room, policy, now_s
        self._costs = CostBook()
        self._waits = WaitTally()
        self._made_s = -FORECAST_S
        self._ends: Mapping[int, float] = {}

    @property
    def waits(self) -> WaitStatistics:
        """How long the newest jobs waited."""
        return self._waits.snapshot()

    def used_ms(self, job: Job) -> float:
        """Device milliseconds so far."""
        return self._lease.used(job.account)[0] if job.account else 0.0

    def note(self, job: Job, outcome: Outcome) -> None:
        """The job is over."""
        if job.account is None:
            return
        job.gpu_ms = self.used_ms(job)
        if outcome.error is None and job.gpu_ms:
            self._costs.note(job.name, job.size, job.gpu_ms)
        if job.account.started_s is not None:
            self._waits.note((job.account.started_s - job.submitted_s) * 1000)

    def statuses(self, wanted: Collection[Job], jobs: Mapping[int, Job]) -> Iterator[JobStatus]:
        """`jobs`: all that are not over. Times left are found anew at most every `FORECAST_S`, whatever comes."""
        due = self._now_s() - self._made_s >= FORECAST_S
        ahead = self._ahead(jobs.values() if due else wanted)
        if due:
            self._ends = self._forecast(jobs, ahead)
            self._made_s = self._now_s()
        for job in wanted:
            gpu_ms, steps = self._lease.used(job.account) if job.account else (0.0, 0)
            began_s = job.account.started_s if job.account else None
            yield JobStatus(
                job=job.claim.job,
                flow=job.claim.flow,
                kind=job.claim.kind,
                name=job.name,
                state=job.state,
                priority=job.claim.priority,
                progress=job.progress,
                gpu_ms=gpu_ms,
                steps=steps,
                waited_ms=((began_s or self._now_s()) - job.submitted_s) * 1000,
                ahead=ahead.get(job.claim.job, 0),
                left_ms=self._ends.get(job.claim.job),
            )

    def _ahead(self, jobs: Iterable[Job]) -> dict[int, int]:
        kinds = {job.claim.kind for job in jobs if job.state == "waiting"}
        orders = [self._room.order(kind, self._policy.served_us) for kind in kinds]
        return {claim.job: place for order in orders for place, claim in enumerate(order)}

    def _forecast(self, jobs: Mapping[int, Job], ahead: Mapping[int, int]) -> dict[int, float]:
        """Time left of each job of which anything is known."""
        left = {number: self._own_ms(job) for number, job in jobs.items()}
        known = [ms for ms in left.values() if ms is not None]
        if not known:
            return {}
        typical = sum(known) / len(known)
        order = sorted(jobs, key=lambda number: (jobs[number].state != "running", ahead.get(number, 0), number))
        queue = [Ahead(jobs[n].claim, typical if (ms := left[n]) is None else ms) for n in order]
        ends = forecast(queue, self._settings.fairness, self._settings.at_once_of)
        return {number: ms for number, ms in ends.items() if left[number] is not None}

    def _own_ms(self, job: Job) -> float | None:
        return self._costs.left_ms(job.name, job.size, self.used_ms(job), job.progress)
