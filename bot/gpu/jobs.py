"""Jobs on the event loop: what the scheduler keeps of each, and what who submitted it holds."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from tilestep.bot.gpu.gate import Progress
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.outcome import Outcome
from tilestep.bot.gpu.seats import Account
from tilestep.bot.gpu.task import Claim, JobState, JobStatus, Task
from tilestep.bot.gpu.worker import TaskWorker

T = TypeVar("T")

OnProgress = Callable[[Progress], None]

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """`work`: a task, or the order for the shared task named `shared`. `size`: expected work, in units of its name.

    `keeps`: of its result, the weights that stay on the device. `leaving`: it was cancelled while it ran.
    """

    claim: Claim
    name: str
    need: MemoryNeed
    work: Task[Any] | Any
    shared: str | None
    size: float
    submitted_s: float
    future: asyncio.Future[Any]
    on_progress: OnProgress | None = None
    keeps: Callable[[Any], MemoryNeed] | None = None
    state: JobState = "waiting"
    leaving: bool = False
    progress: Progress = field(default_factory=Progress)
    account: Account | None = None
    worker: TaskWorker | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    gpu_ms: float = 0.0

    @property
    def over(self) -> bool:
        """Done, failed or cancelled."""
        return self.state not in ("waiting", "running")

    def tell(self, progress: Progress) -> None:
        """Something has changed. An error of the host's callback is the host's: it is logged, and the job goes on."""
        self.progress = progress
        self.news.set()
        if self.on_progress is None:
            return
        try:
            self.on_progress(progress)
        except (Exception, asyncio.CancelledError):
            log.exception("on_progress of %s (job %d) failed", self.name, self.claim.job)

    def end(self, state: JobState, outcome: Outcome) -> None:
        """The job is over; whoever awaits it goes on. Its work, which may hold a model, is let go of."""
        self.state = state
        self.work = self.worker = self.keeps = None
        self.news.set()
        self.begun.set()
        if self.future.done():
            return
        if outcome.error is None:
            self.future.set_result(outcome.result)
        else:
            self.future.set_exception(outcome.error)
            self.future.exception()


class Desk(Protocol):
    """What a handle asks of the scheduler."""

    def status(self, job: int) -> JobStatus: ...

    def gpu_ms(self, job: int) -> float: ...

    def cancel(self, job: int) -> bool: ...

    def set_priority(self, job: int, priority: int) -> None: ...


class JobHandle(Generic[T]):
    """A submitted job. Awaiting it gives the result or raises its error; giving up waiting does not cancel the job."""

    def __init__(self, desk: Desk, job: Job) -> None:
        self._desk, self._job = desk, job

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.shield(self._job.future).__await__()

    @property
    def job(self) -> int:
        return self._job.claim.job

    @property
    def done(self) -> bool:
        return self._job.future.done()

    @property
    def progress(self) -> Progress:
        return self._job.progress

    @property
    def gpu_ms(self) -> float:
        """Device milliseconds that it has used so far, or altogether once it is over, however it ended."""
        return self._job.gpu_ms if self._job.over else self._desk.gpu_ms(self.job)

    async def begun(self) -> None:
        """Returns once it has been started, or is over."""
        await self._job.begun.wait()

    def status(self) -> JobStatus:
        """How it stands now; raises KeyError once it is over."""
        return self._desk.status(self.job)

    def cancel(self) -> bool:
        """Takes effect at the next step; the job then raises JobCancelled. False if it is over already."""
        return self._desk.cancel(self.job)

    def when_over(self, call: Callable[[], None]) -> None:
        """Calls it on the event loop once the job is over, however it ends."""
        self._job.future.add_done_callback(lambda future: call())

    def set_priority(self, priority: int) -> None:
        """Among the member's own jobs; larger goes first."""
        self._desk.set_priority(self.job, priority)

    async def updates(self) -> AsyncIterator[Progress]:
        """Each new progress, the newest if several came at once, until the job is over. For one reader."""
        while not self.done:
            await self._job.news.wait()
            self._job.news.clear()
            yield self._job.progress


class LoopEvents:
    """Carries news of worker threads to the event loop, many at a time, so that it is woken seldom."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[list[tuple[int, Any]]], None]) -> None:
        self._loop, self._deliver = loop, deliver
        self._lock = threading.Lock()
        self._progress: dict[int, Progress] = {}
        self._news: list[tuple[int, Any]] = []
        self._called = False

    def began(self, job: int, account: Account) -> None:
        self._post(job, account)

    def progressed(self, job: int, progress: Progress) -> None:
        with self._lock:
            self._progress[job] = progress
        self._wake()

    def ended(self, job: int, outcome: Outcome) -> None:
        self._post(job, outcome)

    def _post(self, job: int, news: Account | Outcome) -> None:
        with self._lock:
            self._news.append((job, news))
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            called, self._called = self._called, True
        if not called:
            with suppress(RuntimeError):  # the thread has outlived the loop
                self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            news = [*self._progress.items(), *self._news]
            self._progress, self._news, self._called = {}, [], False
        self._deliver(news)
