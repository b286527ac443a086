"""Images and upscales on one device: real tiny pipelines, the real engine, the log of leases."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest
import tiny_pipelines
from tiny_pipelines import FAMILIES, call_arguments
from tiny_tiles import ONE, TWO, add_pool, order, pixels, pool_scheduler

from tilestep.bot.gpu import DoesNotFit, Flow, GpuScheduler, GpuSettings, JobCancelled
from tilestep.bot.gpu.clock import ManualClock
from tilestep.bot.gpu.device import Device
from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.gate import RecordingGate
from tilestep.bot.gpu.task import UPSCALE
from tilestep.bot.tasks.measure import measure_need
from tilestep.bot.tasks.pipeline import run_pipeline
from tilestep.bot.tasks.tile_memory import tile_pool_need
from tilestep.upscaler.engine import EngineLimits

ALTERNATING = FairSettings(quantum_us=1, slice_quanta=1)


def arrays(images):
    return [np.asarray(image) for image in images]


def alone(family, pipe, **other):
    return arrays(run_pipeline(pipe, RecordingGate(), call_arguments(family, **other), seed=3))


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_tiles_run_between_the_steps_of_an_image_that_comes_out_as_alone(family):
    pipe = FAMILIES[family]()
    expected = alone(family, pipe)
    async with pool_scheduler(ManualClock(), fairness=ALTERNATING) as gpu:
        add_pool(gpu, EngineLimits(max_batch=2))
        upscale = gpu.submit_upscale(order(pixels(150, 150)), TWO)
        gpu.pause()
        image = await gpu.submit_pipeline(pipe, ONE, seed=3, **call_arguments(family))
        gpu.resume()
        images = await image
        upscale.cancel()
        leases = gpu.leases()
    np.testing.assert_array_equal(arrays(images), expected)
    mine = [(place, lease.phase) for place, lease in enumerate(leases) if lease.claim.job == image.job]
    between = {(one[1], two[1]): two[0] - one[0] - 1 for one, two in pairwise(mine)}
    assert between["encode", "denoise"] >= 1
    assert between["denoise", "denoise"] >= 1
    assert all(lease.phase == "tiles" for lease in leases if lease.claim.job == upscale.job)


async def test_images_of_several_members_at_once_come_out_as_alone():
    pipe = tiny_pipelines.FAMILIES[min(FAMILIES)]()
    expected = alone(min(FAMILIES), pipe)
    async with pool_scheduler() as gpu:
        arguments = call_arguments(min(FAMILIES))
        pictures = await asyncio.gather(
            *(gpu.run_pipeline(pipe, Flow("guild", member), seed=3, **arguments) for member in range(4))
        )
    for images in pictures:
        np.testing.assert_array_equal(arrays(images), expected)


async def test_a_cancelled_image_takes_no_further_step():
    family = min(FAMILIES)
    pipe = FAMILIES[family]()
    async with pool_scheduler() as gpu:
        handle = await gpu.submit_pipeline(pipe, ONE, **call_arguments(family, steps=500))
        async for progress in handle.updates():
            if progress.done:
                break
        handle.cancel()
        with pytest.raises(JobCancelled):
            await handle
        taken = handle.progress.done
        assert taken < 500
        assert [lease.phase for lease in gpu.leases()].count("decode") == 0
        assert len(await gpu.run_pipeline(pipe, TWO, seed=3, **call_arguments(family))) == 1


async def test_a_picture_that_is_too_large_for_the_budget_is_refused_with_the_numbers():
    family = min(FAMILIES)
    pipe = FAMILIES[family]()
    async with GpuScheduler(GpuSettings(grace_ms=10_000), Device(budget_bytes=50 << 20)) as gpu:
        images = await gpu.run_pipeline(pipe, ONE, **call_arguments(family))
        assert len(images) == 1
        assert gpu.statistics().memory.resident_bytes > 0
        with pytest.raises(DoesNotFit, match=r"needs .* GiB"):
            await gpu.run_pipeline(pipe, ONE, **{**call_arguments(family), "width": 8192, "height": 8192})


async def test_a_list_of_prompts_counts_as_so_many_pictures():
    family = "stable diffusion"
    pipe = FAMILIES[family]()
    need = measure_need(pipe, call_arguments(family)).need
    budget_bytes = need.alone_bytes + need.peak_bytes
    async with GpuScheduler(GpuSettings(grace_ms=10_000), Device(budget_bytes=budget_bytes)) as gpu:
        assert len(await gpu.run_pipeline(pipe, ONE, **call_arguments(family))) == 1
        gpu.pause()
        with pytest.raises(DoesNotFit):
            await gpu.submit_pipeline(pipe, ONE, **call_arguments(family, prompt=["fox"] * 8))
        gpu.resume()


async def test_the_tile_pool_keeps_its_weights_and_waiting_tiles_on_the_device():
    need = tile_pool_need(None, "cpu", GpuSettings().upscaler_bytes)
    async with GpuScheduler(GpuSettings(grace_ms=10_000), Device(budget_bytes=2 << 30)) as gpu:
        gpu.pause()
        gpu.submit_upscale(order(pixels(40, 40)), TWO)
        taken = gpu.statistics().memory
        gpu.resume()
    assert (taken.resident_bytes, taken.held_bytes) == (need.resident_bytes, need.held_bytes)
    assert taken.planned_bytes == GpuSettings().upscaler_bytes


async def test_what_goes_wrong_in_one_image_stays_there():
    family = "stable diffusion"
    pipe = FAMILIES[family]()
    async with pool_scheduler() as gpu:
        add_pool(gpu)
        upscale = gpu.submit_upscale(order(pixels(60, 60)), TWO)
        with pytest.raises(ValueError, match="divisible"):
            await gpu.run_pipeline(pipe, ONE, **{**call_arguments(family), "width": 33})
        assert (await upscale).picture.any()
        assert gpu.statistics().shares.by_kind.keys() >= {UPSCALE}
