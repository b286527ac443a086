"""The scheduler with real threads, in virtual device time: order, shares, cancelling, failures, pause, drain."""

import asyncio
import gc
from collections import Counter

import pytest
from virtual_gpu import ONE, THREE, TWO, Held, no_thread_works_on, resume_when_all_ask, steps, virtual

from tilestep.bot.gpu.clock import ManualClock
from tilestep.bot.gpu.errors import (
    JobCancelled,
    JobOutOfMemory,
    QueueFull,
    SchedulerClosed,
)
from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.gate import Progress
from tilestep.bot.gpu.task import Flow, Task
from tilestep.bot.gpu.waiting import QueueLimits


async def test_a_task_runs_to_its_end_and_gives_its_result():
    clock = ManualClock()
    async with virtual(clock) as gpu:
        assert await gpu.run(steps(clock, 3), ONE) == 3
        assert [lease.phase for lease in gpu.leases()] == ["denoise"] * 3
        assert gpu.statistics().served_ms == 30


async def test_two_members_take_turns_step_by_step():
    clock = ManualClock()
    async with virtual(clock) as gpu:
        gpu.pause()
        handles = [gpu.submit(steps(clock, 10), flow) for flow in (ONE, TWO)]
        await resume_when_all_ask(gpu, 2)
        await asyncio.gather(*handles)
        turns = [lease.claim.flow for lease in gpu.leases()]
        assert all(Counter(turns[:n])[ONE] - n / 2 <= 1 for n in range(len(turns)))
        assert Counter(turns) == {ONE: 10, TWO: 10}


@pytest.mark.parametrize("lag", [0, 1])
async def test_costs_are_shared_by_weight_though_steps_differ_tenfold(lag):
    clock = ManualClock(lag)
    fairness = FairSettings(kind_weights={"image": 2}, quantum_us=10_000)
    async with virtual(clock, fairness=fairness) as gpu:
        gpu.pause()
        dear = gpu.submit(steps(clock, 60, cost_ms=50, kind="image"), ONE)
        cheap = gpu.submit(steps(clock, 300, cost_ms=5, kind="upscale"), TWO)
        await resume_when_all_ask(gpu, 2)
        await cheap
        leases = gpu.leases()
        last = max(n for n, lease in enumerate(leases) if lease.claim.kind == "upscale")
        used = Counter()
        for lease in leases[:last]:
            used[lease.claim.kind] += lease.gpu_ms
        assert used["image"] == pytest.approx(2 * used["upscale"], rel=0.05)
        await dear


async def test_only_one_step_is_on_the_device_at_a_time():
    clock = ManualClock()
    inside = []
    overlaps = []

    def run(gate):
        for _ in range(20):
            with gate.step("denoise"):
                inside.append(1)
                overlaps.append(len(inside))
                clock.advance(1)
                inside.pop()

    async with virtual(clock) as gpu:
        await asyncio.gather(*(gpu.run(Task(run), Flow("g", member)) for member in range(6)))
    assert set(overlaps) == {1}


async def test_cancelling_frees_the_device_at_the_next_step():
    clock = ManualClock()
    async with virtual(clock) as gpu:
        held = Held(clock, count=100)
        handle = gpu.submit(held.task, ONE)
        await held.under_way()
        assert handle.cancel()
        held.release.set()
        with pytest.raises(JobCancelled):
            await handle
        assert len(gpu.leases()) == 1
        assert not handle.cancel()


async def test_cancelling_one_that_waits_for_its_turn_does_not_disturb_others():
    clock = ManualClock()
    async with virtual(clock) as gpu:
        held = Held(clock)
        first = gpu.submit(held.task, ONE)
        await held.under_way()
        second = gpu.submit(steps(clock, 5), TWO)
        third = gpu.submit(steps(clock, 5), THREE)
        second.cancel()
        with pytest.raises(JobCancelled):
            await second
        held.release.set()
        assert (await first, await third) == (1, 5)


async def test_a_job_that_has_not_started_is_cancelled_at_once():
    clock = ManualClock()
    async with virtual(clock, at_once_default=1) as gpu:
        held = Held(clock)
        first = gpu.submit(held.task, ONE)
        second = gpu.submit(steps(clock, 5), TWO)
        assert second.status().state == "waiting"
        second.cancel()
        assert second.done
        held.release.set()
        await first
        with pytest.raises(JobCancelled):
            await second


