"""The host's /draw, and a command of its own that is named like one of ours."""

import io

import discord
from discord import app_commands
from discord.ext import commands
from PIL import Image

from bot import GREETING
from tilestep.cogs.upscale import UpscaleButton


class Drawing(commands.Cog):
    @app_commands.command()
    async def draw(self, interaction: discord.Interaction) -> None:
        """Draws a square."""
        data = io.BytesIO()
        Image.new("RGB", (24, 16), "teal").save(data, "PNG")
        data.seek(0)
        view = discord.ui.View(timeout=60).add_item(UpscaleButton.for_message(owner=interaction.user))
        view.add_item(discord.ui.Button(label="Ours", custom_id="host"))
        await interaction.response.send_message(GREETING, file=discord.File(data, "square.png"), view=view)

    @app_commands.command()
    async def queue(self, interaction: discord.Interaction) -> None:
        """Music."""
        await interaction.response.send_message("No music is waiting.")


async def setup(bot: commands.Bot) -> None:
    await bot.add_cog(Drawing())
