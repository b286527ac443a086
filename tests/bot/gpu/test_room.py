"""The scheduler and memory: who waits for room, who is refused, and weights that make room."""

import asyncio

import pytest
from virtual_gpu import ONE, THREE, TWO, Held, steps, virtual

from tilestep.bot.gpu.clock import ManualClock
from tilestep.bot.gpu.errors import DoesNotFit
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.task import Flow


async def test_work_waits_for_memory_and_work_that_never_fits_is_refused():
    clock = ManualClock()
    need = MemoryNeed(60, {"denoise": 20}, weights=None)
    async with virtual(clock, budget_bytes=100) as gpu:
        held = Held(clock, need=need)
        first = gpu.submit(held.task, ONE)
        second = gpu.submit(steps(clock, 2, need=need), TWO)
        light = gpu.submit(steps(clock, 2, need=MemoryNeed(10)), THREE)
        assert [handle.status().state for handle in (first, second, light)] == ["running", "waiting", "running"]
        assert gpu.statistics().memory.planned_bytes == 90
        with pytest.raises(DoesNotFit, match="budget"):
            gpu.submit(steps(clock, 1, need=MemoryNeed(90, {"decode": 20})), ONE)
        held.release.set()
        assert await second == 2


async def test_a_job_that_can_never_fit_any_more_does_not_keep_others_waiting():
    clock = ManualClock()
    async with virtual(clock, budget_bytes=100) as gpu:
        held = Held(clock, need=MemoryNeed(20))
        running, large = gpu.submit(held.task, ONE), gpu.submit(steps(clock, 1, need=MemoryNeed(90)), TWO)
        await held.under_way()
        assert large.status().state == "waiting"
        gpu.keep_weights("another bot's", MemoryNeed(15))
        small = gpu.submit(steps(clock, 2, need=MemoryNeed(10)), THREE)
        with pytest.raises(DoesNotFit, match="taken for good"):
            await large
        assert not running.done
        held.release.set()
        assert await small == 2


async def test_jobs_alike_that_find_no_room_start_one_after_another_all_the_same():
    clock = ManualClock()
    async with virtual(clock, budget_bytes=100) as gpu:
        flows = [Flow("guild", member) for member in range(6)]
        assert await asyncio.gather(*(gpu.run(steps(clock, 2, need=MemoryNeed(60)), flow) for flow in flows)) == [2] * 6


async def test_idle_weights_are_taken_off_the_device_in_a_step_when_room_is_needed():
    clock = ManualClock()
    evicted = []
    async with virtual(clock, budget_bytes=100) as gpu:
        gpu.keep_weights("old", MemoryNeed(70), evict=lambda: evicted.append(len(gpu.leases())))
        assert await gpu.run(steps(clock, 2, need=MemoryNeed(50, weights="new")), ONE) == 2
        assert evicted == [0]
        assert [lease.phase for lease in gpu.leases()] == ["load", "denoise", "denoise"]
        assert gpu.statistics().memory.resident_bytes == 0
