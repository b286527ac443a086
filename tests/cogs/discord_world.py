"""A server in an in-memory Discord with the real bot and some members, and pictures for them."""

import asyncio
import io
import threading
from contextlib import AsyncExitStack, asynccontextmanager

import discord
import simcord
from PIL import Image

from tilestep.bot.client import TilestepBot
from tilestep.bot.errors import FetchError
from tilestep.bot.gpu import Flow
from tilestep.bot.gpu.task import Task
from tilestep.bot.requests import Actor
from tilestep.bot.runtime import Runtime

SETTLE_S = 40.0


def picture_bytes(width_px=24, height_px=16, kind="PNG"):
    """A gradient."""
    image = Image.linear_gradient("L").resize((width_px, height_px)).convert("RGB")
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


class ClientFetcher:
    """Reads attachments out of the in-memory Discord, within the cap."""

    def __init__(self, client):
        self.client, self.fetched = client, []

    async def fetch(self, url, limit_bytes):
        self.fetched.append(url)
        try:
            data = await self.client.http.get_from_cdn(url)
        except discord.HTTPException as error:
            raise FetchError("The picture is no longer there: send it again.") from error
        if len(data) > limit_bytes:
            raise FetchError(f"The file is larger than {limit_bytes} bytes: send a smaller one.")
        return data


class Town:
    """An in-memory Discord with the bot in it; `bot` and `runtime` are new after `restart`."""

    def __init__(self, settings):
        self.settings = settings
        self._stack, self._bot_stack = AsyncExitStack(), AsyncExitStack()

    async def __aenter__(self):
        self.bot = TilestepBot(self.settings)
        self.env = simcord.Env(self.bot, settle_timeout=SETTLE_S)
        await self.env.start()
        self._stack.push_async_callback(self.env.shutdown)
        await self._start()
        return self

    async def __aexit__(self, *error):
        await self._bot_stack.aclose()
        await self._stack.aclose()
        assert error[0] or not self.env.errors

    async def restart(self):
        """As if the process had ended and begun again."""
        await self._bot_stack.aclose()
        self.bot = TilestepBot(self.settings)
        await self.env.restart_bot(self.bot)
        await self._start()

    async def _start(self):
        self._bot_stack = stack = AsyncExitStack()
        self.fetcher = ClientFetcher(self.bot)
        self.runtime = await stack.enter_async_context(Runtime(self.settings, self.bot, fetcher=self.fetcher))
        await stack.enter_async_context(self.bot.using(self.runtime))
        await self.bot.register_commands()
        await self.runtime.start()


