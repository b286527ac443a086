"""The scheduler on a real device: images beside upscales under the memory of a 10 GB card."""

import asyncio

import numpy as np
import pytest
import torch
from tiny_pipelines import FAMILIES, call_arguments
from tiny_tiles import MODEL, ONE, TWO, pixels

from tilestep.bot.gpu import Flow, GpuScheduler, GpuSettings, JobCancelled, JobOutOfMemory, MemoryNeed, Task
from tilestep.bot.gpu.gate import RecordingGate
from tilestep.bot.tasks.pipeline import run_pipeline
from tilestep.upscaler.model.checkpoint import save_checkpoint

pytestmark = pytest.mark.gpu

GIB = 1 << 30
FAMILY = "stable diffusion"


@pytest.fixture
def settings(tmp_path):
    checkpoint = tmp_path / "tiny.safetensors"
    save_checkpoint(checkpoint, MODEL.network, MODEL.descriptor)
    return GpuSettings(device="cuda", budget_bytes=9 * GIB, upscaler=checkpoint)


def picture_of(array):
    from PIL import Image

    return Image.fromarray(array)


async def test_images_come_out_as_alone_while_others_upscale(settings) -> None:
    pipe = FAMILIES[FAMILY]().to("cuda")
    expected = np.asarray(run_pipeline(pipe, RecordingGate(), call_arguments(FAMILY), seed=3)[0])
    async with GpuScheduler(settings) as gpu:
        upscales = [asyncio.create_task(gpu.upscale(picture_of(pixels(400, 300)), Flow("g", n))) for n in range(3)]
        pictures = await asyncio.gather(
            *(gpu.run_pipeline(pipe, Flow("h", n), seed=3, **call_arguments(FAMILY)) for n in range(4))
        )
        larger = await asyncio.gather(*upscales)
        now = gpu.statistics()
    assert all(np.array_equal(np.asarray(images[0]), expected) for images in pictures)
    assert {picture.size for picture in larger} == {(800, 600)}
    assert now.shares.by_kind.keys() >= {"image", "upscale"}
    assert now.memory.planned_bytes <= 9 * GIB


async def test_work_that_takes_more_than_the_card_has_fails_alone(settings) -> None:
    def greedy(gate):
        with gate.step("denoise"):
            return torch.empty(10 * GIB, dtype=torch.uint8, device="cuda")

    pipe = FAMILIES[FAMILY]().to("cuda")
    async with GpuScheduler(settings) as gpu:
        other = await gpu.submit_pipeline(pipe, TWO, seed=1, **call_arguments(FAMILY))
        with pytest.raises(JobOutOfMemory):
            await gpu.run(Task(greedy, need=MemoryNeed(GIB)), ONE)
        assert len(await other) == 1
        assert len(await gpu.run_pipeline(pipe, ONE, seed=1, **call_arguments(FAMILY))) == 1


async def test_a_cancelled_image_takes_no_further_step(settings) -> None:
    pipe = FAMILIES[FAMILY]().to("cuda")
    async with GpuScheduler(settings) as gpu:
        handle = await gpu.submit_pipeline(pipe, ONE, **call_arguments(FAMILY, steps=900))
        async for progress in handle.updates():
            if progress.done:
                break
        handle.cancel()
        with pytest.raises(JobCancelled):
            await handle
        assert handle.progress.done < 900


async def test_steps_are_charged_what_the_device_took(settings) -> None:
    def work(gate):
        ones = torch.ones(4096, 4096, device="cuda")
        for _ in range(5):
            with gate.step("denoise"):
                for _ in range(20):
                    ones @ ones

    async with GpuScheduler(settings) as gpu:
        await gpu.run(Task(work), ONE)
        costs_ms = [lease.gpu_ms for lease in gpu.leases()]
    assert len(costs_ms) == 5
    assert all(cost_ms > 0 for cost_ms in costs_ms)
    assert gpu.statistics().served_ms == pytest.approx(sum(costs_ms), rel=0.01)
