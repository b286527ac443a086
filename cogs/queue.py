"""/queue: my jobs, what I have used of my limits, how busy the bot is."""

from __future__ import annotations

from discord import app_commands
from discord.ext import commands

from tilestep.cogs.context import Interaction, answering, think
from tilestep.cogs.plugin import TilestepCog, add
from tilestep.cogs.waiting import show_queue


class QueueCog(TilestepCog, name="TilestepQueue"):
    """Waiting made bearable."""

    @app_commands.command(name="queue", description="Your jobs, what you have used today, and how busy it is")
    @app_commands.allowed_installs(guilds=True)
    @app_commands.allowed_contexts(guilds=True, dms=True)
    async def queue(self, interaction: Interaction) -> None:
        """Only the member sees it."""
        async with answering(interaction):
            await think(interaction)
            await show_queue(interaction)


async def setup(bot: commands.Bot) -> None:
    """discord.py's entry."""
    await add(bot, QueueCog)
