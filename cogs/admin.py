"""/tilestep: help and privacy for everybody, limits and blocks for a server's admins, the rest for the operator.

Discord can hide whole command groups only, and help, privacy and forget-me are for everybody: so the group is visible,
the descriptions say whom a command is for, and each handler asks for the right. A group of its own for admins would be
hidden from members, and would part what is looked for in one place.
"""

from __future__ import annotations

import discord
from discord import app_commands
from discord.app_commands import Choice, Range
from discord.ext import commands

from tilestep.bot.errors import Refused
from tilestep.bot.limit_fields import FIELDS
from tilestep.cogs import changes, pages, words
from tilestep.cogs.context import Interaction, answer, answering, think
from tilestep.cogs.forget import sure_view
from tilestep.cogs.panel import list_page
from tilestep.cogs.plugin import TilestepCog, add
from tilestep.upscaler.errors import OptionError

AUDIT_LINES = 15
SETTINGS = [Choice(name=field.label, value=name) for name, field in FIELDS.items()]


class AdminCog(TilestepCog, name="TilestepAdmin"):
    """Everything around the pictures."""

    group = app_commands.Group(
        name="tilestep",
        description="Help, your data, and the settings of this server",
        allowed_installs=app_commands.AppInstallationType(guild=True),
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True),
    )

    @group.command(name="help", description="What this bot can do")
    async def help(self, interaction: Interaction) -> None:
        """For everybody."""
        async with answering(interaction):
            await answer(interaction, pages.help_text(self.runtime.settings))

    @group.command(name="privacy", description="What is kept about you, and for how long")
    async def privacy(self, interaction: Interaction) -> None:
        """For everybody."""
        async with answering(interaction):
            await answer(interaction, pages.privacy_text(self.runtime.settings))

    @group.command(name="forget-me", description="Erase everything that is kept about you")
    async def forget_me(self, interaction: Interaction) -> None:
        """Asks once more."""
        async with answering(interaction):
            await answer(interaction, words.SURE_FORGET, view=sure_view(interaction.user.id))

    @group.command(name="limits", description="Who may do how much in this server (Manage Server)")
    @app_commands.describe(
        setting="One limit: alone, it is shown",
        value="Its new value",
        reset="Back to the default: this limit, or all of them",
    )
    @app_commands.choices(setting=SETTINGS)
    async def limits(
        self,
        interaction: Interaction,
        setting: str | None = None,
        value: Range[str, 1, 2000] | None = None,
        reset: bool = False,
    ) -> None:
        """Without options the panel; with options what a script needs."""
        async with answering(interaction):
            await think(interaction)
            changes.admin_guild_id(interaction)
            if value is not None and (setting is None or reset):
                raise OptionError(words.VALUE_WITHOUT_SETTING)
            if reset:
                await answer(interaction, await changes.reset(interaction, setting))
            elif setting and value:
                await answer(interaction, await changes.set_text(interaction, setting, value))
            else:
                await self._show(interaction, setting)

    async def _show(self, interaction: Interaction, setting: str | None) -> None:
        limits = await self.runtime.guilds.limits(interaction.guild_id)
        if setting:
            await answer(interaction, pages.one_limit(limits, changes.known(setting), self.runtime.settings))
        else:
            await interaction.edit_original_response(**list_page(limits, self.runtime.settings))

    @group.command(name="block", description="Keep a member from using this bot here (Manage Server)")
    @app_commands.describe(member="Whose jobs are cancelled and who gets no new ones")
    async def block(self, interaction: Interaction, member: discord.User) -> None:
        """What the member has under way is cancelled."""
        async with answering(interaction):
            await think(interaction)
            guild_id = changes.admin_guild_id(interaction)
            changed = await self.runtime.guilds.block(guild_id, member.id, by=interaction.user.id)
            await self.runtime.service.member_blocked(guild_id, member.id)
            await answer(interaction, words.blocked(member.id, changed))

    @group.command(name="unblock", description="Let a member use this bot here again (Manage Server)")
    @app_commands.describe(member="Who was blocked")
    async def unblock(self, interaction: Interaction, member: discord.User) -> None:
        """Nothing happens to somebody who was not blocked."""
        async with answering(interaction):
            await think(interaction)
            guild_id = changes.admin_guild_id(interaction)
            changed = await self.runtime.guilds.unblock(guild_id, member.id, by=interaction.user.id)
            await answer(interaction, words.unblocked(member.id, changed))

    @group.command(name="audit", description="Who changed which limit, and when (Manage Server)")
    async def audit(self, interaction: Interaction) -> None:
        """The newest first."""
        async with answering(interaction):
            await think(interaction)
            guild_id = changes.admin_guild_id(interaction)
            await answer(interaction, pages.audit(await self.runtime.guilds.audit(guild_id, AUDIT_LINES)))

    @group.command(name="pause", description="Take no new jobs and hold those under way (bot owner)")
    async def pause(self, interaction: Interaction) -> None:
        """For maintenance."""
        async with answering(interaction):
            await self._owner_only(interaction)
            self.runtime.service.pause()
            await answer(interaction, words.PAUSED)

    @group.command(name="resume", description="Go on after a pause (bot owner)")
    async def resume(self, interaction: Interaction) -> None:
        """After `pause`."""
        async with answering(interaction):
            await self._owner_only(interaction)
            self.runtime.service.resume()
            await answer(interaction, words.RESUMED)

    @group.command(name="model", description="Show or change the text-to-image model (bot owner)")
    @app_commands.describe(name="A Hugging Face id, or a folder or .safetensors file on the bot's machine")
    async def model(self, interaction: Interaction, name: Range[str, 1, 300] | None = None) -> None:
        """Loading goes on in the background; the command, used again, tells how far it is."""
        async with answering(interaction):
            await self._owner_only(interaction)
            if name:
                self.runtime.change_model(name.strip())
            model = self.runtime.model
            await answer(interaction, words.model_loading(name) if name else pages.model(model.state, model.serving))

    async def _owner_only(self, interaction: Interaction) -> None:
        """Raises Refused. Asking Discord who owns the bot takes a moment, so the answer is deferred first."""
        await think(interaction)
        if not await self.bot.is_owner(interaction.user):
            raise Refused("permission", words.NEEDS_OWNER)


async def setup(bot: commands.Bot) -> None:
    """discord.py's entry."""
    await add(bot, AdminCog)
