"""A service with everything real but Discord and the size of the network: database, GPU scheduler (CPU), files."""

import asyncio
import contextlib
import io

import numpy as np
from letters import Letters
from PIL import Image
from tiny_tiles import add_pool, pool_scheduler

from tilestep.bot.database import Database
from tilestep.bot.disk import ResultFiles
from tilestep.bot.guilds import GuildStore
from tilestep.bot.jobs import JobStore
from tilestep.bot.model import TextToImage
from tilestep.bot.requests import (
    Actor,
    ImagineOptions,
    ImagineRequest,
    Place,
    SourcePicture,
    UpscaleOptions,
    UpscaleRequest,
)
from tilestep.bot.service import Service
from tilestep.bot.settings import load_settings

GUILD, CHANNEL, MEMBER, OTHER, MODERATOR = 77, 700, 42, 43, 44
HERE = Place(GUILD, CHANNEL)


def png(width=24, height=16, seed=0, mode="RGB"):
    """The bytes of a small picture of noise."""
    bands = {"RGB": 3, "RGBA": 4}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, bands), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, mode=None).save(file, "PNG")
    return file.getvalue()


def flat(width, height):
    """The bytes of a picture of one colour, in which there is nothing to estimate."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


def wish(member=MEMBER, place=HERE, data=None, options=None, **fields):
    """A request to enlarge a small picture."""
    source = fields.pop("source", None) or SourcePicture(data or flat(24, 16), "cat photo.png")
    options = options or UpscaleOptions(quality="fast")
    return UpscaleRequest(Actor(member, guild_id=place.guild_id), place, source, options, **fields)


def image_wish(prompt="a lighthouse", member=MEMBER, place=HERE, via="command", **options):
    """A request for new pictures of 32 pixels a side, in two steps."""
    options = {"width_px": 32, "height_px": 32, "steps": 2, **options}
    return ImagineRequest(Actor(member, guild_id=place.guild_id), place, ImagineOptions(prompt, **options), via)


def moderator(member=MODERATOR, guild_id=GUILD):
    return Actor(member, manages_messages=True, guild_id=guild_id)


class SmallBot:
    """`service` and its parts. Entering it again after leaving is a restart on the same folder and letters."""

    store = JobStore
    migrated = b""

    def __init__(self, folder, **values):
        values = {"min_free_disk_mib": 0, "progress_seconds": 1, **values}
        self.settings = load_settings(None, data_dir=folder, **values)
        self.files = ResultFiles(folder)
        self.letters = Letters()
        self.gpu_options = {}

    async def __aenter__(self):
        self._stack = contextlib.AsyncExitStack()
        await self._make_folder()
        self.database = await self._stack.enter_async_context(Database(self.settings.sqlalchemy_url))
        self.jobs, self.guilds = self.store(self.database), GuildStore(self.database)
        self.gpu = await self._stack.enter_async_context(pool_scheduler(**self.gpu_options))
        add_pool(self.gpu)
        self.model = TextToImage(self.gpu)
        self.service = Service(self.settings, self.jobs, self.guilds, self.gpu, self.model, self.letters, self.files)
        return self

    async def _make_folder(self):
        """With a migrated database in it; migrating once for all tests saves half of their time."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        file = self.settings.data_dir / "tilestep.db"
        if file.exists():
            return
        if not SmallBot.migrated:
            async with Database(self.settings.sqlalchemy_url) as database:
                await database.migrate()
            SmallBot.migrated = file.read_bytes()
        file.write_bytes(SmallBot.migrated)

    async def __aexit__(self, *error):
        self.letters.gate.set()
        await self.service.stop()
        await self._stack.aclose()

    @contextlib.contextmanager
    def held(self):
        """Nothing on the GPU begins a step meanwhile; new jobs are accepted."""
        self.gpu.pause()
        try:
            yield
        finally:
            self.gpu.resume()

    async def until(self, job, state):
        """Waits until the job has come so far; gives it."""
        while (now := await self.jobs.get(job.id)).state != state:
            assert not now.is_over, f"{now.state}: {now.error}"
            await asyncio.sleep(0.01)
        return now

    async def upscaled(self, request=None):
        """A job from the wish to its end."""
        job = await self.service.upscale(request or wish())
        return await self.service.wait(job.id)
