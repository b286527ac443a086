"""What /queue shows, and its buttons.

| custom id | does |
| --- | --- |
| `tilestep:queue:refresh` | shows it anew |
| `tilestep:queue:<job>` | cancels the job, then shows it anew |
"""

from __future__ import annotations

import discord

from tilestep.cogs import pages, words
from tilestep.cogs.context import Interaction, actor_of, is_age_restricted, runtime_of
from tilestep.cogs.controls import Control, template
from tilestep.cogs.views import control, still

REFRESH = "refresh"
MOST_JOBS = 10
A_ROW = 5


class QueueControl(Control, template=template("queue")):
    """On a member's own ephemeral /queue."""

    async def used(self, interaction: Interaction) -> None:
        await interaction.response.defer()
        if self.rest != REFRESH:
            await runtime_of(interaction).service.cancel(self.job_id(), actor_of(interaction))
        await show_queue(interaction)


async def show_queue(interaction: Interaction) -> None:
    """Fills or refreshes the ephemeral answer."""
    queue = await runtime_of(interaction).service.queue(interaction.guild_id, interaction.user.id)
    jobs = [queued.job for queued in queue.jobs[:MOST_JOBS]]
    buttons = [
        control("queue", job.id, label=f"Cancel {number}", row=number // A_ROW)
        for number, job in enumerate(jobs, start=1)
    ]
    text = pages.queue(queue, MOST_JOBS, is_age_restricted(interaction.channel))
    embed = discord.Embed(title=words.QUEUE_TITLE, description=text)
    view = still(control("queue", REFRESH, label="Refresh", row=0), *buttons)
    await interaction.edit_original_response(content=None, embed=embed, view=view)
