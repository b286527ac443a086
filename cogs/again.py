"""*Again* and *New seed* under pictures that /imagine made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import discord

from tilestep.bot.errors import NoSuchJob, Refused
from tilestep.bot.jobs import Job
from tilestep.bot.requests import ImagineOptions
from tilestep.cogs import start, words
from tilestep.cogs.context import Interaction, answering, ask, is_age_restricted, think
from tilestep.cogs.controls import Control, is_ephemeral, job_here, template
from tilestep.upscaler.errors import OptionError

COG = "TilestepImagine"
MOST_PROMPT = 1500
LARGEST_SEED = 2**32 - 1


class AgainButton(Control, template=template("again")):
    """Shows the recipe, to be changed or not, and makes a picture from it."""

    async def used(self, interaction: Interaction) -> None:
        options = _imagined(await _job(interaction, self.job_id()))
        await ask(interaction, RecipeModal(options, is_ephemeral(interaction)))


class VaryButton(Control, template=template("vary")):
    """The same at once, with another seed."""

    async def used(self, interaction: Interaction) -> None:
        private = is_ephemeral(interaction)
        if private:
            await think(interaction)
        else:
            await interaction.response.defer()
        options = _imagined(await _job(interaction, self.job_id()))
        await start.imagine(interaction, replace(options, seed=None), "button", private)


class RecipeModal(discord.ui.Modal):
    """Prompt, negative prompt and seed; size, steps and the rest stay as they were."""

    def __init__(self, options: ImagineOptions, private: bool) -> None:
        super().__init__(title="Again")
        self._options, self._private = options, private
        self.prompt = _field(words.clip(options.prompt, MOST_PROMPT), MOST_PROMPT, long=True)
        self.negative = _field(words.clip(options.negative_prompt, MOST_PROMPT), MOST_PROMPT, long=True, required=False)
        self.seed = _field("" if options.seed is None else str(options.seed), 10, required=False)
        self.add_item(discord.ui.Label(text="Prompt", component=self.prompt))
        self.add_item(
            discord.ui.Label(text="Negative prompt", description="What should not be seen", component=self.negative)
        )
        self.add_item(discord.ui.Label(text="Seed", description="Empty: a new one", component=self.seed))

    async def on_submit(self, interaction: Interaction) -> None:
        async with answering(interaction):
            await think(interaction)
            options = replace(
                self._options,
                prompt=self.prompt.value.strip(),
                negative_prompt=self.negative.value.strip(),
                seed=parse_seed(self.seed.value),
            )
            job = await start.imagine(interaction, options, "button", self._private)
            await start.say_accepted(interaction, job)


def parse_seed(text: str) -> int | None:
    """None for an empty field. Raises OptionError."""
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > LARGEST_SEED:
        raise OptionError(f"A seed is a whole number from 0 to {LARGEST_SEED}, or nothing for a new one.")
    return int(text)


def _field(value: str, most: int, *, long: bool = False, required: bool = True) -> discord.ui.TextInput[Any]:
    style = discord.TextStyle.paragraph if long else discord.TextStyle.short
    return discord.ui.TextInput(style=style, default=value or None, max_length=most, required=required)


async def _job(interaction: Interaction, job_id: str) -> Job:
    """The job of this message. Raises NoSuchJob, and Refused where /imagine is not loaded."""
    if interaction.client.get_cog(COG) is None:
        raise Refused("off", words.IMAGINE_OFF)
    job = await job_here(interaction, job_id)
    if job.age_restricted and interaction.guild_id and not is_age_restricted(interaction.channel):
        raise Refused("age_restricted", words.WAS_RESTRICTED)
    return job


def _imagined(job: Job) -> ImagineOptions:
    if not isinstance(job.options, ImagineOptions):
        raise NoSuchJob(words.STRAY)
    return job.options
