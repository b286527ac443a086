"""How our extensions sit in a bot, ours or somebody else's: one runtime for all, commands renamed where they clash.

The first extension that is loaded registers every control; the last one that is unloaded takes them away. The command
tree is never synced from here: that is the host's business.
"""

from __future__ import annotations

import logging

import discord
from discord import app_commands
from discord.ext import commands

from tilestep.bot.errors import SettingsError
from tilestep.bot.runtime import Runtime, bot_runtime, release_runtime
from tilestep.cogs.again import AgainButton, VaryButton
from tilestep.cogs.buttons import CancelButton, DeleteButton, RecipeButton, UpscaleButton
from tilestep.cogs.context import Interaction, answer, answering, explain, is_of_earlier_run, modals, runtimes
from tilestep.cogs.controls import StrayControl
from tilestep.cogs.forget import ForgetButton
from tilestep.cogs.panel import PanelControl
from tilestep.cogs.pick import PickSelect
from tilestep.cogs.views import Views
from tilestep.cogs.waiting import QueueControl
from tilestep.cogs.words import FORM_TOO_OLD
from tilestep.upscaler.errors import TilestepError

CONTROLS = (
    UpscaleButton,
    CancelButton,
    DeleteButton,
    RecipeButton,
    AgainButton,
    VaryButton,
    PickSelect,
    QueueControl,
    PanelControl,
    ForgetButton,
    StrayControl,
)

log = logging.getLogger(__name__)

UNKNOWN_GUILD, MISSING_ACCESS = 10004, 50001


class TilestepCog(commands.Cog):
    """A cog of ours. `commands_named`: our names of its slash commands, which the operator may change."""

    def __init__(self, bot: commands.Bot, runtime: Runtime) -> None:
        self.bot, self.runtime = bot, runtime
        self.menus = [self._renamed_menu(menu) for menu in self.context_menus()]
        for command in self.__cog_app_commands__:
            command.name = runtime.settings.command(command.name)

    def context_menus(self) -> list[app_commands.ContextMenu]:
        """Entries of the Apps menu that belong to this cog."""
        return []

    async def cog_load(self) -> None:
        if not any(isinstance(cog, TilestepCog) for cog in self.bot.cogs.values()):
            _move_in(self.bot, self.runtime)
            if self.bot.is_ready():
                await self._forget_left_guilds()
        for menu in self.menus:
            self.bot.tree.add_command(menu)

    async def cog_unload(self) -> None:
        for menu in self.menus:
            if self.bot.tree.get_command(menu.name, type=menu.type) is menu:
                self.bot.tree.remove_command(menu.name, type=menu.type)
        if not any(isinstance(cog, TilestepCog) and cog is not self for cog in self.bot.cogs.values()):
            _move_out(self.bot, self.runtime)
        await release_runtime(self.bot)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The server's jobs are cancelled and its data is erased."""
        if self._speaks_for_all:
            await self.runtime.service.guild_removed(guild.id)

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Discord does not tell which servers have removed the bot while it was not there."""
        if self._speaks_for_all:
            await self._forget_left_guilds()

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        """Forms that were opened before a restart are answered too."""
        if self._speaks_for_all and is_of_earlier_run(interaction):
            async with answering(interaction):
                await answer(interaction, FORM_TOO_OLD)

    @property
    def _speaks_for_all(self) -> bool:
        """Whether it comes first of our cogs."""
        return next(cog for cog in self.bot.cogs.values() if isinstance(cog, TilestepCog)) is self

    async def _forget_left_guilds(self) -> None:
        """What cannot be done now is done when the bot is ready again."""
        try:
            for guild_id in await self.runtime.service.guild_ids() - {guild.id for guild in self.bot.guilds}:
                if await self._is_gone(guild_id):
                    log.info("the bot is no longer in server %d: what was kept of it is erased", guild_id)
                    await self.runtime.service.guild_removed(guild_id)
        except TilestepError as error:
            log.warning("servers that the bot has left are not forgotten yet: %s", error)

    async def _is_gone(self, guild_id: int) -> bool:
        """Only where Discord itself says so: another shard may have it, or it may be unavailable for a while."""
        try:
            await self.bot.fetch_guild(guild_id)
        except (discord.NotFound, discord.Forbidden) as error:
            return error.code in (UNKNOWN_GUILD, MISSING_ACCESS)
        except discord.HTTPException:
            return False
        return False

    async def cog_app_command_error(self, interaction: Interaction, error: app_commands.AppCommandError) -> None:
        """For what fails before our code runs, as a choice that is none; our code answers by itself."""
        await answer(interaction, explain(error))

    def _renamed_menu(self, menu: app_commands.ContextMenu) -> app_commands.ContextMenu:
        name = self.runtime.settings.command_names.get(menu.name.lower())
        if name:
            menu.name = name.replace("-", " ").replace("_", " ").capitalize()
        return menu


async def add(bot: commands.Bot, kind: type[TilestepCog]) -> None:
    """Every extension's `setup`. Raises SettingsError where a command of the host has the same name."""
    runtime = await bot_runtime(bot)
    try:
        cog = kind(bot, runtime)
    except BaseException:
        await release_runtime(bot)
        raise
    try:
        await bot.add_cog(cog)
    except BaseException as error:
        await cog.cog_unload()
        if isinstance(error, app_commands.CommandAlreadyRegistered):
            raise SettingsError(_clash(error.name)) from error
        raise


def _clash(name: str) -> str:
    return (
        f"This bot has a command named {name!r} already: give ours another name, for example "
        f'TILESTEP_COMMAND_NAMES={{"{name.lower()}": "tilestep-{name.lower()}"}}.'
    )


def _move_in(bot: commands.Bot, runtime: Runtime) -> None:
    runtimes[bot] = runtime
    runtime.delivery.views = Views(runtime)
    bot.add_dynamic_items(*CONTROLS)


def _move_out(bot: commands.Bot, runtime: Runtime) -> None:
    bot.remove_dynamic_items(*CONTROLS)
    runtime.delivery.views = None
    runtimes.pop(bot, None)
    for modal in list(modals.pop(bot, ())):
        modal.stop()
