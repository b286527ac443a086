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
from types import TracebackType
from typing import Any, Self, TypeVar

from tilestep.bot.gpu.device import Device, open_device
from tilestep.bot.gpu.errors import DoesNotFit, JobCancelled, SchedulerClosed
from tilestep.bot.gpu.fairness import FairPolicy
from tilestep.bot.gpu.forecast import Ahead, CostBook, forecast
from tilestep.bot.gpu.gate import Progress, StepGate
from tilestep.bot.gpu.jobs import Job, JobHandle, LoopEvents, OnProgress
from tilestep.bot.gpu.lease import Account, Lease, LeaseRecord
from tilestep.bot.gpu.memory import Admission, MemoryNeed
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.statistics import GpuStatistics, ShareStatistics, WaitTally
from tilestep.bot.gpu.task import Claim, Flow, JobStatus, SharedTask, Task
from tilestep.bot.gpu.waiting import WaitingRoom
from tilestep.bot.gpu.worker import Outcome, SharedWorker, TaskWorker

T = TypeVar("T")

FORECAST_S = 0.25
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
        self._costs = CostBook()
        self._waits = WaitTally()
        self._forecast: tuple[float, dict[int, float]] = (-FORECAST_S, {})
        self._evictors: dict[str, Callable[[], None]] = {}
        self._evicting: dict[int, asyncio.Task[None]] = {}
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
    ) -> JobHandle[T]:
        """Accepts a task. Raises QueueFull, DoesNotFit or SchedulerClosed, each in words for the member.

        `size`: how much work it is, in any unit that jobs of the same name share; for the forecast. `on_progress` is
        called on the event loop.
        """
        return self._enter(task.kind, flow, priority, task.name, task.need, task, None, size, on_progress)

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

    def keep_weights(self, name: str, need: MemoryNeed, evict: Callable[[], None] | None = None) -> None:
        """These weights stay on the device. `evict` takes them off it, called in a step when the room is needed."""
        self._admission.keep(name, need, pinned=evict is None)
        if evict:
            self._evictors[name] = evict

    def drop_weights(self, name: str) -> None:
        """These weights are off the device."""
        self._admission.drop(name)
        self._evictors.pop(name, None)
        self._fill()

    def cancel(self, job: int) -> bool:
        """Cancels at the next step; one that waits at once. False if it is over already."""
        found = self._jobs.get(job)
        if found is None:
            return False
        if found.worker:
            found.worker.cancel()
        elif found.shared and found.state == "running":
            self._shared[found.shared].cancel(job)
        else:
            self._end(found, Outcome(error=JobCancelled("The job was cancelled.")))
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

    async def close(self) -> None:
        """Takes nothing new, cancels everything at the next step, and ends the threads."""
        self._open = False
        for job in list(self._jobs):
            self.cancel(job)
        self._lease.close()
        for worker in self._shared.values():
            worker.stop()
        await self._idle.wait()
        threads = [worker.thread for worker in self._shared.values()] + [worker.thread for worker in self._threads]
        for thread in threads:
            await asyncio.to_thread(_join, thread)

    def leases(self) -> list[LeaseRecord]:
        """The newest steps in the order of the device."""
        return self._lease.log()

    def status(self, job: int) -> JobStatus:
        """How a job stands; raises KeyError once it is over."""
        return next(status for status in self._statuses([self._jobs[job]]))

    def gpu_ms(self, job: int) -> float:
        """Device milliseconds that a job has used; raises KeyError once it is over."""
        account = self._jobs[job].account
        return self._lease.used(account)[0] if account else 0.0

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
            jobs=tuple(self._statuses(list(self._jobs.values()))),
            shares=ShareStatistics(gpu_ms),
            waits=self._waits.snapshot(),
            memory=self._admission.statistics(),
        )

    def _install(self, device: Device) -> None:
        self.device = device
        self._admission = Admission(device.budget_bytes)
        self._lease = Lease(self._policy, device.clock, self.settings.grace_ms, self.settings.lease_log)

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
    ) -> JobHandle[Any]:
        self._check_open()
        if size <= 0:
            raise ValueError(f"a job's size is above 0, not {size}")
        self._admission.check(need, name)
        claim = Claim(next(self._numbers), flow, kind, priority)
        self._room.enter(claim, self._policy.served_us)
        future = asyncio.get_running_loop().create_future()
        job = Job(claim, name, need, work, shared, size, time.monotonic(), future, on_progress)
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
        if claim.job in self._evicting:
            return False
        if self._admission.fits(job.need):
            return True
        keys = self._admission.to_evict(job.need)
        if keys:
            self._evicting[claim.job] = asyncio.create_task(self._evict(job, keys))
        elif not self._room.running() and not self._evicting:
            self._refuse(job)
        return False

    def _refuse(self, job: Job) -> None:
        try:
            self._admission.check(job.need, job.name)
        except DoesNotFit as error:
            asyncio.get_running_loop().call_soon(self._end, job, Outcome(error=error))

    def _weighs(self, claim: Claim) -> bool:
        return self._jobs[claim.job].need.alone_bytes > 0

    async def _evict(self, job: Job, keys: Iterable[str]) -> None:
        try:
            await asyncio.to_thread(self._evict_in_step, job.claim, keys)
            for key in keys:
                self._admission.drop(key)
                self._evictors.pop(key, None)
        except Exception as error:
            self._end(job, Outcome(error=error))
        finally:
            del self._evicting[job.claim.job]
        self._fill()

    def _evict_in_step(self, claim: Claim, keys: Iterable[str]) -> None:
        seat = self._lease.seat()
        self._lease.add(seat, claim)
        try:
            with self._lease.step(seat, "load"):
                for key in keys:
                    self._evictors[key]()
                self.device.free_cache()
        finally:
            self._lease.remove(seat, claim.job)

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
        """What worker threads told."""
        for number, item in news:
            job = self._jobs.get(number)
            if job is None:
                continue
            if isinstance(item, Progress):
                job.tell(item)
            elif isinstance(item, Account):
                job.account = item
            else:
                self._end(job, item)

    def _end(self, job: Job, outcome: Outcome) -> None:
        number = job.claim.job
        if self._jobs.pop(number, None) is None:
            return
        self._room.finish(number)
        self._admission.release(number)
        if job.worker:
            self._threads.discard(job.worker)
        self._note(job, outcome)
        cancelled = isinstance(outcome.error, JobCancelled)
        job.end("done" if outcome.error is None else "cancelled" if cancelled else "failed", outcome)
        if not self._jobs:
            self._idle.set()
        self._fill()

    def _note(self, job: Job, outcome: Outcome) -> None:
        if job.account is None:
            return
        job.gpu_ms, _ = self._lease.used(job.account)
        if outcome.error is None and job.gpu_ms:
            self._costs.note(job.name, job.size, job.gpu_ms)
        if job.account.started_s is not None:
            self._waits.note((job.account.started_s - job.submitted_s) * 1000)

    def _statuses(self, wanted: Iterable[Job]) -> Iterable[JobStatus]:
        ends = self._ends()
        ahead = self._ahead()
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
                waited_ms=((began_s or time.monotonic()) - job.submitted_s) * 1000,
                ahead=ahead.get(job.claim.job, 0),
                left_ms=ends.get(job.claim.job),
            )

    def _ahead(self) -> dict[int, int]:
        kinds = {job.claim.kind for job in self._jobs.values() if job.state == "waiting"}
        orders = [self._room.order(kind, self._policy.served_us) for kind in kinds]
        return {claim.job: place for order in orders for place, claim in enumerate(order)}

    def _ends(self) -> dict[int, float]:
        """Time left of each job of which anything is known; made again at most every `FORECAST_S`."""
        made_s, ends = self._forecast
        if time.monotonic() - made_s < FORECAST_S and self._jobs.keys() <= ends.keys():
            return ends
        left = {number: self._left_ms(job) for number, job in self._jobs.items()}
        known = [ms for ms in left.values() if ms is not None]
        typical = sum(known) / max(len(known), 1)
        ahead = [Ahead(job.claim, left[n] or (typical if left[n] is None else 0.0)) for n, job in self._order()]
        ends = forecast(ahead, self.settings.fairness, self.settings.at_once_of)
        self._forecast = time.monotonic(), {n: ms for n, ms in ends.items() if left[n] is not None}
        return self._forecast[1]

    def _order(self) -> list[tuple[int, Job]]:
        """Running jobs, then the others as they start."""
        ahead = self._ahead()
        return sorted(self._jobs.items(), key=lambda item: (item[1].state != "running", ahead.get(item[0], 0), item[0]))

    def _left_ms(self, job: Job) -> float | None:
        gpu_ms = self._lease.used(job.account)[0] if job.account else 0.0
        return self._costs.left_ms(job.name, job.size, gpu_ms, job.progress)


def _join(thread: threading.Thread) -> None:
    """A device that never answers must not keep the process from ending: the threads are daemons."""
    thread.join(THREAD_END_S)
    if thread.is_alive():
        frame = sys._current_frames().get(thread.ident or 0)
        where = "".join(traceback.format_stack(frame)) if frame else "outside of Python"
        log.error("Thread %s has not ended %g s after it was told to: %s", thread.name, THREAD_END_S, where)
