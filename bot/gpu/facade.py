"""The GPU of a bot: any diffusers pipeline and the upscaler, step by step on one device.

    async with GpuScheduler() as gpu:
        flow = Flow(guild_id, member_id)
        images = await gpu.run_pipeline(pipe, flow=flow, prompt="a lighthouse", seed=7)
        larger = await gpu.upscale(images[0], flow=flow, scale=2)

torch and the models are imported and loaded in threads, when they are first needed.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tilestep.bot.gpu.errors import DoesNotFit
from tilestep.bot.gpu.gate import StepGate
from tilestep.bot.gpu.imports import import_gently
from tilestep.bot.gpu.jobs import JobHandle, OnProgress
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.scheduler import StepScheduler
from tilestep.bot.gpu.task import IMAGE, LOADING, UPSCALE, Flow, SharedTask, Task
from tilestep.bot.tasks.arguments import picture_count

if TYPE_CHECKING:
    from PIL.Image import Image

    from tilestep.bot.tasks.loaded import LoadedPipeline
    from tilestep.bot.tasks.loading import PreparedModel
    from tilestep.bot.tasks.pictures import PictureSink
    from tilestep.bot.tasks.upscale import UpscaleOrder

OPERATOR = Flow("operator", "operator")
USUAL_STEPS = 50
USUAL_PX = 512


class GpuScheduler(StepScheduler):
    """What bots use. Every method is called on the event loop and never holds it up."""

    async def run_pipeline(
        self,
        pipe: Any,
        flow: Flow,
        *,
        seed: int | None = None,
        count: int = 1,
        need: MemoryNeed | None = None,
        priority: int = 0,
        on_progress: OnProgress | None = None,
        **arguments: Any,
    ) -> list[Image]:
        """Runs a diffusers text-to-image pipeline; gives its pictures. Being cancelled cancels the job.

        `pipe`: any diffusers pipeline, or a LoadedPipeline; it is not changed, and may run many times at once.
        `arguments`: of the pipeline's `__call__` (prompt, width, num_inference_steps ...). `count`: so many runs, with
        the seeds `seed`, `seed + 1` ...; each picture comes out as it does alone. `need`: memory by measurement;
        estimated from the pipeline's sizes if not given. Raises QueueFull, DoesNotFit, SchedulerClosed, JobCancelled,
        JobOutOfMemory, and what the pipeline raises.
        """
        return await self.finish(
            await self.submit_pipeline(
                pipe, flow, seed=seed, count=count, need=need, priority=priority, on_progress=on_progress, **arguments
            )
        )

    async def submit_pipeline(
        self,
        pipe: Any,
        flow: Flow,
        *,
        seed: int | None = None,
        count: int = 1,
        need: MemoryNeed | None = None,
        priority: int = 0,
        on_progress: OnProgress | None = None,
        **arguments: Any,
    ) -> JobHandle[list[Image]]:
        """As `run_pipeline`, but gives a handle once the job is accepted."""
        if need is None and self.device.budget_bytes is not None:
            need = await asyncio.to_thread(_pipeline_need, pipe, arguments)
            self._keep(pipe, need)

        def run(gate: StepGate) -> list[Image]:
            from tilestep.bot.tasks.pipeline import run_pipeline

            return run_pipeline(pipe, gate, arguments, seed, count=count)

        task = Task(run, IMAGE, need or MemoryNeed(), _name(pipe))
        return self.submit(task, flow, priority, count * _size(arguments), on_progress)

    async def load_text_to_image(self, model: str, token: str | None = None) -> LoadedPipeline:
        """Loads a model (folder, .safetensors file, Hugging Face id) so that it fits what the budget has left.

        Its weights stay on the device until `drop_model`. Raises ModelError and DoesNotFit in words.
        """
        return await self.load_prepared(await self.prepare_text_to_image(model, token))

    async def prepare_text_to_image(
        self, model: str, token: str | None = None, instead_of: LoadedPipeline | None = None
    ) -> PreparedModel:
        """Finds, plans and fetches a model, and takes no memory of the device yet. Raises as `load_text_to_image`.

        `instead_of`: a model that will be dropped for it, if it has to be.
        """
        await self._reserve_for_upscaler()
        budget_bytes, beside_bytes = self._room(instead_of)

        def prepare(gate: StepGate) -> PreparedModel:
            import_gently("torch", "diffusers", "tilestep.bot.tasks.assemble")
            from tilestep.bot.tasks.loading import prepare_text_to_image

            return prepare_text_to_image(
                model, self.device.name, budget_bytes, token, gate=gate, beside_bytes=beside_bytes
            )

        return await self.run(Task(prepare, LOADING, name=f"fetching {model}"), OPERATOR)

    def fits_now(self, prepared: PreparedModel) -> bool:
        """Whether the model fits beside all that is on the device."""
        return self._dispatcher.admission.fits(prepared.need)

    async def load_prepared(self, prepared: PreparedModel) -> LoadedPipeline:
        """Puts a model on the device, where it stays until `drop_model`. Raises ModelError and DoesNotFit in words."""
        task = Task(prepared.load, LOADING, prepared.need, f"loading {prepared.model}")
        handle = self.submit(task, OPERATOR, keeps=lambda loaded: replace(loaded.need(), weights=loaded.weights))
        try:
            return await self.finish(handle)
        except asyncio.CancelledError:
            handle.when_over(lambda: self.drop_weights(prepared.weights))
            raise
        finally:
            del handle  # as in `finish`

    async def drop_model(self, weights: str) -> None:
        """Gives back the memory of a loaded model that no job uses and nobody else refers to any more.

        `weights`: of the LoadedPipeline, which tells it from another that was loaded by the same name.
        """
        self.drop_weights(weights)

        def free(gate: StepGate) -> None:
            from tilestep.bot.tasks.measure import return_memory

            return_memory(gate)

        await self.run(Task(free, LOADING, name="freeing memory"), OPERATOR)

    async def upscale(
        self,
        picture: Image,
        flow: Flow,
        *,
        scale: int = 2,
        quality: str = "balanced",
        seed: int = 0,
        dejpeg: float = 0.0,
        deblur: float = 0.0,
        priority: int = 0,
        on_progress: OnProgress | None = None,
    ) -> Image:
        """Enlarges a picture in memory by 2, 4 or 8; transparency is kept. Being cancelled cancels the job.

        `quality`: fast, balanced, best or faithful. `dejpeg`, `deblur` in [0, 1]: corruption to undo. Raises
        QueueFull, SchedulerClosed, JobCancelled, and OptionError or CheckpointError of the upscaler.
        """
        options = {"quality": quality, "scale": scale, "seed": seed, "dejpeg": dejpeg, "deblur": deblur}
        order = await asyncio.to_thread(_picture_order, picture, options)
        sink: PictureSink = await self.finish(self.submit_upscale(order, flow, priority, on_progress))
        return sink.picture

    def submit_upscale(
        self, order: UpscaleOrder, flow: Flow, priority: int = 0, on_progress: OnProgress | None = None
    ) -> JobHandle[Any]:
        """Accepts a picture that is read and written by rows; the result is the order's sink."""
        if UPSCALE not in self._dispatcher.shared:
            self._add_upscaler()
        label = f"upscale {getattr(order.quality, 'name', order.quality)}"
        return self.submit_shared(UPSCALE, order, flow, UPSCALE, priority, order.size, on_progress, label)

    async def _reserve_for_upscaler(self) -> None:
        """A model is laid out to fill what the budget has left: upscales, which come later, have their room first."""
        admission = self._dispatcher.admission
        if self.device.budget_bytes is None or admission.keeps(UPSCALE):
            return
        need = await asyncio.to_thread(self._upscaler_need)
        with suppress(DoesNotFit):  # too small a budget for any upscale, which says so itself
            admission.keep(UPSCALE, need, pinned=True)

    def _upscaler_need(self) -> MemoryNeed:
        """Reads the header of a file."""
        from tilestep.bot.tasks.tile_memory import tile_pool_need

        return tile_pool_need(self.settings.upscaler, self.device.name, self.settings.upscaler_bytes)

    def _add_upscaler(self) -> None:
        settings, device = self.settings, self.device
        bounded = device.budget_bytes is not None

        def build(gate: StepGate) -> SharedTask:
            import_gently("tilestep.bot.tasks.upscale")
            from tilestep.bot.tasks.upscale import load_tile_pool

            limit_bytes = settings.upscaler_bytes if bounded else None
            return load_tile_pool(gate, settings.upscaler, device.name, limit_bytes)

        self.add_shared(UPSCALE, build, self._upscaler_need() if bounded else None)

    def _room(self, instead_of: LoadedPipeline | None) -> tuple[int, int]:
        """What the budget has left for a model, and the largest step of what is there for good: bytes."""
        if self.device.budget_bytes is None:
            return 1 << 62, 0
        stays = self._dispatcher.admission.pinned(but=instead_of.weights if instead_of else None)
        return self.device.budget_bytes - stays.resident_bytes - stays.held_bytes, stays.largest_phase_bytes

    def _keep(self, pipe: Any, need: MemoryNeed) -> None:
        """Somebody else's pipeline stays on the device as long as it lives."""
        if need.weights is not None and not hasattr(pipe, "plan"):
            known = self._dispatcher.admission.keeps(need.weights)
            self.keep_weights(need.weights, MemoryNeed(need.resident_bytes), label=_name(pipe))
            if not known:
                loop = asyncio.get_running_loop()
                weakref.finalize(pipe, _drop_later, loop, weakref.ref(self), need.weights).atexit = False


