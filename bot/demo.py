"""`tilestep demo`: the real bot in an in-memory Discord (SimCord), with a page in the browser. No token, no GPU.

Cogs, service, GPU scheduler, database and migrations are those of `tilestep run`; only Discord itself is not there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import io
import logging
import tempfile
import webbrowser
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
import simcord

from tilestep.bot.client import TilestepBot
from tilestep.bot.demo_page import live_page
from tilestep.bot.errors import FetchError, SettingsError
from tilestep.bot.logs import configure_logs
from tilestep.bot.painter import WEIGHTS
from tilestep.bot.runtime import Runtime
from tilestep.bot.sample import sample_picture
from tilestep.bot.settings import Settings, load_settings

log = logging.getLogger(__name__)

SETTLE_S = 120.0
TOPIC = "A Discord in this computer's memory. Nothing leaves it, and it is gone with Ctrl-C."
GREETING = (
    "**This is the real bot, in a Discord that lives in memory.** Things to try:\n"
    "- press **Upscale 2x** under the picture below, and again under its result\n"
    "- type `/upscale` and choose a picture of your own, and while it runs `/queue`\n"
    "- type `/imagine` for a new picture\n"
    "- type `/tilestep limits`: Ada manages this server\n"
    "- become Ben (*Viewing as*, above) and upscale too: each of you gets half of the machine\n"
    "- reply `Apps > Upscale` to any picture, for the menu of that name, which this page lacks"
)
SAMPLE = "A lighthouse at dusk, 480 x 320."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tilestep demo`."""
    parser.add_argument("--port", type=int, default=8765, help="of the page on 127.0.0.1 (default 8765; 0 picks one)")
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")
    parser.add_argument("--data-dir", type=Path, help="keep database and pictures here; default: a temporary folder")


def run(args: argparse.Namespace) -> int:
    """Serves the page until Ctrl-C, which is how a demo is meant to end, or until the page is closed."""
    configure_logs("INFO", "text")
    logging.getLogger("tilestep.bot.client").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(args))
    print("Stopped.")
    return 0


async def _serve(args: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        folder = args.data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tilestep-demo-")))
        async with Demo(demo_settings(folder)) as demo, demo.page(args.port) as page:
            print(f"Tilestep demo: {page.url}\nCtrl-C stops it.", flush=True)
            if not args.no_browser:
                await asyncio.to_thread(webbrowser.open, page.url)
            await page.wait_closed()


def demo_settings(data_dir: Path) -> Settings:
    """The operator's own, but for what leads out of the demo: it has a database of its own, and serves nothing else.

    Where TILESTEP_MODEL names none, the small picture model that is shipped makes the pictures.
    """
    own = {"token": None, "database_url": None, "http_port": None}
    settings = load_settings(None, data_dir=data_dir, sync_commands="global", **own)
    if settings.model is None and (WEIGHTS / "model_index.json").is_file():
        settings = settings.model_copy(update={"model": str(WEIGHTS)})
    return settings


class ClientFetcher:
    """Fetches pictures through the client's own HTTP, which SimCord answers; no other address exists in the demo."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def fetch(self, url: str, limit_bytes: int) -> bytes:
        """Raises FetchError when the picture is gone or too large."""
        try:
            data: bytes = await self._client.http.get_from_cdn(url)
        except discord.HTTPException as error:
            raise FetchError("The picture is not there any more: post it again.") from error
        if len(data) > limit_bytes:
            raise FetchError(f"The file is larger than {limit_bytes // 2**20} MiB: send a smaller one.")
        return data


class Demo:
    """A server with two members and the bot. `bot` and `runtime` are new after `restart`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bot = TilestepBot(settings)
        self._stack = AsyncExitStack()
        self._bot_stack = AsyncExitStack()
        self._turns = asyncio.Lock()

    async def __aenter__(self) -> Demo:
        self.env = simcord.Env(self.bot, check_errors=False, settle_timeout=SETTLE_S)
        await self.env.start()
        self._stack.push_async_callback(self.env.shutdown)
        await self.env.advance_time((datetime.now(UTC) - self.env.now()).total_seconds())
        assert self.bot.user is not None
        await self.bot.user.edit(username="Tilestep")
        guild = self.env.create_guild("Tilestep", owner=self.env.create_user("tilestep-owner"))
        self.channel = guild.create_text_channel("pictures", topic=TOPIC)
        admins = guild.create_role("Admins", permissions=discord.Permissions(manage_guild=True, manage_messages=True))
        self.ada = guild.add_member(self.env.create_user("ada", global_name="Ada"), roles=[admins])
        self.ben = guild.add_member(self.env.create_user("ben", global_name="Ben"))
        await self._start_bot()
        await self._greet()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._bot_stack.aclose()
        await self._stack.aclose()

    async def restart(self) -> None:
        """As if the process had been ended and started again: a new bot, a new runtime, the same Discord and folder."""
        async with self._turns:
            await self._bot_stack.aclose()
            self.bot = TilestepBot(self.settings)
            await self.env.restart_bot(self.bot)
            await self._start_bot()

    @contextlib.asynccontextmanager
    async def page(self, port: int) -> AsyncIterator[Any]:
        """The page in the browser, kept fresh while the block runs."""
        viewers = [self.ada, self.ben]
        preview = self.env.preview(self.channel, viewers=viewers, layout="channel", port=port or None)
        async with AsyncExitStack() as stack:
            try:
                page = await stack.enter_async_context(live_page(self.env, preview, self._turns))
            except simcord.SetupError as error:
                raise SettingsError(f"The demo cannot use port {port}: choose another with --port.") from error
            yield page

    async def _start_bot(self) -> None:
        stack = AsyncExitStack()
        self.runtime = await stack.enter_async_context(
            Runtime(self.settings, self.bot, fetcher=ClientFetcher(self.bot))
        )
        await stack.enter_async_context(self.bot.using(self.runtime))
        await self.bot.register_commands()
        await self.runtime.start()
        self._bot_stack = stack

    async def _greet(self) -> None:
        channel = self.bot.get_channel(self.channel.id)
        assert isinstance(channel, discord.TextChannel)
        await channel.send(GREETING)
        drawn = io.BytesIO(await asyncio.to_thread(sample_picture))
        file = discord.File(drawn, "sample.png", description=SAMPLE)
        button: Any = importlib.import_module("tilestep.cogs.upscale").UpscaleButton
        view = discord.ui.View(timeout=None).add_item(button.for_message())
        await channel.send(SAMPLE, file=file, view=view)
