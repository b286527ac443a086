"""The text-to-image model of the bot: loaded in the background, changed without a restart, missing without harm."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tilestep.bot.errors import ModelUnavailable
from tilestep.bot.gpu import Flow, GpuScheduler
from tilestep.bot.gpu.jobs import JobHandle, OnProgress
from tilestep.bot.gpu.outcome import let_go
from tilestep.bot.prompts import PromptReader
from tilestep.bot.tasks.arguments import ImageArguments, ImageWish, image_arguments
from tilestep.upscaler.errors import TilestepError

if TYPE_CHECKING:
    from PIL.Image import Image

    from tilestep.bot.tasks.loaded import LoadedPipeline
    from tilestep.bot.tasks.loading import PreparedModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelState:
    """`name`: the model that is loaded, is being loaded, or could not be. `error`: why the last attempt failed.

    With "ready" and an error, the model before that attempt is still there.
    """

    name: str | None = None
    status: Literal["none", "loading", "ready", "failed"] = "none"
    error: str | None = None


class TextToImage:
    """Holds at most one model that new pictures come from. Every method is called on the event loop."""

    def __init__(self, gpu: GpuScheduler) -> None:
        self._gpu = gpu
        self._current: _Held | None = None
        self._one_at_a_time = asyncio.Lock()
        self._farewells: set[asyncio.Task[None]] = set()
        self.state = ModelState()

    @property
    def serving(self) -> str | None:
        """The model that a picture asked for now would come from."""
        return self._current.loaded.model if self._current else None

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height that the model was made for; None while there is none, or where it does not say."""
        sizes = self._current.loaded.sizes if self._current else None
        return (sizes.width_px, sizes.height_px) if sizes else None

    @property
    def sampler(self) -> str | None:
        """The class of the sampler (diffusers calls it scheduler) that new pictures are made with."""
        scheduler = getattr(self._current.loaded.pipe, "scheduler", None) if self._current else None
        return type(scheduler).__name__ if scheduler is not None else None

    def unread(self, prompt: str) -> str:
        """The end of a prompt that the model does not read; empty where all is read. Raises ModelUnavailable."""
        return self._held().reader.unread(prompt)

    async def load(self, name: str, token: str | None = None) -> None:
        """Loads a model (folder, .safetensors file, Hugging Face id), and drops the one before.

        The one before goes on while the new one is fetched, and finishes the jobs that it has. It is dropped first
        only where both do not fit beside each other; then there is none for as long as loading takes. When the new one
        cannot be had, the one before stays, or is loaded again. Raises ModelError and DoesNotFit in words, which
        `state` has too.
        """
        async with self._one_at_a_time:
            if name == self.serving:
                self.state = ModelState(name, "ready")
                return
            self.state = ModelState(name, "loading")
            try:
                await self._replace(name, token)
            except BaseException as error:
                words = str(error) if isinstance(error, TilestepError) else "Loading was interrupted."
                self.state = ModelState(self.serving or name, "ready" if self.serving else "failed", words)
                raise
            self.state = ModelState(name, "ready")
            logger.info("New pictures come from %s", name)

    async def change(self, name: str, token: str | None = None) -> None:
        """Another word for `load`, for when there is a model already."""
        await self.load(name, token)

    def plan(self, wish: ImageWish) -> ImageArguments:
        """What `generate` would make of it, and what of it has no effect. Raises ModelUnavailable."""
        loaded = self._held().loaded
        width_px, height_px = self.size_px or (None, None)
        return image_arguments(loaded.pipe, loaded.model, wish, width_px, height_px, loaded.usual)

    async def generate(
        self,
        flow: Flow,
        *,
        prompt: str,
        seed: int,
        negative_prompt: str | None = None,
        width_px: int | None = None,
        height_px: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        count: int = 1,
        priority: int = 0,
        on_progress: OnProgress | None = None,
    ) -> JobHandle[list[Image]]:
        """Accepts a job for `count` pictures, with the seeds `seed`, `seed + 1` ...: any one can be made again alone.

        What is None is as usual for the model; `plan` tells what has no effect, which is left out. Raises
        ModelUnavailable, and as `GpuScheduler.submit_pipeline` does.
        """
        wish = ImageWish(prompt, negative_prompt, width_px, height_px, steps, guidance)
        plan, held = self.plan(wish), self._held()
        if plan.ignored:
            logger.info("%s takes no %s: left out", held.loaded.model, " and no ".join(plan.ignored))
        with held.lent() as lending:
            handle = await self._gpu.submit_pipeline(
                held.loaded, flow, seed=seed, count=count, priority=priority, on_progress=on_progress, **plan.call
            )
            lending.until(handle)
        return handle

    def _held(self) -> _Held:
        if self._current is None:
            raise ModelUnavailable(_why_not(self.state))
        return self._current

    async def _replace(self, name: str, token: str | None) -> None:
        before = self._current
        prepared = await self._gpu.prepare_text_to_image(name, token, before.loaded if before else None)
        if before is None or self._gpu.fits_now(prepared):
            self._current = await self._hold(await self._gpu.load_prepared(prepared), token)
            if before is not None:
                self._say_farewell(before)
            return
        old, old_token, self._current = before.loaded.model, before.token, None
        await self._drop(before)
        del before
        failure, weights = await self._try(prepared, token), prepared.weights
        del prepared
        if failure is not None:
            logger.warning("%s cannot be loaded: %s is loaded again", name, old)
            await self._bring_back(old, old_token, weights)
            raise failure

    async def _hold(self, loaded: LoadedPipeline, token: str | None) -> _Held:
        """Has its tokenizers copied, which takes long."""
        try:
            return _Held(loaded, await asyncio.to_thread(PromptReader, loaded.pipe), token)
        except BaseException:
            self._gpu.drop_weights(loaded.weights)
            raise

    async def _try(self, prepared: PreparedModel, token: str | None) -> TilestepError | None:
        """Loads it, or gives the reason why not, which holds on to nothing that was loaded by then."""
        try:
            self._current = await self._hold(await self._gpu.load_prepared(prepared), token)
        except TilestepError as error:
            let_go(error)
            return error.with_traceback(None)
        return None

    async def _bring_back(self, old: str, old_token: str | None, failed: str) -> None:
        """Loads the model before, once what is left of the weights that `failed` is off the device."""
        with suppress(TilestepError):
            await self._gpu.drop_model(failed)
            self._current = await self._hold(await self._gpu.load_text_to_image(old, old_token), old_token)

    def _say_farewell(self, held: _Held) -> None:
        task = asyncio.create_task(self._drop(held))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def _drop(self, held: _Held) -> None:
        """Lets go of a model once its jobs are over; of its memory too, unless somebody else refers to it."""
        await held.idle.wait()
        weights = held.loaded.weights
        held.forget()
        with suppress(TilestepError):
            await self._gpu.drop_model(weights)


