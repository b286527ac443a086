"""/tilestep forget-me: asked once more, then everything of a member is erased."""

from __future__ import annotations

import discord

from tilestep.bot.errors import NoSuchJob
from tilestep.cogs import words
from tilestep.cogs.context import Interaction, runtime_of
from tilestep.cogs.controls import Control, template
from tilestep.cogs.views import control, still


class ForgetButton(Control, template=template("forget")):
    """*Erase everything*, on the member's own ephemeral question."""

    async def used(self, interaction: Interaction) -> None:
        await interaction.response.defer()
        if self.rest != str(interaction.user.id):
            raise NoSuchJob(words.STRAY)
        await runtime_of(interaction).service.forget_member(interaction.user.id)
        await interaction.edit_original_response(content=words.FORGOTTEN, view=None)


def sure_view(member_id: int) -> discord.ui.View:
    """Under the question."""
    return still(control("forget", member_id, label="Erase everything", style=discord.ButtonStyle.danger))
