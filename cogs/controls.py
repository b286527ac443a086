"""Buttons and selects that outlive a restart: the custom id says what they are for, the database has the rest.

| custom id | class | does |
| --- | --- | --- |
| `tilestep:up:<job or ->:<picture>[:<owner>]` | UpscaleButton | upscales a picture by 2; `-`: of the message itself |
| `tilestep:cancel:<job>` | CancelButton | cancels a job |
| `tilestep:delete:<job>` | DeleteButton | deletes a result |
| `tilestep:recipe:<job>` | RecipeButton | shows how a picture was made |
| `tilestep:again:<job>` | AgainButton | the recipe again, with changes |
| `tilestep:vary:<job>` | VaryButton | the recipe with another seed |
| `tilestep:pick:<key>` | PickSelect | which picture of a message |
| `tilestep:queue:<what>` | QueueControl | refreshes /queue, cancels there |
| `tilestep:limits:<what>[:<setting>]` | PanelControl | the panel of an admin |
| `tilestep:forget:<member>` | ForgetButton | erases a member's data |
| anything else of ours | StrayControl | says so |

A custom id is data from outside: whatever it says, the job must belong to this message, server and member.
"""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from tilestep.bot.errors import NoSuchJob
from tilestep.bot.jobs import Job
from tilestep.cogs import words
from tilestep.cogs.context import Interaction, answering, runtime_of

KINDS = ("up", "cancel", "delete", "recipe", "again", "vary", "pick", "queue", "limits", "forget")
JOB_ID = re.compile(r"[0-9a-z]{20}")


def template(kind: str) -> str:
    """Every custom id of a kind, also with rubbish behind it, so that rubbish is answered too."""
    return rf"tilestep:{kind}:(?P<rest>[\s\S]*)"


class Control(discord.ui.DynamicItem[discord.ui.Item[Any]], template=r"(?!)"):
    """What ours have in common: only parsed when they are made; every use is answered, also when it goes wrong."""

    def __init__(self, item: discord.ui.Item[Any], rest: str = "") -> None:
        super().__init__(item)
        self.rest = rest

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """Discord's way in."""
        return cls(item, match["rest"])

    async def callback(self, interaction: Interaction) -> None:
        """Discord's second way in."""
        async with answering(interaction):
            await self.used(interaction)

    async def used(self, interaction: Interaction) -> None:
        """What it does. Raises errors in words."""
        raise NoSuchJob(words.STRAY)

    def job_id(self) -> str:
        """The rest of the custom id. Raises NoSuchJob where it cannot be a job's."""
        if not JOB_ID.fullmatch(self.rest):
            raise NoSuchJob(words.STRAY)
        return self.rest

    @property
    def values(self) -> list[Any]:
        """What was chosen, if this is a select."""
        return list(getattr(self.item, "values", ()))


class StrayControl(Control, template=rf"tilestep:(?!(?:{'|'.join(KINDS)}):)(?P<rest>[\s\S]*)"):
    """Begins like one of ours and is none: answered in words instead of not at all."""


def is_ephemeral(interaction: Interaction) -> bool:
    """The control is on a message that only this member sees."""
    return interaction.message is not None and interaction.message.flags.ephemeral


async def job_here(interaction: Interaction, job_id: str) -> Job:
    """The job whose result this message is. Raises NoSuchJob if it is another's, another server's or none at all."""
    job = await runtime_of(interaction).jobs.get(job_id)
    message = interaction.message
    in_own_dm = interaction.guild_id is None and job.requester_id == interaction.user.id
    here = job.guild_id == interaction.guild_id or in_own_dm
    this_message = job.result_message_id is None or (message is not None and message.id == job.result_message_id)
    if not here or not this_message or (job.private and job.requester_id != interaction.user.id):
        raise NoSuchJob(words.NOT_THIS_MESSAGE)
    return job
