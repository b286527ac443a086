"""The GPU scheduler on an event loop: admit, start, tell. Whose step comes next is decided in `lease`, by `fairness`.

Nothing here touches the device, imports torch, or waits for a thread: the host's event loop goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from tilestep.bot.gpu.device import Device, open_device
from tilestep.bot.gpu.errors import DoesNotFit, JobCancelled, SchedulerClosed
from tilestep.bot.gpu.eviction import Evictor
from tilestep.bot.gpu.fairness import FairPolicy
from tilestep.bot.gpu.gate import Progress, StepGate
from tilestep.bot.gpu.jobs import Job, JobHandle, LoopEvents, OnProgress
from tilestep.bot.gpu.lease import Account, Lease, LeaseRecord
from tilestep.bot.gpu.memory import Admission, MemoryNeed
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.outcome import Outcome, cancelled
from tilestep.bot.gpu.outlook import Outlook
from tilestep.bot.gpu.statistics import GpuStatistics, ShareStatistics
from tilestep.bot.gpu.task import Claim, Flow, JobState, JobStatus, SharedTask, Task
from tilestep.bot.gpu.waiting import WaitingRoom
from tilestep.bot.gpu.worker import SHUTTING_DOWN, SharedWorker, TaskWorker

T = TypeVar("T")

THREAD_END_S = 20.0

log = logging.getLogger(__name__)


class StepScheduler:
    """Runs tasks and shared tasks; knows nothing of pictures. Every method is called on the event loop."""

    def __init__(self, settings: GpuSettings | None = None, device: Device | None = None) -> None:
        self.settings = settings or GpuSettings()
        self._device_given = device is not None
        self._policy = FairPolicy(self.settings.fairness)
        self._room = WaitingRoom(self.settings.limits, self.settings.fairness)
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self._shared: dict[str, SharedWorker] = {}
        self._threads: set[TaskWorker] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = self._paused = False
        self._install(device or Device())

    async def __aenter__(self) -> Self:
        settings = self.settings
        if not self._device_given:
            name, budget_bytes = settings.device, settings.budget_bytes
            self._install(await asyncio.to_thread(open_device, name, budget_bytes, settings.reserve_bytes))
        self._events = LoopEvents(asyncio.get_running_loop(), self._hear)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def submit(
        self,
        task: Task[T],
        flow: Flow,
        priority: int = 0,
        size: float = 1.0,
        on_progress: OnProgress | None = None,
        keeps: Callable[[T], MemoryNeed] | None = None,
    ) -> JobHandle[T]:
        """Accepts a task. Raises QueueFull, DoesNotFit or SchedulerClosed, each in words for the member.

        `size`: how much work it is, in any unit that jobs of the same name share; for the forecast. `on_progress` is
        called on the event loop; an error in it is logged. `keeps`: of the result, the weights that stay on the device
        as by `keep_weights`, in the place of the job's own memory.
        """
        return self._enter(task.kind, flow, priority, task.name, task.need, task, None, size, on_progress, keeps)

    async def run(self, task: Task[T], flow: Flow, priority: int = 0, size: float = 1.0) -> T:
        """Submits and awaits; being cancelled cancels the job."""
        return await self.finish(self.submit(task, flow, priority, size))

    async def finish(self, handle: JobHandle[T]) -> T:
        """Awaits a job; being cancelled cancels it."""
        try:
            return await handle
        except asyncio.CancelledError:
            handle.cancel()
            raise
        finally:
            del handle  # an error leads to this frame, and the handle to the error

    def add_shared(self, name: str, build: Callable[[StepGate], SharedTask], need: MemoryNeed | None = None) -> None:
        """Makes a shared task known; it is built in a thread of its own when its first job comes.

        `need` is kept free for it. Raises DoesNotFit if the budget is too small for that.
        """
        self._check_open()
        if need is not None:
            self._admission.keep(name, need, pinned=True)
        self._shared[name] = worker = SharedWorker(self._lease, self._events, name, build)
        worker.start()

    def submit_shared(
        self,
        name: str,
        order: Any,
        flow: Flow,
        kind: str | None = None,
        priority: int = 0,
        size: float = 1.0,
        on_progress: OnProgress | None = None,
        label: str | None = None,
    ) -> JobHandle[Any]:
        """Accepts an order for the shared task of this name; raises as `submit` does. `label`: the name of the job."""
        return self._enter(kind or name, flow, priority, label or name, MemoryNeed(), order, name, size, on_progress)

    def keep_weights(
        self, name: str, need: MemoryNeed, evict: Callable[[], None] | None = None, label: str | None = None
    ) -> None:
        """These weights stay on the device. `evict` takes them off it, called in a step when the room is needed.

        Without it they stay for good; raises DoesNotFit for those beyond the budget, whose text calls them `label`.
        """
        self._admission.keep(name, need, pinned=evict is None, name=label)
        if evict:
            self._evictor.know(name, evict)

    def drop_weights(self, name: str) -> None:
        """These weights are off the device."""
        self._admission.drop(name)
        self._evictor.forget(name)
        self._fill()

    def cancel(self, job: int) -> bool:
        """Cancels at the next step; one that waits, or is paused between two steps, at once. False if it is over."""
        found = self._jobs.get(job)
        if found is None:
            return False
        if found.worker:
            found.worker.cancel()
        elif found.shared and found.state == "running":
            found.leaving = True
            self._shared[found.shared].cancel(job)
            self._end_if_still(found)
        else:
            self._end(found, Outcome(error=cancelled()))
        return True

    def set_priority(self, job: int, priority: int) -> None:
        """Among the member's own jobs; larger goes first. Does nothing to what is over."""
        found = self._jobs.get(job)
        if found is not None:
            found.claim = self._room.set_priority(job, priority)
            self._lease.reclaim(found.claim)

    def pause(self) -> None:
        """No step begins until `resume`; jobs are still accepted."""
        self._paused = True
        self._lease.pause()
        for job in [job for job in self._jobs.values() if job.leaving]:
            self._end_if_still(job)

    def resume(self) -> None:
        self._paused = False
        self._lease.resume()

    async def until_idle(self) -> None:
        """Returns when nothing is waiting or running."""
        await self._idle.wait()

    async def drain(self) -> None:
        """Takes nothing new and finishes what was accepted."""
        self._open = False
        await self._idle.wait()

    async def close(self, within_s: float = THREAD_END_S) -> None:
        """Takes nothing new, cancels everything at the next step, and ends the threads.

        What has not ended after `within_s` is logged, and its jobs raise JobCancelled all the same.
        """
        self._open = False
        until_s = time.monotonic() + within_s
        for job in list(self._jobs):
            self.cancel(job)
        threads = [worker.thread for worker in self._threads] + [worker.thread for worker in self._shared.values()]
        self._lease.close()
        for worker in self._shared.values():
            worker.stop()
        await self._evictor.close(within_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _until(until_s))
        for left in list(self._jobs.values()):
            self._end(left, Outcome(error=cancelled(SHUTTING_DOWN)))
        await asyncio.to_thread(_join, threads, until_s)

    def leases(self) -> list[LeaseRecord]:
        """The newest steps in the order of the device."""
        return self._lease.log()

    def status(self, job: int) -> JobStatus:
        """How a job stands; raises KeyError once it is over."""
        return next(self._outlook.statuses([self._jobs[job]], self._jobs))

    def gpu_ms(self, job: int) -> float:
        """Device milliseconds that a job has used; raises KeyError once it is over."""
        return self._outlook.used_ms(self._jobs[job])

    def statistics(self) -> GpuStatistics:
        """Queue, shares, waits, memory and every job's time left."""
        gpu_ms = {key: used_us / 1000 for key, used_us in self._lease.used_us().items()}
        return GpuStatistics(
            device=self.device.name,
            waiting=self._room.waiting(),
            running=self._room.running(),
            queue_limit=self.settings.limits.total,
            paused=self._paused,
            quantum_ms=self._policy.quantum_us / 1000,
            served_ms=self._policy.served_us / 1000,
            jobs=tuple(self._outlook.statuses(self._jobs.values(), self._jobs)),
            shares=ShareStatistics(gpu_ms),
            waits=self._outlook.waits,
            memory=self._admission.statistics(),
        )

    def _install(self, device: Device) -> None:
        self.device = device
        self._admission = Admission(device.budget_bytes)
        self._lease = Lease(self._policy, device.clock, self.settings.grace_ms, self.settings.lease_log)
        self._outlook = Outlook(self.settings, self._lease, self._room, self._policy)
        self._evictor = Evictor(self._lease, self._admission, device, self._evicted)

    def _enter(
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
    ) -> JobHandle[Any]:
        self._check_open()
        if size <= 0:
            raise ValueError(f"a job's size is above 0, not {size}")
        self._admission.check(need, name)
        claim = Claim(next(self._numbers), flow, kind, priority)
        self._room.enter(claim, self._policy.served_us)
        future = asyncio.get_running_loop().create_future()
        job = Job(claim, name, need, work, shared, size, time.monotonic(), future, on_progress, keeps)
        self._jobs[claim.job] = job
        self._idle.clear()
        self._fill()
        return JobHandle(self, job)

    def _check_open(self) -> None:
        if not self._open:
            raise SchedulerClosed("The GPU takes no new work now: it is not started, or shutting down.")

    def _fill(self) -> None:
        """Starts whatever may start."""
        while self._jobs:
            kinds = dict.fromkeys(job.claim.kind for job in self._jobs.values() if job.state == "waiting")
            kinds_open = [kind for kind in kinds if self._room.running(kind) < self.settings.at_once_of(kind)]
            claim = self._room.next(kinds_open, self._policy.served_us, self._makes_room, self._weighs)
            if claim is None:
                return
            self._start(self._jobs[claim.job])

    def _makes_room(self, claim: Claim) -> bool:
        """Whether the job fits now; if weights that nobody uses are in its way, they are taken off the device first."""
        job = self._jobs[claim.job]
        if self._evictor.takes_off(job.need.weights):
            return False
        if self._admission.fits(job.need):
            return True
        if not self._evictor.make_room(claim, job.need) and not self._room.running():
            self._refuse(job)
        return False

    def _refuse(self, job: Job) -> None:
        try:
            self._admission.check(job.need, job.name)
        except DoesNotFit as error:
            asyncio.get_running_loop().call_soon(self._end, job, Outcome(error=error.with_traceback(None)))

    def _weighs(self, claim: Claim) -> bool:
        return self._jobs[claim.job].need.alone_bytes > 0

    def _evicted(self, claim: Claim, outcome: Outcome | None) -> None:
        job = self._jobs.get(claim.job)
        if job is not None and outcome is not None:
            self._end(job, outcome)
        else:
            self._fill()

    def _start(self, job: Job) -> None:
        self._admission.admit(job.claim.job, job.need)
        self._room.start(job.claim.job)
        job.state = "running"
        job.begun.set()
        if job.shared:
            self._shared[job.shared].submit(job.claim, job.work)
        else:
            job.worker = TaskWorker(self._lease, self._events, job.claim, job.work)
            self._threads.add(job.worker)
            job.worker.start()

    def _hear(self, news: list[tuple[int, Any]]) -> None:
        """What worker threads told; what goes wrong with one job leaves the others alone."""
        for number, item in news:
            job = self._jobs.get(number)
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
            self._end(job, item)

    def _end_if_still(self, job: Job) -> None:
        """A job that is leaving need not wait for `resume`: its thread hears of it then, before the next step."""
        if job.shared and self._shared[job.shared].stands_still:
            self._end(job, Outcome(error=cancelled()))

    def _end(self, job: Job, outcome: Outcome) -> None:
        number = job.claim.job
        if self._jobs.pop(number, None) is None:
            return
        self._room.finish(number)
        self._admission.release(number)
        outcome = self._take_over(job, outcome)
        if job.worker:
            self._threads.discard(job.worker)
        self._outlook.note(job, outcome)
        job.end(_state(outcome), outcome)
        if not self._jobs:
            self._idle.set()
        self._fill()

    def _take_over(self, job: Job, outcome: Outcome) -> Outcome:
        """What the job leaves on the device counts before anything else may start in the job's place."""
        if job.keeps is None or outcome.error is not None:
            return outcome
        try:
            need = job.keeps(outcome.result)
            self._admission.keep(need.weights or job.name, need, pinned=True, name=job.name)
        except Exception as error:
            return Outcome(error=error.with_traceback(None))
        return outcome


def _state(outcome: Outcome) -> JobState:
    if outcome.error is None:
        return "done"
    return "cancelled" if isinstance(outcome.error, JobCancelled) else "failed"


def _until(end_s: float) -> float:
    return max(end_s - time.monotonic(), 0.0)


def _join(threads: Iterable[threading.Thread], until_s: float) -> None:
    """A device that never answers must not keep the process from ending: the threads are daemons."""
    for thread in threads:
        thread.join(_until(until_s))
        if thread.is_alive():
            frame = sys._current_frames().get(thread.ident or 0)
            where = "".join(traceback.format_stack(frame)) if frame else "outside of Python"
            log.error("Thread %s has not ended in the time that it was given: %s", thread.name, where)
