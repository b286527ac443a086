"""What the host does wrong, and what never ends: other jobs go on, and closing comes to an end."""

import asyncio
import threading

import pytest
from virtual_gpu import ONE, TWO, Held, steps, virtual

from tilestep.bot.gpu.clock import ManualClock
from tilestep.bot.gpu.errors import JobCancelled
from tilestep.bot.gpu.task import SharedStep, Task


class Pool:
    """A shared task whose jobs never end; `begun` tells that a step has been taken."""

    kind = "upscale"

    def __init__(self):
        self.begun, self.jobs, self.dropped = threading.Event(), [], []

    def add(self, job, order):
        self.jobs.append(job)

    def drop(self, job):
        self.jobs.remove(job)
        self.dropped.append(job)

    def step(self, turn):
        self.begun.set()
        return SharedStep(dict.fromkeys(self.jobs, 1))

    def close(self):
        self.jobs.clear()


@pytest.mark.parametrize("error", [ValueError("the host's own fault"), asyncio.CancelledError("the host's own fault")])
async def test_an_error_in_the_hosts_callback_harms_neither_its_job_nor_others(error, caplog):
    clock = ManualClock()

    def on_progress(progress):
        raise error

    async with virtual(clock) as gpu:
        heard = gpu.submit(steps(clock, 3), ONE, on_progress=on_progress)
        other = gpu.submit(steps(clock, 3), TWO)
        assert await asyncio.gather(heard, other) == [3, 3]
        await gpu.drain()
    assert "the host's own fault" in caplog.text


async def test_closing_ends_though_a_job_does_not(caplog):
    never = threading.Event()
    gpu = virtual()
    await gpu.__aenter__()
    stuck = gpu.submit(Task(lambda gate: never.wait(60), name="stuck"), ONE)
    waiting = asyncio.create_task(gpu.until_idle())
    await stuck.begun()
    await gpu.close(within_s=0)
    with pytest.raises(JobCancelled, match="shutting down"):
        await stuck
    await waiting
    assert "gpu-stuck" in caplog.text
    never.set()
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("gpu-stuck")]:
        await asyncio.to_thread(thread.join)


async def test_a_shared_job_is_cancelled_during_a_pause():
    pool = Pool()
    async with virtual() as gpu:
        gpu.add_shared("tiles", lambda gate: pool)
        first = gpu.submit_shared("tiles", None, ONE)
        await asyncio.to_thread(pool.begun.wait)
        gpu.pause()
        assert first.cancel()
        with pytest.raises(JobCancelled):
            await first
        assert gpu.statistics().running == 0
        pool.begun.clear()
        second = gpu.submit_shared("tiles", None, TWO)
        gpu.resume()
        await asyncio.to_thread(pool.begun.wait)
        second.cancel()
        with pytest.raises(JobCancelled):
            await second
    assert pool.dropped == [first.job, second.job]


async def test_a_shared_job_that_was_cancelled_ends_when_a_pause_comes_before_its_next_step():
    clock = ManualClock()
    async with virtual(clock) as gpu:
        gpu.add_shared("tiles", lambda gate: Pool())
        held = Held(clock)
        image = gpu.submit(held.task, ONE)
        await held.under_way()
        tiles = gpu.submit_shared("tiles", None, TWO)
        tiles.cancel()
        gpu.pause()
        with pytest.raises(JobCancelled):
            await tiles
        held.release.set()
        gpu.resume()
        assert await image == 1
