"""Threads that work on the device: one per running task, one per shared task. The lease puts them in a row.

What happens is told by callbacks, which are called in these threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from tilestep.bot.gpu.errors import TaskCancelled
from tilestep.bot.gpu.gate import Phase, Progress, StepGate
from tilestep.bot.gpu.lease import Lease
from tilestep.bot.gpu.outcome import Outcome, cancelled, failure
from tilestep.bot.gpu.seats import Account, Grant, Seat
from tilestep.bot.gpu.task import Claim, SharedStep, SharedTask, SharedTurn, Task
from tilestep.bot.gpu.threads import ThreadPool

IDLE_S = 0.02
SHUTTING_DOWN = "the GPU is shutting down"


class Events(Protocol):
    """Who hears of jobs, in a worker's thread."""

    def began(self, job: int, account: Account) -> None: ...

    def progressed(self, job: int, progress: Progress) -> None: ...

    def ended(self, job: int, outcome: Outcome) -> None: ...


class JobGate:
    """The gate of one job's thread."""

    def __init__(self, lease: Lease, seat: Seat, on_progress: Callable[[Progress], None]) -> None:
        self._lease, self._seat, self._on_progress = lease, seat, on_progress
        self._inside = False

    @contextmanager
    def step(self, phase: Phase) -> Iterator[None]:
        if self._inside:
            yield
        else:
            with self.hold(phase):
                yield

    @contextmanager
    def hold(self, phase: Phase) -> Iterator[Grant]:
        """An outer step, and what is known of it."""
        with self._lease.step(self._seat, phase) as grant:
            self._inside = True
            try:
                yield grant
            finally:
                self._inside = False

    def progress(self, done: int, total: int, phase: Phase) -> None:
        self._on_progress(Progress(done, total, phase))


class TaskWorker:
    """Runs one task to its end, in a thread of `threads` that does nothing else meanwhile."""

    thread: threading.Thread

    def __init__(self, lease: Lease, events: Events, claim: Claim, task: Task[Any]) -> None:
        self._lease, self._events, self._claim = lease, events, claim
        self._task: Task[Any] | None = task
        self._name = f"gpu-{task.name}-{claim.job}"
        self._seat = lease.seat()

    def start(self, threads: ThreadPool) -> None:
        self._events.began(self._claim.job, self._lease.add(self._seat, self._claim))
        self.thread = threads.run(self._name, self._run)

    def cancel(self) -> None:
        """Takes effect at the next step."""
        self._lease.cancel(self._seat)

    def _run(self) -> None:
        """The traceback of an error leads here as long as it lives, so this frame holds no outcome."""
        self._end(self._attempt())

    def _attempt(self) -> Outcome:
        job, task, self._task = self._claim.job, self._task, None
        assert task is not None
        try:
            return Outcome(task.run(JobGate(self._lease, self._seat, lambda now: self._events.progressed(job, now))))
        except BaseException as error:
            return Outcome(error=error)

    def _end(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            outcome = failure(outcome.error)
        self._lease.remove(self._seat, self._claim.job)
        self._lease.settle()
        self._events.ended(self._claim.job, outcome)


@dataclass(frozen=True)
class _Order:
    claim: Claim
    order: Any


class SharedWorker:
    """Runs the jobs of a shared task, one step for all at a time, in one thread that lives until `stop`.

    The task is built in that thread by `build` when the first job comes, in steps of phase "load" if it asks for any.
    If building fails the jobs that wait for it fail, and the next job tries again.
    """

    def __init__(self, lease: Lease, events: Events, name: str, build: Callable[[StepGate], SharedTask]) -> None:
        self._lease, self._events, self._build = lease, events, build
        self._seat = lease.seat()
        self._gate = JobGate(lease, self._seat, lambda progress: None)
        self._inbox: SimpleQueue[_Order | int | None] = SimpleQueue()
        self._task: SharedTask | None = None
        self._jobs: set[int] = set()
        self._over = False
        self.thread = threading.Thread(target=self._run, name=f"gpu-{name}", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def submit(self, claim: Claim, order: Any) -> None:
        self._inbox.put(_Order(claim, order))

    def cancel(self, job: int) -> None:
        """Takes effect before the next step."""
        self._inbox.put(job)

    @property
    def stands_still(self) -> bool:
        """Whether it is paused with no step under way."""
        return self._lease.stands_still(self._seat)

    def stop(self) -> None:
        """Cancels what is left and ends the thread at the next step."""
        self._inbox.put(None)
        self._lease.cancel(self._seat)

    def _run(self) -> None:
        while not self._over:
            try:
                self._read_inbox(wait=not self._jobs)
                if self._jobs:
                    self._step()
            except TaskCancelled:
                self._over = True
            except BaseException as error:
                self._end_all(failure(error))
        self._end_all(closing := Outcome(error=cancelled(SHUTTING_DOWN)))
        self._turn_away(closing)
        if self._task:
            self._task.close()

    def _step(self) -> None:
        with self._gate.hold("tiles") as grant:
            self._read_inbox(wait=False)
            turn = SharedTurn(grant.claim.job, grant.quantum_ms, grant.indebted)
            done = self._task.step(turn) if self._task and self._jobs else None
            grant.parts = dict(done.parts) if done else {}
            grant.phase = done.phase if done else grant.phase
        if done:
            self._tell(done)
        elif self._jobs:
            self._lease.rest(self._seat)
            self._read_inbox(wait=True, timeout_s=IDLE_S)

    def _tell(self, done: SharedStep) -> None:
        for job, progress in done.progress.items():
            self._events.progressed(job, progress)
        for job, result in done.results.items():
            self._end(job, Outcome(result))
        for job, error in done.errors.items():
            self._end(job, failure(error))

    def _read_inbox(self, wait: bool, timeout_s: float | None = None) -> None:
        """Takes everything that has come; waits for a first message if asked to."""
        try:
            while not self._over:
                self._handle(self._inbox.get(block=wait, timeout=timeout_s))
                wait = False
        except Empty:
            return

    def _handle(self, message: _Order | int | None) -> None:
        if message is None:
            self._over = True
        elif isinstance(message, int):
            if message in self._jobs:
                self._drop(message)
                self._end(message, Outcome(error=cancelled()))
        else:
            self._accept(message)

    def _accept(self, message: _Order) -> None:
        job = message.claim.job
        self._jobs.add(job)
        self._events.began(job, self._lease.add(self._seat, message.claim))
        try:
            self._built().add(job, message.order)
        except Exception as error:
            self._end(job, failure(error))

    def _built(self) -> SharedTask:
        if self._task is None:
            self._task = self._build(self._gate)
        return self._task

    def _end(self, job: int, outcome: Outcome) -> None:
        self._jobs.discard(job)
        self._lease.remove(self._seat, job)
        self._lease.settle()
        self._events.ended(job, outcome)

    def _end_all(self, outcome: Outcome) -> None:
        for job in sorted(self._jobs):
            self._drop(job)
            self._end(job, outcome)

    def _turn_away(self, outcome: Outcome) -> None:
        """Orders that came and were not read any more."""
        with suppress(Empty):
            while True:
                message = self._inbox.get_nowait()
                if isinstance(message, _Order):
                    self._events.ended(message.claim.job, outcome)

    def _drop(self, job: int) -> None:
        if self._task:
            self._task.drop(job)
