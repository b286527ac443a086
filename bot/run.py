"""`tilestep run`: settings, then Discord, then everything else; ends in the reverse order and loses no job."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import discord

from tilestep.bot.client import TilestepBot
from tilestep.bot.errors import SettingsError
from tilestep.bot.http import serve_http
from tilestep.bot.logs import configure_logs
from tilestep.bot.runtime import Runtime
from tilestep.bot.settings import Settings, load_settings
from tilestep.bot.tasks.allocator import let_segments_grow

log = logging.getLogger(__name__)

TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

NO_TOKEN = (
    "TILESTEP_TOKEN is not set: make a bot at discord.com/developers/applications, copy its token (Bot > Reset "
    "Token) and write TILESTEP_TOKEN=... into .env. `tilestep demo` needs none."
)
NOT_A_TOKEN = (
    "TILESTEP_TOKEN is not the token of a bot, which is three parts with dots between: copy it again from "
    "discord.com/developers/applications (Bot > Reset Token); the client secret and the ids are other things."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tilestep run`."""
    parser.add_argument(
        "--env-file", type=Path, default=Path(".env"), help="file of TILESTEP_ variables (default .env)"
    )


def run(args: argparse.Namespace) -> int:
    """Serves until it is told to stop. Raises TilestepError for what the operator can mend."""
    settings = load_settings(args.env_file)
    let_segments_grow(os.environ)
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # nobody wants a voice from this bot
    configure_logs(settings.log_level, settings.log_format)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(serve(settings))
    return 0


async def serve(settings: Settings) -> None:
    """Logs in, starts everything, and stays until cancelled or told to end by SIGTERM."""
    if settings.token is None:
        raise SettingsError(NO_TOKEN)
    _end_on_sigterm()
    async with TilestepBot(settings) as bot:
        await log_in(bot, settings.token.get_secret_value())
        async with Runtime(settings, bot) as runtime, bot.using(runtime), _served(settings, runtime):
            await bot.register_commands()
            await bot.connect()


async def log_in(bot: discord.Client, token: str) -> None:
    """Raises SettingsError where Discord does not know the token or cannot be reached."""
    if not TOKEN.fullmatch(token):
        raise SettingsError(NOT_A_TOKEN)
    try:
        await bot.login(token)
    except (discord.LoginFailure, discord.Forbidden) as error:
        raise SettingsError("Discord does not accept TILESTEP_TOKEN: copy it again (Bot > Reset Token).") from error
    except (aiohttp.ClientError, OSError, discord.HTTPException) as error:
        raise SettingsError(f"Discord cannot be reached ({error}): is this machine online?") from error


@contextlib.asynccontextmanager
async def _served(settings: Settings, runtime: Runtime) -> AsyncIterator[None]:
    if settings.http_port is None:
        yield
        return
    async with serve_http(runtime, settings.http_host, settings.http_port) as port:
        log.info("health and metrics on http://%s:%d/healthz and /metrics", settings.http_host, port)
        yield


def _end_on_sigterm() -> None:
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