class _Held:
    """A loaded model and how many jobs it has."""

    def __init__(self, loaded: LoadedPipeline, reader: PromptReader, token: str | None) -> None:
        self._loaded: LoadedPipeline | None = loaded
        self.reader, self.token = reader, token
        self._jobs = 0
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def loaded(self) -> LoadedPipeline:
        assert self._loaded is not None
        return self._loaded

    def forget(self) -> None:
        self._loaded = None

    def lent(self) -> _Lending:
        return _Lending(self)

    def count(self, change: int) -> None:
        self._jobs += change
        if self._jobs:
            self.idle.clear()
        else:
            self.idle.set()


class _Lending:
    """Keeps a model from being dropped: until the block is left, or until a job is over."""

    def __init__(self, held: _Held) -> None:
        self._held = held
        self._handed_on = False

    def until(self, handle: JobHandle[list[Image]]) -> None:
        self._handed_on = True
        handle.when_over(lambda: self._held.count(-1))

    def __enter__(self) -> _Lending:
        self._held.count(1)
        return self

    def __exit__(self, *error: object) -> None:
        if not self._handed_on:
            self._held.count(-1)


def _why_not(state: ModelState) -> str:
    if state.status == "loading":
        return f"The model {state.name} is being loaded: try again in a few minutes."
    if state.error:
        return f"There is no text-to-image model, so no new pictures: {state.error}"
    return "This bot has no text-to-image model, so it makes no new pictures; it enlarges those that there are."
