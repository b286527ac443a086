"""A job's work on the GPU: from its row to finished files on disk, every GPU millisecond charged however it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from tilestep.bot.crew import in_thread
from tilestep.bot.disk import ResultFiles
from tilestep.bot.enlarging import Enlarging
from tilestep.bot.errors import NoSuchJob
from tilestep.bot.gpu import Flow, GpuScheduler, QueueFull
from tilestep.bot.gpu.jobs import JobHandle
from tilestep.bot.guilds import GuildStore
from tilestep.bot.images import describe_upscale, write_recipe
from tilestep.bot.intake import Intake, ignored, recipe_of, wish_of
from tilestep.bot.job import Job, ResultFile
from tilestep.bot.jobs import JobStore
from tilestep.bot.live import Live
from tilestep.bot.model import TextToImage
from tilestep.bot.pictures import keep_pictures
from tilestep.bot.posting import file_name
from tilestep.bot.requests import ImagineOptions, UpscaleOptions
from tilestep.bot.settings import Settings

DIRECT = "direct messages"
FULL_WAIT_S = 1.0
MODEL_WAIT_S = 1.0
SETTLE_S = 2.0
LOOKED_AT_ONCE = 2


@dataclass(frozen=True)
class Rendered:
    """Finished files, the grid first where there is one. `note`: what the reader of the result must know."""

    files: tuple[ResultFile, ...]
    note: str = ""


Begin = Callable[[Live], Awaitable[None]]
"""Called when a job's turn has come; raises if it is not to be done after all."""


class Renderer:
    """Does the work of jobs. `queued` is called once the GPU has accepted a job, `begun` when its turn has come."""

    def __init__(
        self,
        settings: Settings,
        jobs: JobStore,
        guilds: GuildStore,
        gpu: GpuScheduler,
        model: TextToImage,
        files: ResultFiles,
        intake: Intake,
    ) -> None:
        self._settings, self._jobs, self._guilds, self._gpu = settings, jobs, guilds, gpu
        self._model, self._files, self._intake = model, files, intake
        self._looking = asyncio.Semaphore(LOOKED_AT_ONCE)

    async def render(self, live: Live, queued: Begin, begun: Begin) -> Rendered:
        """Raises TilestepError in words, and what `queued` and `begun` raise."""
        options = live.job.options
        if isinstance(options, UpscaleOptions):
            return await self._upscale(live, options, queued, begun)
        return await self._imagine(live, options, queued, begun)

    async def charge(self, live: Live) -> None:
        """Charges what the job has used since the last time."""
        used_ms = live.handle.gpu_ms if live.handle else 0.0
        more_ms, live.charged_ms = used_ms - live.charged_ms, used_ms
        if more_ms <= 0:
            return
        try:
            await self._jobs.charge(live.job.id, more_ms)
        except NoSuchJob:
            return
        except BaseException:
            live.charged_ms -= more_ms
            raise

    async def _upscale(self, live: Live, options: UpscaleOptions, queued: Begin, begun: Begin) -> Rendered:
        job = live.job
        live.facts = live.facts or await self._look_again(job)
        target = self._files.path(job.id, file_name(job, 0, 1, "png"))
        folder = await in_thread(self._files.folder, job.id)
        limits = (await self._guilds.limits(job.guild_id)).capped(self._settings)
        work = Enlarging(live.facts, options.scale, folder, target, self._settings.preview_px)
        order = await work.order(options, limits.max_steps)

        async def submit() -> JobHandle[Any]:
            return self._gpu.submit_upscale(order, flow_of(job))

        async with self._on_gpu(live, submit, work.close) as handle:
            await queued(live)
            await handle.begun()
            await begun(live)
            notes = await work.open(await self._jobs.source(job.id), self._settings.source_timeout_s)
            live.small = work.small()
            await handle
            live.small = None
            await in_thread(work.finish)
        width_px, height_px = options.scale * work.facts.width_px, options.scale * work.facts.height_px
        if job.recipe:
            await write_recipe(target, target, {**job.recipe, "upscale": _how(options)})
        size = (await in_thread(target.stat)).st_size
        description = describe_upscale(options.scale, width_px, height_px, job.source_description)
        said = " ".join(filter(None, [*notes, _fewer_steps(options, limits.max_steps)]))
        return Rendered((ResultFile(target.name, width_px, height_px, size, description),), said)

    async def _imagine(self, live: Live, options: ImagineOptions, queued: Begin, begun: Begin) -> Rendered:
        await self._until_loaded()
        wish, seed = wish_of(options), options.seed or 0
        note = ignored(self._model.plan(wish), self._model)
        recipe = recipe_of(options, self._model)

        async def submit() -> JobHandle[Any]:
            return await self._model.generate(
                flow_of(live.job),
                prompt=wish.prompt,
                negative_prompt=wish.negative_prompt,
                width_px=wish.width_px,
                height_px=wish.height_px,
                steps=wish.steps,
                guidance=wish.guidance,
                seed=seed,
                count=options.count,
            )

        async with self._on_gpu(live, submit) as handle:
            await queued(live)
            await handle.begun()
            await begun(live)
            images = await handle
        if recipe != live.job.recipe:
            await self._jobs.update(live.job.id, recipe=recipe)
            live.take(replace(live.job, recipe=recipe))
        return Rendered(await keep_pictures(self._files, live.job, images, recipe), note)

    @contextlib.asynccontextmanager
    async def _on_gpu(
        self, live: Live, submit: Callable[[], Awaitable[JobHandle[Any]]], close: Callable[[], None] = lambda: None
    ) -> AsyncIterator[JobHandle[Any]]:
        """Submits, and leaves nothing on the GPU behind: cancels what is not done, charges it, then calls `close`."""
        handle = await self._submitted(submit)
        live.handle, live.charged_ms = handle, 0.0
        try:
            yield handle
        finally:
            handle.cancel()
            over = asyncio.Event()
            handle.when_over(over.set)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), SETTLE_S)
            if handle.done:
                await in_thread(close)
            else:
                handle.when_over(close)
            await self.charge(live)

    async def _submitted(self, submit: Callable[[], Awaitable[JobHandle[Any]]]) -> JobHandle[Any]:
        """A job that was accepted is not refused because the GPU's own queue is full: it waits."""
        while True:
            try:
                return await submit()
            except QueueFull:
                await asyncio.sleep(FULL_WAIT_S)

    async def _look_again(self, job: Job) -> Any:
        """After a restart nobody remembers what the source is."""
        async with self._looking:
            return await self._intake.look_at(await self._jobs.source(job.id))

    async def _until_loaded(self) -> None:
        """After a restart the model may still be on its way."""
        while self._model.serving is None:
            status = self._model.state.status
            if status != "loading" and not (status == "none" and self._settings.model):
                return
            await asyncio.sleep(MODEL_WAIT_S)


def flow_of(job: Job) -> Flow:
    """Whom the GPU's time is charged to."""
    return Flow(DIRECT if job.guild_id is None else job.guild_id, job.requester_id)


def _fewer_steps(options: UpscaleOptions, most: int) -> str:
    """What the server's bound takes from a quality, so that no setting does anything in silence."""
    from tilestep.upscaler.quality import FULL  # torch: the GPU's threads have it by now

    usual = FULL[options.quality].max_steps if options.steps is None and options.quality in FULL else 0
    return f"The limit here is {most} steps a tile; {options.quality} has up to {usual}." if usual > most else ""


def _how(options: UpscaleOptions) -> dict[str, Any]:
    return {
        "scale": options.scale,
        "quality": options.quality,
        "steps": options.steps,
        "seed": options.seed,
    }
