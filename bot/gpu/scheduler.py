"""The GPU scheduler on an event loop: admit, start, tell. Whose step comes next is decided in `lease`, by `fairness`.

Nothing here touches the device, imports torch, or waits for a thread: the host's event loop goes on.
"""

from __future__ import annotations

import asyncio
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
from tilestep.bot.gpu.dispatcher import Dispatcher
from tilestep.bot.gpu.errors import SchedulerClosed
from tilestep.bot.gpu.gate import StepGate
from tilestep.bot.gpu.jobs import JobHandle, OnProgress
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.outcome import Outcome, cancelled
from tilestep.bot.gpu.seats import LeaseRecord
from tilestep.bot.gpu.statistics import GpuStatistics, ShareStatistics
from tilestep.bot.gpu.task import Flow, JobStatus, SharedTask, Task
from tilestep.bot.gpu.worker import SHUTTING_DOWN

T = TypeVar("T")

THREAD_END_S = 20.0

log = logging.getLogger(__name__)


class StepScheduler:
    """Runs tasks and shared tasks; knows nothing of pictures. Every method is called on the event loop."""

    def __init__(self, settings: GpuSettings | None = None, device: Device | None = None) -> None:
        self.settings = settings or GpuSettings()
        self._device_given = device is not None
        self._dispatcher = Dispatcher(self.settings, device or Device())
        self._open = self._paused = False

    async def __aenter__(self) -> Self:
        settings = self.settings
        if not self._device_given:
            name, budget_bytes = settings.device, settings.budget_bytes
            device = await asyncio.to_thread(open_device, name, budget_bytes, settings.reserve_bytes)
            self._dispatcher.install(device)
        self._dispatcher.listen()
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
        self._check_open()
        job = self._dispatcher.enter(
            task.kind, flow, priority, task.name, task.need, task, None, size, on_progress, keeps
        )
        return JobHandle(self, job)

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
            self._dispatcher.admission.keep(name, need, pinned=True)
        self._dispatcher.share(name, build)

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
        self._check_open()
        job = self._dispatcher.enter(
            kind or name, flow, priority, label or name, MemoryNeed(), order, name, size, on_progress
        )
        return JobHandle(self, job)

    def keep_weights(
        self, name: str, need: MemoryNeed, evict: Callable[[], None] | None = None, label: str | None = None
    ) -> None:
        """These weights stay on the device. `evict` takes them off it, called in a step when the room is needed.

        Without it they stay for good; raises DoesNotFit for those beyond the budget, whose text calls them `label`.
        """
        self._dispatcher.admission.keep(name, need, pinned=evict is None, name=label)
        if evict:
            self._dispatcher.evictor.know(name, evict)

    def drop_weights(self, name: str) -> None:
        """These weights are off the device."""
        self._dispatcher.admission.drop(name)
        self._dispatcher.evictor.forget(name)
        self._dispatcher.fill()

    def cancel(self, job: int) -> bool:
        """Cancels at the next step; one that waits, or is paused between two steps, at once. False if it is over."""
        return self._dispatcher.cancel(job)

    def set_priority(self, job: int, priority: int) -> None:
        """Among the member's own jobs; larger goes first. Does nothing to what is over."""
        found = self._dispatcher.jobs.get(job)
        if found is not None:
            found.claim = self._dispatcher.room.set_priority(job, priority)
            self._dispatcher.lease.reclaim(found.claim)

    def pause(self) -> None:
        """No step begins until `resume`; jobs are still accepted."""
        self._paused = True
        self._dispatcher.lease.pause()
        for job in [job for job in self._dispatcher.jobs.values() if job.leaving]:
            self._dispatcher.end_if_still(job)

    def resume(self) -> None:
        self._paused = False
        self._dispatcher.lease.resume()

    async def until_idle(self) -> None:
        """Returns when nothing is waiting or running."""
        await self._dispatcher.idle.wait()

    async def drain(self) -> None:
        """Takes nothing new and finishes what was accepted."""
        self._open = False
        await self._dispatcher.idle.wait()

    async def close(self, within_s: float = THREAD_END_S) -> None:
        """Takes nothing new, cancels everything at the next step, and ends the threads.

        What has not ended after `within_s` is logged, and its jobs raise JobCancelled all the same.
        """
        self._open = False
        until_s = time.monotonic() + within_s
        self._dispatcher.closing = True
        for job in list(self._dispatcher.jobs):
            self.cancel(job)
        threads = self._dispatcher.threads
        self._dispatcher.lease.close()
        self._dispatcher.pool.close()
        for worker in self._dispatcher.shared.values():
            worker.stop()
        await self._dispatcher.evictor.close(within_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._dispatcher.idle.wait(), _until(until_s))
        for left in list(self._dispatcher.jobs.values()):
            self._dispatcher.end(left, Outcome(error=cancelled(SHUTTING_DOWN)))
        await asyncio.to_thread(_join, threads, until_s)

    def leases(self) -> list[LeaseRecord]:
        """The newest steps in the order of the device."""
        return self._dispatcher.lease.log()

    def status(self, job: int) -> JobStatus:
        """How a job stands; raises KeyError once it is over."""
        return next(self._dispatcher.outlook.statuses([self._dispatcher.jobs[job]], self._dispatcher.jobs))

    def gpu_ms(self, job: int) -> float:
        """Device milliseconds that a job has used; raises KeyError once it is over."""
        return self._dispatcher.outlook.used_ms(self._dispatcher.jobs[job])

    def statistics(self) -> GpuStatistics:
        """Queue, shares, waits, memory and every job's time left."""
        gpu_ms = {key: used_us / 1000 for key, used_us in self._dispatcher.lease.used_us().items()}
        return GpuStatistics(
            device=self.device.name,
            waiting=self._dispatcher.room.waiting(),
            running=self._dispatcher.room.running(),
            queue_limit=self.settings.limits.total,
            paused=self._paused,
            quantum_ms=self._dispatcher.policy.quantum_us / 1000,
            served_ms=self._dispatcher.policy.served_us / 1000,
            jobs=tuple(self._dispatcher.outlook.statuses(self._dispatcher.jobs.values(), self._dispatcher.jobs)),
            shares=ShareStatistics(gpu_ms),
            waits=self._dispatcher.outlook.waits,
            memory=self._dispatcher.admission.statistics(),
        )

    @property
    def device(self) -> Device:
        """What the steps run on."""
        return self._dispatcher.device

    def _check_open(self) -> None:
        if not self._open:
            raise SchedulerClosed("The GPU takes no new work now: it is not started, or shutting down.")


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
