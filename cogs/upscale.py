"""/upscale, *Apps > Upscale*, and the button for everybody's pictures.

    await bot.load_extension("tilestep.cogs.upscale")

`UpscaleButton.for_message()` makes the button for pictures of the host's own.
"""

from __future__ import annotations

from typing import Literal

import discord
from discord import app_commands
from discord.app_commands import Choice, Range
from discord.ext import commands

from tilestep.bot.requests import ResultFormat, UpscaleOptions
from tilestep.cogs import words
from tilestep.cogs.again import LARGEST_SEED
from tilestep.cogs.buttons import UpscaleButton
from tilestep.cogs.context import Interaction, answering, think
from tilestep.cogs.pick import upscale_one
from tilestep.cogs.plugin import TilestepCog, add
from tilestep.cogs.sources import Picture, behind_link, of_attachment, of_message
from tilestep.upscaler.errors import OptionError

__all__ = ("UpscaleButton", "UpscaleCog", "setup")

QUALITIES = [
    Choice(name="Fast: a quick look", value="fast"),
    Choice(name="Balanced: for nearly everything", value="balanced"),
    Choice(name="Best: slowest, for prints and hard textures", value="best"),
    Choice(name="Faithful: invents nothing", value="faithful"),
]


class UpscaleCog(TilestepCog, name="TilestepUpscale"):
    """Upscaling for members."""

    def context_menus(self) -> list[app_commands.ContextMenu]:
        guilds = app_commands.AppInstallationType(guild=True)
        return [app_commands.ContextMenu(name="Upscale", callback=self.upscale_message, allowed_installs=guilds)]

    @app_commands.command(name="upscale", description="Enlarge a picture")
    @app_commands.describe(
        image="A picture of yours",
        link="Instead of a picture: the link of a message in which this bot posted one",
        scale="How many times larger; 2 by default",
        quality="How much care; the server's default if not given",
        format="File format; a smaller one is taken where the file would be too large to post",
        seed="The same seed gives the same details again",
        private="Only you see the result",
    )
    @app_commands.choices(quality=QUALITIES)
    @app_commands.allowed_installs(guilds=True)
    @app_commands.allowed_contexts(guilds=True, dms=True)
    async def upscale(
        self,
        interaction: Interaction,
        image: discord.Attachment | None = None,
        link: Range[str, 1, 200] | None = None,
        scale: Literal[2, 4, 8] = 2,
        quality: str | None = None,
        format: ResultFormat = "png",
        seed: Range[int, 0, LARGEST_SEED] | None = None,
        private: bool = False,
    ) -> None:
        """An attachment, or a message of ours."""
        async with answering(interaction):
            await think(interaction)
            options = UpscaleOptions(scale=scale, quality=quality, format=format, seed=seed)
            await upscale_one(interaction, await _pictures(interaction, image, link), options, "command", private)

    async def upscale_message(self, interaction: Interaction, message: discord.Message) -> None:
        """Anybody's picture: Discord hands us the message that the menu was opened on."""
        async with answering(interaction):
            await think(interaction)
            await upscale_one(interaction, await of_message(interaction, message), UpscaleOptions(), "menu", False)


async def _pictures(interaction: Interaction, image: discord.Attachment | None, link: str | None) -> list[Picture]:
    if image is not None and link is not None:
        raise OptionError(words.BOTH_GIVEN)
    if image is not None:
        return [of_attachment(image)]
    if link is None:
        raise OptionError(words.NOTHING_GIVEN)
    return await behind_link(interaction, link)


async def setup(bot: commands.Bot) -> None:
    """discord.py's entry."""
    await add(bot, UpscaleCog)
