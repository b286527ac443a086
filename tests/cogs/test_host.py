"""Tilestep in somebody else's bot, which has packages named `bot` and `cogs` and a command named /queue."""

import asyncio
import logging
import sys
import threading
from pathlib import Path

import pytest
import simcord
from discord.ext import commands
from discord_world import SETTLE_S, ClientFetcher

from tilestep.cogs.context import runtimes

HOST = Path(__file__).parent / "host"


@pytest.fixture
def host(monkeypatch, tmp_path, checkpoint):
    """The host's own program, with Tilestep's defaults but for the folder and the tiny network."""
    for name, value in {"DATA_DIR": tmp_path / "data", "CHECKPOINT": checkpoint, "DEVICE": "cpu"}.items():
        monkeypatch.setenv(f"TILESTEP_{name}", str(value))
    monkeypatch.setenv("TILESTEP_MIN_FREE_DISK_MIB", "0")
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("TILESTEP_QUEUE_LIMIT=nonsense\n")
    monkeypatch.syspath_prepend(str(HOST))
    import main

    yield main
    for name in [name for name in sys.modules if name.partition(".")[0] in ("main", "bot", "cogs")]:
        del sys.modules[name]


class Harbour:
    """The host's bot in a server."""

    def __init__(self, host):
        self.host = host

    async def __aenter__(self):
        self.bot = await self.host.make_bot()
        runtimes[self.bot].fetcher = ClientFetcher(self.bot)
        self._run = simcord.run(self.bot, settle_timeout=SETTLE_S)
        self.env = await self._run.__aenter__()
        guild = self.env.create_guild()
        self.channel = guild.create_text_channel("general")
        self.alice = guild.add_member(self.env.create_user("alice"))
        return self

    async def __aexit__(self, *error):
        for name in list(self.bot.extensions):
            await self.bot.unload_extension(name)
        await self._run.__aexit__(*error)

    async def upscaled(self, message):
        runtime = runtimes[self.bot]
        await self.alice.click(message, label="Upscale 2x")
        (job,) = await runtime.jobs.open_jobs()
        await runtime.service.wait(job.id)
        await self.env.settle()
        return self.channel.last_message


async def threads_end(before):
    """Those that were not there before, whatever their names, but for the event loop's own pool: the host's."""
    ours = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")} - before
    await asyncio.to_thread(lambda: [thread.join(20) for thread in ours])
    assert [thread.name for thread in ours if thread.is_alive()] == []


async def test_the_hosts_pictures_get_the_button_and_the_host_stays_as_it_was(host):
    before = logging.root.level, list(logging.root.handlers)
    async with Harbour(host) as harbour:
        assert harbour.bot.greeting == "A picture for you"
        await harbour.alice.slash(harbour.channel, "draw")
        result = await harbour.upscaled(harbour.channel.last_message)
        assert (result.attachments[0].width, result.attachments[0].height) in ((48, 32), (None, None))
        said = await harbour.alice.slash(harbour.channel, "queue")
        assert "music" in said.response.content
    assert (logging.root.level, list(logging.root.handlers)) == before


async def test_the_button_outlives_the_timeout_of_the_view_that_it_was_in(host):
    async with Harbour(host) as harbour:
        await harbour.alice.slash(harbour.channel, "draw")
        message = harbour.channel.last_message
        await harbour.env.advance_time(120)
        result = await harbour.upscaled(message)
        assert result.attachments


async def test_unloading_leaves_nothing_behind_and_loading_again_works(host):
    before = set(threading.enumerate())
    async with Harbour(host) as harbour:
        bot = harbour.bot
        await harbour.alice.slash(harbour.channel, "draw")
        message = harbour.channel.last_message
        await harbour.upscaled(message)
        for _ in range(2):
            await bot.unload_extension("tilestep.cogs.upscale")
            assert bot not in runtimes
            assert not bot._connection._view_store._dynamic_items
            assert not [c for c in bot.tree.get_commands() if c.name.lower() == "upscale"]
            await threads_end(before)
            assert not [task for task in asyncio.all_tasks() if "tilestep" in repr(task.get_coro())]
            await bot.load_extension("tilestep.cogs.upscale")
            runtimes[bot].fetcher = ClientFetcher(bot)
        assert (await harbour.upscaled(message)).attachments


async def test_a_clash_of_names_says_how_to_rename_and_the_new_name_works(host, monkeypatch):
    async with Harbour(host) as harbour:
        with pytest.raises(commands.ExtensionFailed, match="TILESTEP_COMMAND_NAMES"):
            await harbour.bot.load_extension("tilestep.cogs.queue")
        assert "TilestepQueue" not in harbour.bot.cogs
        await harbour.bot.unload_extension("tilestep.cogs.upscale")
        monkeypatch.setenv("TILESTEP_COMMAND_NAMES", '{"queue": "upscales"}')
        await harbour.bot.load_extension("tilestep.cogs.queue")
        assert {"queue", "upscales"} <= {command.name for command in harbour.bot.tree.get_commands()}
