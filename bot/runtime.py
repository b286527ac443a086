"""Everything a bot needs of Tilestep, built in order and closed in reverse; one for each bot.

    async with Runtime(load_settings(), client) as runtime:      # `tilestep run`, the demo, tests
        attach(client, runtime)

In somebody else's bot the first of our extensions makes one with `bot_runtime`, and the last one closes it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from tilestep.bot.database import Database
from tilestep.bot.delivery import Delivery
from tilestep.bot.disk import ResultFiles
from tilestep.bot.errors import ModelUnavailable
from tilestep.bot.fetch import Fetcher, HttpFetcher
from tilestep.bot.gpu import GpuScheduler, GpuSettings
from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.task import IMAGE, UPSCALE
from tilestep.bot.gpu.waiting import QueueLimits
from tilestep.bot.guilds import GuildStore
from tilestep.bot.jobs import JobStore
from tilestep.bot.model import TextToImage
from tilestep.bot.service import Service
from tilestep.bot.settings import PREFIX, Settings, load_settings
from tilestep.upscaler.errors import TilestepError

log = logging.getLogger(__name__)

MIB = 1 << 20
STOP_GRACE_S = 10.0
ENV_FILE = f"{PREFIX}ENV_FILE"


class Runtime:
    """Database, GPU, model, files, delivery and service of one bot.

    `client`: the discord.py client that posts. `fetcher`: where pictures come from; Discord's hosts by default. Raises
    TilestepError in words for a database, a folder or a device that cannot be used.
    """

    def __init__(self, settings: Settings, client: Any, *, fetcher: Fetcher | None = None) -> None:
        self.settings = settings
        self.database = Database(settings.sqlalchemy_url, settings.table_prefix)
        self.jobs = JobStore(self.database)
        self.guilds = GuildStore(self.database)
        self.gpu = GpuScheduler(gpu_settings(settings))
        self.model = TextToImage(self.gpu)
        self.files = ResultFiles(settings.data_dir)
        self.delivery = Delivery(client)
        self.fetcher: Fetcher = fetcher or HttpFetcher()
        self.service = Service(settings, self.jobs, self.guilds, self.gpu, self.model, self.delivery, self.files)
        self._client = client
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting, self._started = asyncio.Lock(), False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.settings.data_dir.mkdir(parents=True, exist_ok=True)
            await stack.enter_async_context(self.database)
            await self.database.migrate()
            await stack.enter_async_context(self.gpu)
            if isinstance(self.fetcher, HttpFetcher):
                stack.push_async_callback(self.fetcher.close)
            stack.push_async_callback(self._stop)
            if self.settings.model:
                self._spawn(self._load_model(self.settings.model))
            self._stack = stack.pop_all()
        if self._client.is_ready():
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Goes on with the jobs of the last run, once the client can post; again and again without harm."""
        async with self._starting:
            if not self._started:
                await self.service.start()
                self._started = True

    def change_model(self, name: str) -> None:
        """Loads another text-to-image model in the background, for this run; `model.state` tells how far it is."""
        self._spawn(self._load_model(name))

    async def _stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.service.stop(STOP_GRACE_S)

    async def _load_model(self, name: str) -> None:
        token = self.settings.model_token
        try:
            await self.model.load(name, token.get_secret_value() if token else None)
        except (TilestepError, ModelUnavailable) as error:
            log.warning("the text-to-image model %s is not loaded: %s", name, error)

    def _spawn(self, work: Any) -> None:
        task = contextvars.Context().run(asyncio.create_task, work)  # no part of the interaction that asked for it
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def gpu_settings(settings: Settings) -> GpuSettings:
    """What the operator's settings mean for the GPU scheduler."""
    budget_mib = settings.vram_budget_mib
    return GpuSettings(
        device=settings.device,
        budget_bytes=None if budget_mib is None else budget_mib * MIB,
        reserve_bytes=settings.vram_reserve_mib * MIB,
        fairness=FairSettings(
            kind_weights={IMAGE: settings.image_weight, UPSCALE: settings.upscale_weight}, follow_steps=True
        ),
        limits=QueueLimits(settings.queue_limit, settings.queue_limit, settings.queue_limit),
        upscaler=settings.checkpoint,
        upscaler_bytes=settings.upscaler_vram_mib * MIB,
    )


@dataclass(eq=False)
class _Held:
    """A bot's runtime. `users`: extensions that need it; `ours`: made here, so closed here."""

    runtime: Runtime
    users: int = 0
    ours: bool = False


_held: WeakKeyDictionary[Any, _Held] = WeakKeyDictionary()
_making: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()


def attach(bot: Any, runtime: Runtime) -> None:
    """The bot's extensions use this runtime; whoever made it closes it, after they are unloaded."""
    _held[bot] = _Held(runtime)


async def bot_runtime(bot: Any) -> Runtime:
    """The runtime of this bot, made from the environment if there is none; `release_runtime` gives it back.

    Reads TILESTEP_ variables, and a file of them only where TILESTEP_ENV_FILE names one.
    """
    async with _making.setdefault(bot, asyncio.Lock()):
        held = _held.get(bot)
        if held is None:
            env_file = os.environ.get(ENV_FILE)
            runtime = Runtime(load_settings(Path(env_file) if env_file else None), bot)
            await runtime.__aenter__()
            held = _held[bot] = _Held(runtime, ours=True)
            bot.add_listener(runtime.start, "on_ready")
        held.users += 1
        return held.runtime


async def release_runtime(bot: Any) -> None:
    """An extension is unloaded; the last one closes a runtime that was made for them."""
    held = _held.get(bot)
    if held is None:
        return
    held.users -= 1
    if held.ours and held.users <= 0:
        del _held[bot]
        bot.remove_listener(held.runtime.start, "on_ready")
        await held.runtime.__aexit__(None, None, None)
