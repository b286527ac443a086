"""`tilestep doctor`: is everything there that `tilestep run` needs? Each check says what it found and what to do."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import discord

from tilestep.bot.client import TilestepBot
from tilestep.bot.database import Database
from tilestep.bot.disk import ResultFiles
from tilestep.bot.gpu.device import open_device
from tilestep.bot.run import NO_TOKEN, log_in
from tilestep.bot.settings import Settings, load_settings
from tilestep.upscaler.errors import TilestepError

MIB = 1 << 20
GIB = 1 << 30
LEAST_BUDGET_GIB = 2


@dataclass(frozen=True)
class Finding:
    """`good` None: not needed, and said so."""

    what: str
    good: bool | None
    words: str

    def line(self) -> str:
        """For a terminal."""
        mark = {True: "ok  ", False: "BAD ", None: "--  "}[self.good]
        return f"{mark}{self.what}: {self.words}"


Check = Callable[[Settings], Awaitable[Finding]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tilestep doctor`."""
    parser.add_argument("--env-file", type=Path, default=Path(".env"), help="file of TILESTEP_ variables")


def run(args: argparse.Namespace) -> int:
    """0 when nothing is bad, else 2. Raises SettingsError where the settings cannot even be read."""
    settings = load_settings(args.env_file)
    findings = asyncio.run(examine(settings))
    for finding in findings:
        print(finding.line())
    return 2 if any(finding.good is False for finding in findings) else 0


async def examine(settings: Settings) -> list[Finding]:
    """All checks, one after the other; a check that fails is a finding."""
    findings = []
    for what, check in CHECKS.items():
        try:
            findings.append(await check(settings))
        except (TilestepError, OSError) as error:
            findings.append(Finding(what, False, str(error)))
    return findings


async def check_token(settings: Settings) -> Finding:
    """Logs in without connecting; our bot asks for no privileged intent, so there is none to switch on."""
    if settings.token is None:
        return Finding("token", False, NO_TOKEN)
    async with TilestepBot(settings) as bot:
        await log_in(bot, settings.token.get_secret_value())
        try:
            guilds = [guild async for guild in bot.fetch_guilds(limit=200, with_counts=False)]
        except discord.HTTPException as error:
            return Finding("token", False, f"logged in as {bot.user}, but the servers cannot be read ({error.text}).")
        words = f"logged in as {bot.user}, in {len(guilds)} servers; no privileged intent is needed"
        return Finding("token", True, words if guilds else f"{words}. Invite it: {bot.invite_link()}")


async def check_database(settings: Settings) -> Finding:
    """Connects and brings the schema up to date, as `tilestep run` would."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.sqlalchemy_url, settings.table_prefix)
    async with database:
        await database.migrate()
    kind = "PostgreSQL" if settings.database_url else f"SQLite file in {settings.data_dir}"
    return Finding("database", True, f"{kind}, schema up to date")


async def check_disk(settings: Settings) -> Finding:
    """Writes a file, and compares the free space with what new jobs need."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.data_dir) as file:
        file.write(b"tilestep")
    free_mib = ResultFiles(settings.data_dir).free_mib()
    if free_mib < settings.min_free_disk_mib:
        return Finding(
            "disk",
            False,
            f"{free_mib:.0f} MiB free in {settings.data_dir}, new jobs need {settings.min_free_disk_mib} MiB: "
            "free some, lower TILESTEP_MIN_FREE_DISK_MIB or move TILESTEP_DATA_DIR.",
        )
    return Finding("disk", True, f"{free_mib / 1024:.1f} GiB free in {settings.data_dir}")


async def check_gpu(settings: Settings) -> Finding:
    """Opens the device and says what of its memory may be used."""
    budget_mib = settings.vram_budget_mib
    given_bytes = None if budget_mib is None else budget_mib * MIB
    device = await asyncio.to_thread(open_device, settings.device, given_bytes, settings.vram_reserve_mib * MIB)
    if device.name == "cpu":
        return Finding("GPU", None, "none: everything runs on the CPU, many times slower. TILESTEP_DEVICE=cuda insists")
    budget_bytes = device.budget_bytes or 0
    words = f"{device.name}, {budget_bytes / GIB:.1f} GiB may be used"
    if budget_bytes < LEAST_BUDGET_GIB * GIB:
        return Finding("GPU", False, f"{words}: too little; close other programs or raise TILESTEP_VRAM_BUDGET_MIB.")
    return Finding("GPU", True, words)


async def check_upscaler(settings: Settings) -> Finding:
    """Loads the tile model."""

    def load() -> str:
        from tilestep.upscaler.model.checkpoint import load_model

        return f"tile model for {load_model(settings.checkpoint, 'cpu').descriptor.scale}x loads"

    return Finding("upscaler", True, await asyncio.to_thread(load))


async def check_model(settings: Settings) -> Finding:
    """Is the text-to-image model there, or to be had?"""
    if not settings.model:
        return Finding("model", None, "TILESTEP_MODEL is not set: upscaling works, /imagine says that it is off")

    def find() -> None:
        from tilestep.bot.tasks.loading import open_source

        open_source(settings.model or "", settings.model_token.get_secret_value() if settings.model_token else None)

    await asyncio.to_thread(find)
    return Finding("model", True, f"{settings.model} is there")


CHECKS: dict[str, Check] = {
    "disk": check_disk,
    "database": check_database,
    "GPU": check_gpu,
    "upscaler": check_upscaler,
    "model": check_model,
    "token": check_token,
}
