"""Pipelines of other bots in the budget: seen once, named by their class, and models whose loading was given up."""

import asyncio
import gc
import threading
import weakref
from types import SimpleNamespace

import pytest
import tiny_pipelines
import torch
from tiny_pipelines import FAMILIES, call_arguments
from virtual_gpu import ONE, virtual

from tilestep.bot.gpu.clock import ManualClock
from tilestep.bot.gpu.errors import DoesNotFit
from tilestep.bot.tasks.loaded import LoadedPipeline
from tilestep.bot.tasks.loading import PreparedModel
from tilestep.bot.tasks.memory import MemoryPlan, ModelSizes, estimate_need

FAMILY = min(FAMILIES)
PIPE = SimpleNamespace(device=torch.device("cpu"))


async def test_asking_again_and_again_leaves_nothing_behind_at_the_pipeline():
    pipe = FAMILIES[FAMILY]()
    async with virtual(budget_bytes=1 << 30) as gpu:
        gpu.pause()
        watchers = []
        for _ in range(3):
            handle = await gpu.submit_pipeline(pipe, ONE, **call_arguments(FAMILY))
            handle.cancel()
            watchers.append(weakref.getweakrefcount(pipe))
        gpu.resume()
    assert len(set(watchers)) == 1


async def test_a_pipeline_that_has_gone_is_not_counted_any_more():
    pipe = FAMILIES[FAMILY]()
    async with virtual(budget_bytes=1 << 30) as gpu:
        await gpu.run_pipeline(pipe, ONE, **call_arguments(FAMILY))
        assert gpu.statistics().memory.resident_bytes > 0
        gone = weakref.ref(pipe)
        del pipe
        gc.collect()
        assert gone() is None
        await asyncio.sleep(0)
        assert gpu.statistics().memory.resident_bytes == 0


async def test_a_pipeline_that_cannot_fit_is_called_by_its_class():
    pipe = tiny_pipelines.stable_diffusion()
    async with virtual(budget_bytes=1000) as gpu:
        with pytest.raises(DoesNotFit, match=r"^StableDiffusionPipeline needs"):
            await gpu.submit_pipeline(pipe, ONE, prompt="a fox")


async def test_loading_a_model_is_no_debt_of_those_who_want_pictures():
    sizes, plan = ModelSizes(denoiser=1000, width_px=64, height_px=64), MemoryPlan("float16")

    def build(gate):
        with gate.step("load"):
            clock.advance(10_000)
        return LoadedPipeline(PIPE, "a model", plan, sizes)

    clock = ManualClock()
    async with virtual(clock) as gpu:
        await gpu.load_prepared(PreparedModel("a model", plan, build))
        assert gpu.statistics().shares.by_kind == {"loading": 10_000}


async def test_a_model_whose_loading_was_given_up_is_not_counted():
    sizes, plan = ModelSizes(denoiser=1000, width_px=64, height_px=64), MemoryPlan("float16")
    begun, release = threading.Event(), threading.Event()

    def build(gate):
        begun.set()
        assert release.wait(60)
        return LoadedPipeline(PIPE, "a model", plan, sizes)

    prepared = PreparedModel("a model", MemoryPlan("float16", need=estimate_need(sizes, plan)), build)
    async with virtual(budget_bytes=1 << 40) as gpu:
        loading = asyncio.create_task(gpu.load_prepared(prepared))
        await asyncio.to_thread(begun.wait)
        loading.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await loading
        await gpu.until_idle()
        await asyncio.sleep(0)  # what a job leaves behind is dropped in the turn of the loop after its end
        assert gpu.statistics().memory.resident_bytes == 0
        assert (await gpu.load_prepared(prepared)).model == "a model"
        assert gpu.statistics().memory.resident_bytes > 0
