"""The buttons under results and progress: upscale, cancel, delete, recipe."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import discord

from tilestep.bot.endings import NOT_YOURS, UNDELETABLE
from tilestep.bot.errors import NoSuchJob, Undeliverable
from tilestep.bot.requests import UpscaleOptions
from tilestep.cogs import pages, start, words
from tilestep.cogs.context import Interaction, actor_of, answer, runtime_of, think
from tilestep.cogs.controls import Control, is_ephemeral, job_here, template
from tilestep.cogs.sources import Picture, of_job, of_own, owner_of
from tilestep.cogs.views import control
from tilestep.upscaler.errors import InputError, OptionError

ITSELF = "-"
MOST_PICTURES = 10


class UpscaleButton(Control, template=template("up")):
    """*Upscale 2x* under a picture. `UpscaleButton.for_message()` makes one for pictures of the host's own.

    view = discord.ui.View()
    view.add_item(UpscaleButton.for_message(owner=interaction.user))
    await channel.send(file=file, view=view)
    """

    REST: ClassVar[re.Pattern[str]] = re.compile(
        r"(?P<job>[0-9a-z]{20}|-):(?P<picture>[0-9])(?::(?P<owner>[0-9]{1,18}|[1-8][0-9]{18}))?"
    )

    @staticmethod
    def for_message(
        picture: int = 0,
        *,
        owner: discord.abc.Snowflake | None = None,
        label: str = words.UPSCALE_LABEL,
        row: int | None = None,
    ) -> discord.ui.Button[Any]:
        """A button for any message that this bot sends with pictures; `picture` counts them from 0, to 9.

        `owner`: whose picture it is, for servers where only owners may click; by default whoever used the command that
        the message answers. It works in any view, also after the view's timeout and after a restart, as long as
        `tilestep.cogs.upscale` is loaded. Raises OptionError.
        """
        if not 0 <= picture < MOST_PICTURES:
            raise OptionError(f"Picture {picture} is not possible: a message has 0 to {MOST_PICTURES - 1}.")
        parts = (ITSELF, picture) if owner is None else (ITSELF, picture, owner.id)
        return control("up", *parts, label=label, style=discord.ButtonStyle.primary, row=row)

    async def used(self, interaction: Interaction) -> None:
        match = self.REST.fullmatch(self.rest)
        if match is None:
            raise NoSuchJob(words.STRAY)
        private = is_ephemeral(interaction)
        if private:
            await think(interaction)
        else:
            await interaction.response.defer()
        picture = await _picture(interaction, match)
        await start.upscale(interaction, picture, UpscaleOptions(), "button", private)


class CancelButton(Control, template=template("cancel")):
    """For the requester and for moderators."""

    async def used(self, interaction: Interaction) -> None:
        await interaction.response.defer()
        job = await runtime_of(interaction).service.cancel(self.job_id(), actor_of(interaction))
        said = words.CANCELLED if job.state == "cancelled" else words.OVER_ALREADY
        if is_ephemeral(interaction) and job.state == "cancelled":
            await interaction.edit_original_response(content=said, view=None, attachments=[])
        else:  # the message may be the result by now
            await answer(interaction, said)


class DeleteButton(Control, template=template("delete")):
    """For the requester and for moderators, also when the job's row is gone and only the message tells whose it was."""

    async def used(self, interaction: Interaction) -> None:
        await interaction.response.defer()
        runtime, actor, message = runtime_of(interaction), actor_of(interaction), interaction.message
        if message and not await runtime.jobs.knows(self.job_id()):
            owned = actor.id == owner_of(message) or isinstance(interaction.channel, discord.DMChannel)
            if not owned and not actor.moderates(interaction.guild_id):
                raise NoSuchJob(NOT_YOURS)
            if not is_ephemeral(interaction):
                await _delete(message)
        else:
            job = await job_here(interaction, self.job_id())
            await runtime.service.delete_result(job.id, actor, keep_message=is_ephemeral(interaction))
        if is_ephemeral(interaction):
            await interaction.delete_original_response()
        else:
            await answer(interaction, words.DELETED)


class RecipeButton(Control, template=template("recipe")):
    """Prompt, seed, model and settings, for everybody who sees the picture."""

    async def used(self, interaction: Interaction) -> None:
        await think(interaction)
        job = await job_here(interaction, self.job_id())
        await answer(interaction, pages.recipe(job.recipe) if job.recipe else words.NO_RECIPE)


async def _delete(message: discord.Message) -> None:
    """Raises Undeliverable."""
    try:
        await message.delete()
    except discord.NotFound:
        return
    except discord.HTTPException as error:
        raise Undeliverable(UNDELETABLE) from error


async def _picture(interaction: Interaction, match: re.Match[str]) -> Picture:
    """What the custom id points at: a job's picture, or the message's own once the row is gone. Raises NoSuchJob and
    InputError."""
    message, job_id = interaction.message, match["job"]
    if job_id != ITSELF and await runtime_of(interaction).jobs.knows(job_id):
        pictures = of_job(runtime_of(interaction), await job_here(interaction, job_id), message)
    else:
        pictures = of_own(message, int(match["owner"] or 0)) if message else []
        if job_id != ITSELF and len(pictures) > 1:
            del pictures[0]  # the grid
    index = int(match["picture"])
    if index >= len(pictures):
        raise InputError(words.PICTURE_GONE)
    return pictures[index]