def _drop_later(loop: asyncio.AbstractEventLoop, gpu: weakref.ref[GpuScheduler], weights: str) -> None:
    scheduler = gpu()
    if scheduler is not None and not loop.is_closed():
        loop.call_soon_threadsafe(scheduler.drop_weights, weights)


def _pipeline_need(pipe: Any, arguments: dict[str, Any]) -> MemoryNeed:
    """By the sizes of the model; blocks."""
    from tilestep.bot.tasks.measure import estimated_need

    return estimated_need(pipe, arguments)


def _name(pipe: Any) -> str:
    return getattr(pipe, "model", None) or type(getattr(pipe, "pipe", pipe)).__name__


def _size(arguments: dict[str, Any]) -> float:
    """Steps times millions of pixels."""
    steps = arguments.get("num_inference_steps") or USUAL_STEPS
    width_px, height_px = (arguments.get(side) or USUAL_PX for side in ("width", "height"))
    return max(steps, 1) * width_px * height_px * picture_count(arguments) / 1e6


def _picture_order(picture: Image, options: dict[str, Any]) -> UpscaleOrder:
    import_gently("tilestep.bot.tasks.pictures", "tilestep.bot.tasks.upscale")
    from tilestep.bot.tasks.pictures import PictureRows, PictureSink
    from tilestep.bot.tasks.upscale import UpscaleOrder

    source, scale = PictureRows(picture), options["scale"]
    return UpscaleOrder(source, PictureSink(scale * source.width, scale * source.height, source.channels), **options)