class World:
    """A server of its own: `alice` and `ben` are members, `mod` manages messages, `admin` the server."""

    def __init__(self, town):
        self.town = town
        self.env = env = town.env
        self.guild = guild = env.create_guild("Harbour")
        self.channel = guild.create_text_channel("pictures")
        self.other_channel = guild.create_text_channel("elsewhere")
        self.artists = guild.create_role("Artists")
        mods = guild.create_role("Mods", permissions=discord.Permissions(manage_messages=True))
        self.admins = guild.create_role("Admins", permissions=discord.Permissions(manage_guild=True))
        self.alice, self.ben = (guild.add_member(env.create_user(name)) for name in ("alice", "ben"))
        self.mod = guild.add_member(env.create_user("mod"), roles=[mods])
        self.admin = guild.add_member(env.create_user("admin"), roles=[self.admins])
        self.restart = town.restart
        town.fetcher.fetched.clear()

    @property
    def bot(self):
        return self.town.bot

    @property
    def runtime(self):
        return self.town.runtime

    @property
    def fetcher(self):
        return self.town.fetcher

    async def done(self):
        """Every job is over and everything about it is said."""
        for job in await self.runtime.jobs.open_jobs():
            await self.runtime.service.wait(job.id)
        await self.env.settle()

    async def cancel_everything(self):
        """Each member cancels what they have under way."""
        for job in await self.runtime.jobs.open_jobs(guild_id=self.guild.id):
            await self.runtime.service.cancel(job.id, Actor(job.requester_id))
        await self.done()

    async def model_loaded(self):
        """The text-to-image model is there."""
        while self.runtime.model.state.status == "loading" or self.runtime.model.serving is None:
            assert self.runtime.model.state.status != "failed", self.runtime.model.state.error
            await asyncio.sleep(0.05)

    async def progress_message(self):
        """The one of the only job under way, once it is there."""
        while True:
            (job,) = await self.runtime.jobs.open_jobs()
            found = [m for m in self.channel.history() if m.content.endswith(f"job {job.id}") and not m.attachments]
            if found:
                return found[0]
            await asyncio.sleep(0.02)

    async def limit(self, **changes):
        """As an admin would set it."""
        await self.runtime.guilds.set_limits(self.guild.id, changes, by=self.admin.id)

    async def jobs(self, member=None):
        """The member's jobs, newest first."""
        return await self.runtime.jobs.history((member or self.alice).id, self.guild.id, 50)

    async def post(self, *pictures, by=None, channel=None):
        """A member posts pictures; one of 24 x 16 if none are given."""
        files = pictures or (("in.png", picture_bytes()),)
        return await (by or self.alice).send(channel or self.channel, "look", attachments=files)

    async def upscale(self, by=None, size=(24, 16), **options):
        """/upscale with a picture, in the channel."""
        image = ("in.png", picture_bytes(*size))
        return await (by or self.alice).slash(self.channel, "upscale", image=image, **options)

    async def result(self, by=None, **options):
        """A posted result of /upscale."""
        await self.upscale(by, **options)
        await self.done()
        return self.channel.last_message

    async def told(self, action):
        """What the member is told when it is refused; "" when a job came of it."""
        before = len(await self.runtime.jobs.open_jobs()) + len(await self.finished())
        answered = await action
        after = len(await self.runtime.jobs.open_jobs()) + len(await self.finished())
        return "" if after > before else self.words(answered)

    async def finished(self):
        return await self.runtime.jobs.open_jobs(states=("delivered", "failed", "cancelled"))

    async def give_role(self, member, role):
        await self.bot.http.add_role(self.guild.id, member.id, role.id)
        await self.env.settle()

    async def take_role(self, member, role):
        await self.bot.http.remove_role(self.guild.id, member.id, role.id)
        await self.env.settle()

    async def take_from_bot(self, *permissions):
        """The bot lacks just these in the channel."""
        channel = self.bot.get_channel(self.channel.id)
        denied = discord.PermissionOverwrite(**dict.fromkeys(permissions, False)) if permissions else None
        await channel.set_permissions(channel.guild.me, overwrite=denied)
        await self.env.settle()

    @asynccontextmanager
    async def busy(self):
        """Somebody else's work has the GPU for as long as the block lasts; then everything is finished."""
        go_on = threading.Event()

        def hold(gate):
            with gate.step("load"):
                go_on.wait()

        handle = self.runtime.gpu.submit(Task(hold), Flow("other", "work"))
        try:
            yield
        finally:
            go_on.set()
            await handle
            await self.done()

    def words(self, answered):
        """What only the member sees of an interaction: the answer, then what followed."""
        assert all(message.ephemeral for message in answered.followups)
        shown = [message for message in (answered.response, *answered.followups) if message and message.ephemeral]
        return "\n".join(message.content for message in shown)


class Gallery(World):
    """With a picture of Alice's that the bot drew. She has used more than 100 GPU seconds today, and is a painter."""

    async def hang_up_a_picture(self):
        self.painters = self.guild.create_role("Painters")
        await self.give_role(self.alice, self.painters)
        options = {"prompt": "a red fox", "steps": 2, "seed": 7, "size": "128x96"}
        await self.alice.slash(self.channel, "imagine", **options)
        await self.done()
        self.drawn = self.channel.last_message
        (job,) = await self.jobs()
        await self.runtime.jobs.charge(job.id, 100_000)

    async def fresh(self):
        """Nothing is under way, nobody is blocked, every limit is at its default."""
        service, guilds = self.runtime.service, self.runtime.guilds
        service.resume()
        jobs = await self.runtime.jobs.open_jobs(guild_id=self.guild.id)
        await asyncio.gather(*(service.cancel(job.id, Actor(job.requester_id)) for job in jobs))
        self.runtime.gpu.pause()
        self.used_s = await guilds.gpu_seconds_today(self.guild.id, self.alice.id)
        await guilds.unblock(self.guild.id, self.alice.id, by=self.admin.id)
        await guilds.reset(self.guild.id, by=self.admin.id)


def buttons(message):
    """Custom id by label, of a real message or of an ephemeral one."""
    rows = message.components
    found = []
    for row in rows:
        children = row["components"] if isinstance(row, dict) else row.children
        found += [
            c if isinstance(c, dict) else {"label": c.label, "custom_id": c.custom_id, "disabled": c.disabled}
            for c in children
        ]
    return {item.get("label"): item for item in found}