async def test_giving_up_a_run_cancels_its_job():
    clock = ManualClock()
    async with virtual(clock) as gpu:
        held = Held(clock, count=50)
        running = asyncio.create_task(gpu.run(held.task, ONE))
        await held.under_way()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        held.release.set()
        await gpu.until_idle()
        assert len(gpu.leases()) == 1


async def test_a_failing_job_fails_alone():
    clock = ManualClock()

    def broken(gate):
        with gate.step("decode"):
            raise ValueError("broken latents")

    async with virtual(clock) as gpu:
        bad, good = gpu.submit(Task(broken), ONE), gpu.submit(steps(clock, 5), TWO)
        with pytest.raises(ValueError, match="broken latents"):
            await bad
        assert await good == 5


async def test_running_out_of_memory_fails_one_job_and_lets_go_of_what_it_held():
    clock = ManualClock()
    kept = []

    class Big:
        def __del__(self):
            kept.append("freed")

    def hungry(gate):
        big = Big()
        with gate.step("decode"):
            raise MemoryError(f"no room beside {big}")

    async with virtual(clock) as gpu:
        bad, good = gpu.submit(Task(hungry), ONE), gpu.submit(steps(clock, 5), TWO)
        with pytest.raises(JobOutOfMemory, match="choose a smaller picture"):
            await bad
        assert await good == 5
    assert kept == ["freed"]


async def test_progress_arrives_on_the_loop_as_plain_data():
    clock = ManualClock()
    seen = []
    async with virtual(clock) as gpu:
        handle = gpu.submit(steps(clock, 4), ONE, on_progress=seen.append)
        async for progress in handle.updates():
            assert progress.total in (0, 4)
        await handle
        assert seen[-1] == handle.progress == Progress(4, 4, "denoise")


async def test_a_pause_holds_every_step_until_it_ends():
    clock = ManualClock()
    async with virtual(clock) as gpu:
        gpu.pause()
        handle = gpu.submit(steps(clock, 2), ONE)
        assert gpu.statistics().paused
        await asyncio.to_thread(lambda: None)
        assert gpu.leases() == []
        gpu.resume()
        assert await handle == 2


async def test_draining_finishes_what_was_accepted_and_takes_nothing_new():
    clock = ManualClock()
    async with virtual(clock, at_once_default=1) as gpu:
        handles = [gpu.submit(steps(clock, 3), Flow("g", member)) for member in range(4)]
        draining = asyncio.create_task(gpu.drain())
        await asyncio.sleep(0)
        with pytest.raises(SchedulerClosed):
            gpu.submit(steps(clock, 1), ONE)
        await draining
        assert [await handle for handle in handles] == [3, 3, 3, 3]


async def test_closing_cancels_at_the_next_step_and_ends_every_thread():
    clock = ManualClock()
    gpu = virtual(clock)
    async with gpu:
        held = Held(clock, count=1000)
        running, waiting = gpu.submit(held.task, ONE), gpu.submit(steps(clock, 1000), TWO)
        await held.under_way()
        held.release.set()
    for handle in (running, waiting):
        with pytest.raises(JobCancelled):
            await handle
    with pytest.raises(SchedulerClosed):
        gpu.submit(steps(clock, 1), ONE)


async def test_a_full_queue_refuses_in_words_for_the_member():
    clock = ManualClock()
    async with virtual(clock, limits=QueueLimits(per_member=2), at_once_default=1) as gpu:
        gpu.pause()
        for _ in range(2):
            gpu.submit(steps(clock, 1), ONE)
        with pytest.raises(QueueFull, match="You have 2 jobs"):
            gpu.submit(steps(clock, 1), ONE)
        gpu.resume()


