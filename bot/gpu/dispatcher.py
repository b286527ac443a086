"""Which jobs are on the device: lets them in as room and limits allow, hears of them, and ends them.

`StepScheduler` is its face. All of it happens on the event loop; whose step comes next is decided in `lease`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from tilestep.bot.gpu.device import Device
from tilestep.bot.gpu.errors import DoesNotFit, JobCancelled
from tilestep.bot.gpu.eviction import Evictor
from tilestep.bot.gpu.fairness import FairPolicy
from tilestep.bot.gpu.gate import Progress, StepGate
from tilestep.bot.gpu.jobs import Job, LoopEvents, OnProgress
from tilestep.bot.gpu.lease import Lease
from tilestep.bot.gpu.memory import Admission, MemoryNeed
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.outcome import Outcome, cancelled
from tilestep.bot.gpu.outlook import Outlook
from tilestep.bot.gpu.seats import Account
from tilestep.bot.gpu.task import Claim, Flow, JobState, SharedTask
from tilestep.bot.gpu.threads import ThreadPool
from tilestep.bot.gpu.waiting import WaitingRoom
from tilestep.bot.gpu.worker import SharedWorker, TaskWorker

log = logging.getLogger(__name__)


class Dispatcher:
    """Jobs, and all that is asked before one may start. `jobs`: those that are not over; `idle`: there are none.

    `pool`: the threads of tasks. `closing`: nothing starts any more.
    """

    def __init__(self, settings: GpuSettings, device: Device) -> None:
        self.settings = settings
        self.policy = FairPolicy(settings.fairness)
        self.room = WaitingRoom(settings.limits, settings.fairness)
        self.jobs: dict[int, Job] = {}
        self.shared: dict[str, SharedWorker] = {}
        self.idle = asyncio.Event()
        self.idle.set()
        self._numbers = itertools.count(1)
        self.pool = ThreadPool()
        self.closing = False
        self._threads: set[TaskWorker] = set()
        self._too_large: set[tuple[str | None, int, int, int]] = set()
        self.install(device)

    @property
    def threads(self) -> list[threading.Thread]:
        """Those of running tasks and of shared ones."""
        return [worker.thread for worker in self._threads] + [worker.thread for worker in self.shared.values()]

    def listen(self) -> None:
        """From now on the running event loop hears of what threads do."""
        self.events = LoopEvents(asyncio.get_running_loop(), self._hear)

    def install(self, device: Device) -> None:
        """The device to use, as long as no job has come."""
        self.device = device
        self.admission = Admission(device.budget_bytes)
        self.lease = Lease(self.policy, device.clock, self.settings.grace_ms, self.settings.lease_log)
        self.outlook = Outlook(self.settings, self.lease, self.room, self.policy)
        self.evictor = Evictor(self.lease, self.admission, device, self._evicted)

    def enter(
        self,
        kind: str,
        flow: Flow,
        priority: int,
        name: str,
        need: MemoryNeed,
        work: Any,
        shared: str | None,
        size: float,
        on_progress: OnProgress | None,
        keeps: Callable[[Any], MemoryNeed] | None = None,
    ) -> Job:
        """Takes a job into the queue, and starts what may start. Raises QueueFull, DoesNotFit, ValueError."""
        if size <= 0:
            raise ValueError(f"a job's size is above 0, not {size}")
        self.admission.check(need, name)
        claim = Claim(next(self._numbers), flow, kind, priority)
        self.room.enter(claim, self.policy.served_us)
        future = asyncio.get_running_loop().create_future()
        job = Job(claim, name, need, work, shared, size, time.monotonic(), future, on_progress, keeps)
        self.jobs[claim.job] = job
        self.idle.clear()
        self.fill()
        return job

    def cancel(self, job: int) -> bool:
        """As `StepScheduler.cancel`."""
        found = self.jobs.get(job)
        if found is None:
            return False
        if found.worker:
            found.worker.cancel()
        elif found.shared and found.state == "running":
            found.leaving = True
            self.shared[found.shared].cancel(job)
            self.end_if_still(found)
        else:
            self.end(found, Outcome(error=cancelled()))
        return True

    def share(self, name: str, build: Callable[[StepGate], SharedTask]) -> None:
        """Starts the thread of a shared task."""
        self.shared[name] = worker = SharedWorker(self.lease, self.events, name, build)
        worker.start()

    def fill(self) -> None:
        """Starts whatever may start; a need that has found no room is not looked at again until something starts."""
        self._too_large.clear()
        while self.jobs and not self.closing:
            kinds = dict.fromkeys(job.claim.kind for job in self.jobs.values() if job.state == "waiting")
            kinds_open = [kind for kind in kinds if self.room.running(kind) < self.settings.at_once_of(kind)]
            claim = self.room.next(kinds_open, self.policy.served_us, self._makes_room, self._weighs)
            if claim is None:
                return
            self._start(self.jobs[claim.job])
            self._too_large.clear()

    def _makes_room(self, claim: Claim) -> bool:
        """Whether the job fits now; if weights that nobody uses are in its way, they are taken off the device first."""
        job = self.jobs[claim.job]
        size = job.need.weights, job.need.resident_bytes, job.need.held_bytes, job.need.peak_bytes
        if size in self._too_large or self.evictor.takes_off(job.need.weights):
            return False
        if self.admission.fits(job.need):
            return True
        try:
            self.admission.check(job.need, job.name)
        except DoesNotFit as error:
            asyncio.get_running_loop().call_soon(self.end, job, Outcome(error=error.with_traceback(None)))
        else:
            self._too_large.add(size)
            self.evictor.make_room(claim, job.need)
        return False

    def _weighs(self, claim: Claim) -> bool:
        return self.jobs[claim.job].need.alone_bytes > 0

    def _evicted(self, claim: Claim, outcome: Outcome | None) -> None:
        job = self.jobs.get(claim.job)
        if job is not None and outcome is not None:
            self.end(job, outcome)
        else:
            self.fill()

    def _start(self, job: Job) -> None:
        self.admission.admit(job.claim.job, job.need)
        self.room.start(job.claim.job)
        job.state = "running"
        job.begun.set()
        if job.shared:
            self.shared[job.shared].submit(job.claim, job.work)
        else:
            job.worker = TaskWorker(self.lease, self.events, job.claim, job.work)
            self._threads.add(job.worker)
            job.worker.start(self.pool)

    def _hear(self, news: list[tuple[int, Any]]) -> None:
        """What worker threads told; what goes wrong with one job leaves the others alone."""
        for number, item in news:
            job = self.jobs.get(number)
            try:
                if job is not None:
                    self._take(job, item)
            except Exception:
                log.exception("The news of job %d went wrong", number)

    def _take(self, job: Job, item: Progress | Account | Outcome) -> None:
        if isinstance(item, Progress):
            job.tell(item)
        elif isinstance(item, Account):
            job.account = item
        else:
            self.end(job, item)

    def end_if_still(self, job: Job) -> None:
        """A job that is leaving need not wait for `resume`: its thread hears of it then, before the next step."""
        if job.shared and self.shared[job.shared].stands_still:
            self.end(job, Outcome(error=cancelled()))

    def end(self, job: Job, outcome: Outcome) -> None:
        """The job is over, and its room free for others; does nothing the second time."""
        number = job.claim.job
        if self.jobs.pop(number, None) is None:
            return
        self.room.finish(number)
        self.admission.release(number)
        outcome = self._take_over(job, outcome)
        if job.worker:
            self._threads.discard(job.worker)
        self.outlook.note(job, outcome)
        job.end(_state(outcome), outcome)
        if not self.jobs:
            self.idle.set()
        self.fill()

    def _take_over(self, job: Job, outcome: Outcome) -> Outcome:
        """What the job leaves on the device counts before anything else may start in the job's place."""
        if job.keeps is None or outcome.error is not None:
            return outcome
        try:
            need = job.keeps(outcome.result)
            self.admission.keep(need.weights or job.name, need, pinned=True, name=job.name)
        except Exception as error:
            return Outcome(error=error.with_traceback(None))
        return outcome


def _state(outcome: Outcome) -> JobState:
    if outcome.error is None:
        return "done"
    return "cancelled" if isinstance(outcome.error, JobCancelled) else "failed"
