"""Three simple ways to share a device: first come, first served; everyone a step in turn; two threads and a lock."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from interleaving.models import Bench, ImageSize

from tilestep.bot.gpu import Flow
from tilestep.bot.gpu.clock import StepClock, Timing
from tilestep.bot.gpu.errors import JobCancelled, TaskCancelled
from tilestep.bot.gpu.gate import Phase
from tilestep.bot.gpu.seats import LeaseRecord
from tilestep.bot.gpu.task import IMAGE, UPSCALE, Claim, SharedTurn
from tilestep.bot.tasks.pipeline import run_pipeline
from tilestep.bot.tasks.upscale import TilePool

USUAL_QUANTUM_MS = 50.0


class Turns(Protocol):
    """Whose step comes next, among threads that ask for one."""

    def join(self, job: int) -> None: ...

    def enter(self, job: int) -> None: ...

    def leave(self, job: int) -> None: ...

    def quit(self, job: int) -> None: ...


class FirstCome:
    """The oldest job keeps the device until it is over."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: list[int] = []

    def join(self, job: int) -> None:
        self._jobs.append(job)

    def enter(self, job: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs[0] == job)

    def leave(self, job: int) -> None:
        """Keeps the device."""

    def quit(self, job: int) -> None:
        with self._changed:
            self._jobs.remove(job)
            self._changed.notify_all()


class ByCount:
    """Everyone a step in turn, whatever it costs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._order: deque[int] = deque()
        self._asking: set[int] = set()
        self._busy = False

    def join(self, job: int) -> None:
        with self._changed:
            self._order.append(job)

    def enter(self, job: int) -> None:
        with self._changed:
            self._asking.add(job)
            self._changed.wait_for(lambda: not self._busy and self._next() == job)
            self._asking.discard(job)
            self._busy = True

    def leave(self, job: int) -> None:
        with self._changed:
            self._busy = False
            self._order.remove(job)
            self._order.append(job)
            self._changed.notify_all()

    def quit(self, job: int) -> None:
        with self._changed:
            self._order.remove(job)
            self._changed.notify_all()

    def _next(self) -> int | None:
        return next((job for job in self._order if job in self._asking), None)


class OneLock:
    """Whoever gets hold of the lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def join(self, job: int) -> None:
        """Nobody keeps a list."""

    def enter(self, job: int) -> None:
        self._lock.acquire()

    def leave(self, job: int) -> None:
        self._lock.release()

    def quit(self, job: int) -> None:
        """Nobody keeps a list."""


@dataclass(frozen=True, eq=False)
class PlainHandle:
    """A job of a baseline."""

    job: int
    future: asyncio.Future[Any]
    given_up: set[int]

    def __await__(self) -> Any:
        return asyncio.shield(self.future).__await__()

    def cancel(self) -> None:
        self.given_up.add(self.job)


class Plain:
    """A baseline: a thread for each job, or `per_kind` one for all images and one for all upscales."""

    def __init__(self, bench: Bench, turns: Turns, per_kind: bool = False, clock: StepClock | None = None) -> None:
        self.owners: dict[int, Flow] = {}
        self.turns, self.clock = turns, clock or bench.clock()
        self.given_up: set[int] = set()
        self.log: list[tuple[Claim, Phase, Timing, float]] = []
        self._bench = bench
        self._numbers = itertools.count(1)
        pools = [ThreadPoolExecutor(1 if per_kind else 256) for _ in range(2 if per_kind else 1)]
        self._pools = {IMAGE: pools[0], UPSCALE: pools[-1]}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.given_up.update(self.owners)
        for pool in self._pools.values():
            await asyncio.to_thread(pool.shutdown)

    async def image(self, flow: Flow, image: ImageSize) -> PlainHandle:
        def run(gate: PlainGate) -> Any:
            return run_pipeline(self._bench.pipe, gate, image.arguments, seed=0)

        return self._submit(run, flow, IMAGE)

    async def upscale(self, flow: Flow, side_px: int) -> PlainHandle:
        def run(gate: PlainGate) -> Any:
            pool = TilePool(self._bench.tile_model)
            pool.add(gate.claim.job, self._bench.order(side_px))
            done = None
            while done is None or not done.results:
                with gate.step("tiles"):
                    done = pool.step(SharedTurn(gate.claim.job, USUAL_QUANTUM_MS))
            return done.results[gate.claim.job]

        return self._submit(run, flow, UPSCALE)

    def steps(self) -> list[LeaseRecord]:
        return [LeaseRecord(c, phase, timing.cost_ms(), {c.job: 1}, s) for c, phase, timing, s in list(self.log)]

    def _submit(self, run: Callable[[PlainGate], Any], flow: Flow, kind: str) -> PlainHandle:
        claim = Claim(next(self._numbers), flow, kind)
        self.owners[claim.job] = flow
        self.turns.join(claim.job)
        future = asyncio.wrap_future(self._pools[kind].submit(self._run, run, PlainGate(self, claim)))
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return PlainHandle(claim.job, future, self.given_up)

    def _run(self, run: Callable[[PlainGate], Any], gate: PlainGate) -> Any:
        try:
            return run(gate)
        except TaskCancelled:
            raise JobCancelled("The job was cancelled.") from None
        finally:
            self.turns.quit(gate.claim.job)


class PlainGate:
    """The gate of a baseline's job."""

    def __init__(self, plain: Plain, claim: Claim) -> None:
        self._plain, self.claim = plain, claim
        self._inside = False

    @contextmanager
    def step(self, phase: Phase) -> Iterator[None]:
        if self._inside:
            yield
            return
        plain, job = self._plain, self.claim.job
        plain.turns.enter(job)
        try:
            if job in plain.given_up:
                raise TaskCancelled
            self._inside, began_s, timing = True, time.monotonic(), plain.clock.start()
            try:
                yield
            finally:
                timing.stop()
                self._inside = False
                plain.log.append((self.claim, phase, timing, began_s))
        finally:
            plain.turns.leave(job)

    def progress(self, done: int, total: int, phase: Phase) -> None:
        """Nobody listens."""
