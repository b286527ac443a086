"""The rows of buttons under our messages.

All are dispatched by their custom ids alone (see `controls`), so that discord.py need not remember a view: a view is
stopped before it is sent, and then it has no timer, and nothing is left of it when the extension is unloaded.
"""

from __future__ import annotations

from typing import Any

import discord

from tilestep.bot.jobs import Job
from tilestep.bot.ports import Result
from tilestep.bot.requests import ImagineOptions, Place
from tilestep.bot.runtime import Runtime
from tilestep.cogs import words

Style = discord.ButtonStyle
Button = discord.ui.Button[Any]

A_ROW = 5


def still(*items: discord.ui.Item[Any]) -> discord.ui.View:
    """A view that discord.py neither stores nor times out."""
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    view.stop()
    return view


def custom_id(kind: str, *parts: object) -> str:
    """`tilestep:<kind>:<part>:...`; Discord takes 100 characters."""
    return ":".join(["tilestep", kind, *map(str, parts)])


def control(kind: str, *parts: object, label: str, style: Style = Style.secondary, **extras: Any) -> Button:
    """A button for one of `controls`' classes."""
    return Button(
        label=words.clip(label, words.LABEL_CHARACTERS), custom_id=custom_id(kind, *parts), style=style, **extras
    )


def cancel_view(job: Job) -> discord.ui.View:
    """Under the progress message and under the ephemeral answer to a command."""
    return still(control("cancel", job.id, label="Cancel"))


class Views:
    """What `bot.delivery` hangs under its messages (its `ViewFactory`)."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def progress(self, job: Job) -> discord.ui.View:
        """Under the progress message."""
        return cancel_view(job)

    async def result(self, job: Job, result: Result) -> discord.ui.View:
        """Under a result; where it cannot be upscaled further, the button is disabled and says why."""
        picture = result.pictures[-1]
        place = Place(job.guild_id, job.channel_id, job.parent_channel_id, job.age_restricted, job.upload_limit_bytes)
        offer = await self._runtime.service.offers(job, place, picture.width_px, picture.height_px)
        return result_view(job, len(result.pictures), None if offer.enabled else offer.reason)


def result_view(job: Job, files: int, why_not: str | None) -> discord.ui.View:
    """`files`: how many are posted, the grid included. `why_not`: why they cannot be upscaled."""
    upscales = _upscales(job, files, why_not)
    row = (upscales[-1].row or 0) + (1 if len(upscales) > 1 else 0)
    more = []
    if isinstance(job.options, ImagineOptions):
        more += [control("again", job.id, label="Again", row=row), control("vary", job.id, label="New seed", row=row)]
    if job.recipe:
        more.append(control("recipe", job.id, label="Recipe", row=row))
    return still(*upscales, *more, control("delete", job.id, label="Delete", row=row))


def _upscales(job: Job, files: int, why_not: str | None) -> list[Button]:
    """One button a picture; U1, U2 ... for those of a grid, which is the first file."""
    if why_not is not None:
        return [control("up", job.id, 0, label=words.no_upscale(why_not), disabled=True, row=0)]
    if files == 1:
        return [control("up", job.id, 0, label=words.UPSCALE_LABEL, style=Style.primary, row=0)]
    singles = range(files - 1)
    return [control("up", job.id, n, label=f"U{n + 1}", style=Style.primary, row=n // A_ROW) for n in singles]
