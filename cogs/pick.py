"""Which picture of several: an ephemeral select.

What other people posted cannot be fetched again by id, so the choices wait in memory, for as long as the interaction
lives; after that, or after a restart, the select says to open the menu again.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import discord

from tilestep.bot.errors import NoSuchJob
from tilestep.bot.requests import UpscaleOptions, Via
from tilestep.cogs import start, words
from tilestep.cogs.context import Interaction, answer, runtime_of, think
from tilestep.cogs.controls import Control, template
from tilestep.cogs.sources import Picture
from tilestep.cogs.views import custom_id, still
from tilestep.upscaler.errors import InputError

MOST_CHOICES = 500

_choices: WeakKeyDictionary[Any, Choices] = WeakKeyDictionary()


@dataclass(frozen=True)
class Choice:
    """What a member asked for, but for which picture."""

    member_id: int
    pictures: tuple[Picture, ...]
    options: UpscaleOptions
    via: Via
    private: bool


@dataclass(eq=False)
class Choices:
    """The newest of all choices that are open, in one bot."""

    open: OrderedDict[str, Choice] = field(default_factory=OrderedDict)

    def keep(self, choice: Choice) -> str:
        """Gives the key under which the choice is found again."""
        key = secrets.token_urlsafe(12)
        self.open[key] = choice
        while len(self.open) > MOST_CHOICES:
            self.open.popitem(last=False)
        return key


class PickSelect(Control, template=template("pick")):
    """Upscales the chosen picture. The choice stays open: another picture of the message may follow."""

    async def used(self, interaction: Interaction) -> None:
        await think(interaction)
        choice = choices_of(interaction).open.get(self.rest)
        if choice is None or choice.member_id != interaction.user.id:
            raise NoSuchJob(words.STALE_CHOICE)
        index = next((int(value) for value in self.values if value.isdecimal()), -1)
        if not 0 <= index < len(choice.pictures):
            raise NoSuchJob(words.STALE_CHOICE)
        job = await start.upscale(interaction, choice.pictures[index], choice.options, choice.via, choice.private)
        await start.say_accepted(interaction, job)


def choices_of(interaction: Interaction) -> Choices:
    """Of this bot. Raises Refused while none of our extensions is loaded."""
    return _choices.setdefault(runtime_of(interaction), Choices())


async def upscale_one(
    interaction: Interaction, pictures: list[Picture], options: UpscaleOptions, via: Via, private: bool
) -> None:
    """Starts on the only picture, or asks which; the interaction is deferred already. Raises InputError for none."""
    if not pictures:
        raise InputError(words.NO_PICTURE)
    if len(pictures) == 1:
        job = await start.upscale(interaction, pictures[0], options, via, private)
        await start.say_accepted(interaction, job)
        return
    key = choices_of(interaction).keep(Choice(interaction.user.id, tuple(pictures), options, via, private))
    await answer(interaction, words.WHICH, view=still(_select(key, pictures)))


def _select(key: str, pictures: list[Picture]) -> discord.ui.Select[Any]:
    select: discord.ui.Select[Any] = discord.ui.Select(custom_id=custom_id("pick", key), placeholder=words.WHICH_HINT)
    for index, picture in enumerate(pictures):
        label, size = words.picture_option(index + 1, picture.filename, picture.width_px, picture.height_px)
        select.add_option(label=label, description=size, value=str(index))
    return select
