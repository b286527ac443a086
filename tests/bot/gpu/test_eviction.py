"""Weights that make room for others, and weights that a job leaves behind."""

import asyncio
import gc
import threading

import pytest
from virtual_gpu import ONE, THREE, TWO, Held, steps, virtual

from tilestep.bot.gpu.clock import ManualClock
from tilestep.bot.gpu.errors import DoesNotFit, JobCancelled
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.task import Task

NEW = MemoryNeed(50, weights="new")
OLD = MemoryNeed(70, weights="old")


async def test_two_jobs_in_need_of_the_same_room_have_it_made_once():
    clock = ManualClock()
    evicted = []
    async with virtual(clock, budget_bytes=100) as gpu:
        gpu.keep_weights("old", OLD, evict=lambda: evicted.append("old"))
        first, second = gpu.submit(steps(clock, 2, need=NEW), ONE), gpu.submit(steps(clock, 3, need=NEW), TWO)
        assert await asyncio.gather(first, second) == [2, 3]
    assert evicted == ["old"]


async def test_work_on_weights_that_are_leaving_waits_until_they_are_gone():
    clock = ManualClock()
    order = []

    def again(gate):
        with gate.step("load"):
            order.append("loaded")

    async with virtual(clock, budget_bytes=100) as gpu:
        gpu.pause()
        gpu.keep_weights("old", OLD, evict=lambda: order.append("evicted"))
        new = gpu.submit(steps(clock, 1, need=NEW), ONE)
        old = gpu.submit(Task(again, need=OLD), TWO)
        assert old.status().state == "waiting"
        gpu.resume()
        await asyncio.gather(new, old)
    assert order == ["evicted", "loaded"]


async def test_weights_that_cannot_be_taken_off_fail_who_asked_and_stay():
    clock = ManualClock()

    def broken():
        raise ValueError("stuck weights")

    async with virtual(clock, budget_bytes=100) as gpu:
        gpu.keep_weights("old", OLD, evict=broken)
        with pytest.raises(ValueError, match="stuck weights"):
            await gpu.run(steps(clock, 1, need=NEW), ONE)
        assert gpu.statistics().memory.resident_bytes == 70
        assert await gpu.run(steps(clock, 2, need=OLD), ONE) == 2


async def test_a_job_that_finds_room_elsewhere_meanwhile_leaves_the_eviction_to_end():
    clock = ManualClock()
    evicted, decoded, over = [], threading.Event(), threading.Event()

    def host_work(gate):
        with gate.step("decode"):
            clock.advance(10)
        decoded.set()
        assert over.wait(60)

    async with virtual(clock, budget_bytes=100, grace_ms=1) as gpu:
        gpu.keep_weights("old", MemoryNeed(60), evict=lambda: evicted.append("old"))
        beside = gpu.submit(Task(host_work, need=MemoryNeed(30)), ONE)
        await asyncio.to_thread(decoded.wait)
        long = Held(clock)
        running = gpu.submit(long.task, TWO)
        await long.under_way()
        asking = gpu.submit(steps(clock, 20, need=MemoryNeed(40)), THREE)
        assert gpu._dispatcher.evictor.busy
        over.set()
        await beside
        assert asking.status().state == "running"
        long.release.set()
        await asyncio.gather(running, asking)
        assert await gpu.run(steps(clock, 1, need=MemoryNeed(70, weights="other")), ONE) == 1
    assert evicted == ["old"]


async def test_closing_ends_an_eviction_that_waits_for_its_turn():
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context["message"]))
    gpu = virtual(budget_bytes=100)
    async with gpu:
        gpu.pause()
        gpu.keep_weights("old", OLD, evict=lambda: None)
        handle = gpu.submit(steps(ManualClock(), 1, need=NEW), ONE)
    with pytest.raises(JobCancelled):
        await handle
    gc.collect()
    assert complaints == []


async def test_what_a_job_leaves_on_the_device_counts_before_another_job_may_start():
    clock = ManualClock()
    started = threading.Event()

    def other(gate):
        started.set()

    async with virtual(clock, budget_bytes=100) as gpu:
        held = Held(clock, need=MemoryNeed(60, weights="model"))
        loading = gpu.submit(held.task, ONE, keeps=lambda result: MemoryNeed(60, weights="model"))
        await held.under_way()
        waiting = gpu.submit(Task(other, need=MemoryNeed(60)), TWO)
        held.release.set()
        await loading
        with pytest.raises(DoesNotFit, match="taken for good"):
            await waiting
        assert not started.is_set()
        assert gpu.statistics().memory.resident_bytes == 60
        assert await gpu.run(steps(clock, 1, need=MemoryNeed(40)), THREE) == 1


async def test_a_job_that_leaves_more_than_was_expected_fails_with_the_numbers():
    clock = ManualClock()
    async with virtual(clock, budget_bytes=100) as gpu:
        with pytest.raises(DoesNotFit, match="steps needs"):
            await gpu.submit(steps(clock, 1), ONE, keeps=lambda result: MemoryNeed(120, weights="model"))
        assert gpu.statistics().memory.resident_bytes == 0
