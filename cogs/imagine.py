"""/imagine: new pictures, with the model that the operator set."""

from __future__ import annotations

import re

from discord import app_commands
from discord.app_commands import Choice, Range
from discord.ext import commands

from tilestep.bot.requests import ImagineOptions
from tilestep.cogs import start, words
from tilestep.cogs.again import COG, LARGEST_SEED, MOST_PROMPT
from tilestep.cogs.context import Interaction, answering, think
from tilestep.cogs.plugin import TilestepCog, add
from tilestep.upscaler.errors import OptionError

SIZE = re.compile(r"(\d{2,5})\s*[x×*]\s*(\d{2,5})", re.IGNORECASE)
SHAPES = ((1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16))
SIDES_PX = (512, 768, 1024)
A_STEP_PX = 64


class ImagineCog(TilestepCog, name=COG):
    """New pictures for members."""

    @app_commands.command(name="imagine", description="Make new pictures from a description")
    @app_commands.describe(
        prompt="What should be seen",
        negative_prompt="What should not be seen",
        size="Width x height in pixels, as 768x512; the model's own if not given",
        steps="Denoising steps; the model's own if not given",
        guidance="How closely to follow the prompt; the model's own if not given",
        seed="The same seed and settings give the same picture again",
        count="How many pictures; with several, a grid of all comes first",
        private="Only you see the result",
    )
    @app_commands.allowed_installs(guilds=True)
    @app_commands.allowed_contexts(guilds=True, dms=True)
    async def imagine(
        self,
        interaction: Interaction,
        prompt: Range[str, 1, MOST_PROMPT],
        negative_prompt: Range[str, 1, MOST_PROMPT] | None = None,
        size: Range[str, 3, 15] | None = None,
        steps: Range[int, 1, 1000] | None = None,
        guidance: Range[float, 0, 100] | None = None,
        seed: Range[int, 0, LARGEST_SEED] | None = None,
        count: Range[int, 1, 9] = 1,
        private: bool = False,
    ) -> None:
        """The service knows the bounds that the model and the operator set."""
        async with answering(interaction):
            await think(interaction)
            width_px, height_px = parse_size(size)
            options = ImagineOptions(
                prompt.strip(), (negative_prompt or "").strip(), width_px, height_px, steps, guidance, seed, count
            )
            await start.say_accepted(interaction, await start.imagine(interaction, options, "command", private))

    @imagine.autocomplete("size")
    async def sizes(self, interaction: Interaction, typed: str) -> list[Choice[str]]:
        """Usual shapes as large as the model was made for, within the operator's bound."""
        typed = typed.replace(" ", "").lower()
        longest_px = self.runtime.settings.max_image_side_px
        offered = [
            size for size in usual_sizes(self.runtime.model.size_px) if max(map(int, size.split("x"))) <= longest_px
        ]
        return [Choice(name=size, value=size) for size in offered if size.startswith(typed)][:25]


def usual_sizes(model_px: tuple[int, int] | None = None) -> list[str]:
    """'512x512', '704x512' ...: common shapes, with the shorter side as models know it, at most the model's own.

    A model of smaller pictures than that knows its own size only.
    """
    most_px = min(model_px or SIDES_PX[-1:])
    if model_px and most_px < SIDES_PX[0]:
        return ["{}x{}".format(*model_px)]
    sizes = []
    for side_px in (side for side in SIDES_PX if side <= most_px):
        for across, down in SHAPES:
            longer_px = round(side_px * max(across, down) / min(across, down) / A_STEP_PX) * A_STEP_PX
            width_px, height_px = (longer_px, side_px) if across >= down else (side_px, longer_px)
            sizes.append(f"{width_px}x{height_px}")
    return sizes


def parse_size(text: str | None) -> tuple[int | None, int | None]:
    """(width, height) in pixels; (None, None) for nothing. Raises OptionError."""
    if text is None:
        return None, None
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise OptionError(words.BAD_SIZE)
    return int(match[1]), int(match[2])


async def setup(bot: commands.Bot) -> None:
    """discord.py's entry."""
    await add(bot, ImagineCog)