async def test_closing_starts_nothing_that_waits_in_the_place_of_what_it_cancels():
    clock = ManualClock()
    gpu = virtual(clock, at_once_default=1)
    async with gpu:
        held = Held(clock, count=3)
        running = gpu.submit(held.task, ONE)
        await held.under_way()
        waiting = [gpu.submit(steps(clock, 1), Flow("guild", member)) for member in range(10, 20)]
        closing = asyncio.create_task(gpu.close())
        await asyncio.sleep(0)
        held.release.set()
        await closing
    for handle in (running, *waiting):
        with pytest.raises(JobCancelled):
            await handle
    assert {lease.claim.job for lease in gpu.leases()} <= {running.job}


async def test_a_members_own_jobs_go_by_priority():
    clock = ManualClock()
    async with virtual(clock, at_once_default=1) as gpu:
        held = Held(clock)
        jobs = [gpu.submit(held.task, ONE), *(gpu.submit(steps(clock, 3), ONE, priority) for priority in (0, 1, 0))]
        jobs[3].set_priority(2)
        held.release.set()
        await asyncio.gather(*jobs)
        started = list(dict.fromkeys(lease.claim.job for lease in gpu.leases()))
        assert started == [jobs[n].job for n in (0, 3, 2, 1)]


async def test_statistics_tell_queue_shares_waits_and_time_left():
    clock = ManualClock()
    async with virtual(clock, at_once_default=1) as gpu:
        await gpu.run(steps(clock, 10), ONE)
        held = Held(clock, count=10)
        running = gpu.submit(held.task, ONE)
        waiting = [gpu.submit(steps(clock, 10), flow) for flow in (TWO, THREE)]
        await held.under_way()
        now = gpu.statistics()
        assert (now.running, now.waiting, now.device) == (1, 2, "virtual")
        assert now.shares.by_guild == {"guild": 100}
        assert now.shares.by_kind == {"image": 100}
        assert now.waits.count == 1
        assert [job.ahead for job in now.jobs] == [0, 0, 1]
        assert [job.left_ms for job in now.jobs][1:] == [200, 300]
        held.release.set()
        await asyncio.gather(running, *waiting)


async def test_a_step_inside_a_step_is_one_lease():
    clock = ManualClock()

    def run(gate):
        with gate.step("encode"), gate.step("load"):
            clock.advance(3)

    async with virtual(clock) as gpu:
        await gpu.run(Task(run), ONE)
        assert [(lease.phase, lease.gpu_ms) for lease in gpu.leases()] == [("encode", pytest.approx(3))]


async def test_work_whose_thread_is_busy_elsewhere_does_not_keep_the_device_idle():
    clock = ManualClock()
    async with virtual(clock, grace_ms=1) as gpu:
        held = Held(clock)
        other = held.release

        def thoughtful(gate):
            with gate.step("encode"):
                clock.advance(1)
            other.wait()
            with gate.step("denoise"):
                clock.advance(1)

        first = gpu.submit(Task(thoughtful), ONE)
        assert await gpu.run(steps(clock, 30), TWO) == 30
        other.set()
        await first


async def test_nothing_of_a_finished_job_stays_behind():
    clock = ManualClock()

    class Picture:
        pass

    def run(gate):
        with gate.step("decode"):
            clock.advance(1)
        return Picture()

    async with virtual(clock) as gpu:
        await gpu.run(Task(run, name="picture"), ONE)
        await no_thread_works_on("picture")
        gc.collect()
        assert not [thing for thing in gc.get_objects() if type(thing) is Picture]
        assert gpu.statistics().jobs == ()


async def test_a_handle_knows_when_its_job_began_and_what_it_used_however_it_ended():
    clock = ManualClock()
    async with virtual(clock, at_once_default=1) as gpu:
        gpu.pause()
        first, second = gpu.submit(steps(clock, 3), ONE), gpu.submit(steps(clock, 3), TWO)
        await first.begun()
        later = asyncio.create_task(second.begun())
        gpu.resume()
        await first
        await later
        await second
        assert first.gpu_ms == second.gpu_ms == 30
        gpu.pause()
        waiting, cancelled = gpu.submit(steps(clock, 3), ONE), gpu.submit(steps(clock, 3), TWO)
        assert waiting.gpu_ms == 0
        cancelled.cancel()
        await cancelled.begun()
        assert cancelled.done
        assert cancelled.gpu_ms == 0
        gpu.resume()
        await waiting
