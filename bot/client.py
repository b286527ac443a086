"""The bot that runs out of the box: our cogs, no privileged intents, commands registered as the operator wants."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

import discord
from discord.ext import commands

from tilestep.bot.runtime import Runtime, attach
from tilestep.bot.settings import Settings

log = logging.getLogger(__name__)

EXTENSIONS = ("tilestep.cogs.upscale", "tilestep.cogs.imagine", "tilestep.cogs.queue", "tilestep.cogs.admin")
PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    embed_links=True,
    read_message_history=True,
)


class TilestepBot(commands.Bot):
    """Loads our cogs on its own runtime once it has logged in; leaves the runtime's end to whoever made the bot."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
        )
        self.settings = settings
        self.runtime: Runtime | None = None

    @contextlib.asynccontextmanager
    async def using(self, runtime: Runtime) -> AsyncIterator[None]:
        """Our extensions are loaded on this runtime, and unloaded before it ends."""
        self.runtime = runtime
        attach(self, runtime)
        loaded: list[str] = []
        try:
            for name in EXTENSIONS:
                await self.load_extension(name)
                loaded.append(name)
            yield
        finally:
            for name in reversed(loaded):
                await self.unload_extension(name)
            self.runtime = None

    async def on_ready(self) -> None:
        log.info("logged in as %s, in %d guilds", self.user, len(self.guilds))
        if self.runtime is not None:
            await self.runtime.start()

    def invite_link(self) -> str:
        """Where an admin adds the bot, with the least permissions it needs."""
        return discord.utils.oauth_url(
            self.application_id or 0, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
        )

    async def register_commands(self) -> None:
        """Tells Discord of our commands as TILESTEP_SYNC_COMMANDS says; needs a login."""
        settings = self.settings
        log.info("invite link: %s", self.invite_link())
        if settings.sync_commands == "global":
            await self.tree.sync()
        elif settings.sync_commands == "guilds":
            for guild_id in settings.sync_guild_ids:
                guild = discord.Object(guild_id)
                self.tree.copy_global_to(guild=guild)
                await self.tree.sync(guild=guild)
