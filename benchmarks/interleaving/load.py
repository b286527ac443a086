"""Load on a device, and what its log of steps tells."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager
from statistics import median
from typing import TypeVar

from interleaving.contenders import Contender, Handle

from tilestep.bot.gpu import Flow, JobCancelled, QueueFull
from tilestep.bot.gpu.seats import LeaseRecord, split

K = TypeVar("K", bound=Hashable)
LOOK_S = 0.2
Submit = Callable[[], Awaitable[Handle]]


@asynccontextmanager
async def backlogged(submits: Iterable[Submit], jobs_each: int = 2) -> AsyncIterator[None]:
    """Each of these always has so many jobs: whenever one is over the next is submitted."""
    handles: set[Handle] = set()

    async def again(submit: Submit) -> None:
        while True:
            with contextlib.suppress(JobCancelled, QueueFull):
                handle = await submit()
                handles.add(handle)
                await handle
                handles.discard(handle)

    tasks = [asyncio.create_task(again(submit)) for submit in submits for _ in range(jobs_each)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await give_up(handles)
        for end in ends:
            if isinstance(end, Exception):
                raise end


async def give_up(handles: Iterable[Handle]) -> None:
    """Cancels jobs, and returns when they are over."""
    handles = list(handles)
    for handle in handles:
        handle.cancel()
    for handle in handles:
        with contextlib.suppress(JobCancelled):
            await handle


async def served(contender: Contender, gpu_ms: float, since_s: float) -> list[LeaseRecord]:
    """The steps since then, once they have taken so much of the device."""
    while True:
        steps = [step for step in contender.steps() if step.started_s >= since_s]
        if sum(step.gpu_ms for step in steps) >= gpu_ms:
            return steps
        await asyncio.sleep(LOOK_S)


async def denoised(contender: Contender) -> None:
    """Returns once images are under way: a denoising step is over, so that `step_ms` knows what one costs."""
    while not any(step.phase == "denoise" for step in contender.steps()):
        await asyncio.sleep(LOOK_S)


def used_ms(steps: Iterable[LeaseRecord], key: Mapping[int, K]) -> Counter[K]:
    """Device time by what each job belongs to."""
    used: Counter[K] = Counter()
    for step in steps:
        for job, cost_us in split(round(step.gpu_ms * 1000), step.parts).items():
            used[key[job]] += cost_us
    return Counter({name: cost_us / 1000 for name, cost_us in used.items()})


def step_ms(steps: Iterable[LeaseRecord]) -> float:
    """The usual denoising step."""
    return median(step.gpu_ms for step in steps if step.phase == "denoise")


def waited_ms(steps: list[LeaseRecord], asked_s: float, job: int) -> float:
    """Device time from the asking, which was in the middle of some step, to the first step that this job is in."""
    first = next(n for n, step in enumerate(steps) if job in step.parts)
    begun = max((n for n, step in enumerate(steps[:first]) if step.started_s <= asked_s), default=None)
    if begun is None:
        return sum(step.gpu_ms for step in steps[:first])
    began_s, ended_s = steps[begun].started_s, steps[begun + 1].started_s
    rest = (ended_s - asked_s) / (ended_s - began_s)
    return rest * steps[begun].gpu_ms + sum(step.gpu_ms for step in steps[begun + 1 : first])


def begun_after(steps: Iterable[LeaseRecord], job: int, moment_s: float) -> int:
    """How many steps this job is in that began later."""
    return sum(job in step.parts and step.started_s > moment_s for step in steps)


def under_way(steps: list[LeaseRecord], job: int, moment_s: float) -> bool:
    """Whether the last step that had begun by then was this job's."""
    begun = [step for step in steps if step.started_s <= moment_s]
    return bool(begun) and job in begun[-1].parts


class Stopwatch:
    """Seconds of the wall and of the process's own processor time."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]


class Members:
    """Flows that nobody has had before."""

    def __init__(self) -> None:
        self._count = 0

    def new(self, guild: str = "guild") -> Flow:
        self._count += 1
        return Flow(guild, f"member {self._count}")
