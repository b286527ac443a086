"""Where a message about a job may go, in order: where it was asked for, a thread's parent, the member alone.

What only the member is to see goes to nobody else. What is age-restricted goes to such channels or to the member alone.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import discord

from tilestep.bot.delivery_send import NotHere, Sender, Target
from tilestep.bot.job import Job

REPLY_MARGIN_S = 5.0
NO_LONGER_RESTRICTED = "that channel is no longer age-restricted"


def reply_target(job: Job) -> Target | None:
    """The answer to the member's command, while it can still be changed."""
    reply = job.reply
    if not job.private or reply is None or time.time() > reply.expires_at - REPLY_MARGIN_S:
        return None
    return Target("reply", job.channel_id, reply)


def source_of(job: Job, channel_id: int) -> discord.MessageReference | None:
    """The message with the source, where it lies in the channel that is posted to; it need not exist any more."""
    if job.source_message_id is None or job.source_channel_id != channel_id:
        return None
    return discord.MessageReference(message_id=job.source_message_id, channel_id=channel_id, fail_if_not_exists=False)


class Places:
    """Looks at channels, through the client's cache where it has one."""

    def __init__(self, sender: Sender) -> None:
        self._sender, self._client = sender, sender.client

    async def of(self, job: Job, parents: bool = True) -> AsyncGenerator[Target, None]:
        """Each is worked out when it is asked for: when those before it have refused.

        `parents`: a public thread's channel is among them. Raises NotHere from the direct message, which is the last.
        """
        if reply := reply_target(job):
            yield reply
        if not job.private:
            yield Target("channel", job.channel_id)
            if parents and (parent := await self._public_parent(job)):
                yield Target("parent", parent)
        if job.private or job.guild_id is not None:
            yield await self._direct(job.requester_id)

    async def check(self, job: Job, target: Target) -> None:
        """Raises NotHere where an age-restricted picture must not go."""
        if not job.age_restricted or job.guild_id is None or target.kind not in ("channel", "parent"):
            return
        try:
            channel = await self._look(job.parent_channel_id or job.channel_id)
        except discord.HTTPException as error:
            raise self._sender.refusal(error, target) from error
        if not getattr(channel, "nsfw", False):
            raise NotHere(NO_LONGER_RESTRICTED)

    async def _public_parent(self, job: Job) -> int | None:
        """The channel of a thread that everybody there may read; None where that cannot be known."""
        if job.parent_channel_id is None:
            return None
        try:
            thread = await self._look(job.channel_id)
        except discord.HTTPException:
            return None
        public = isinstance(thread, discord.Thread) and not thread.is_private()
        return job.parent_channel_id if public else None

    async def _direct(self, member_id: int) -> Target:
        try:
            channel = await self._sender.insist(lambda: self._client.create_dm(discord.Object(member_id)))
        except discord.HTTPException as error:
            raise self._sender.refusal(error, Target("dm", 0)) from error
        return Target("dm", channel.id)

    async def _look(self, channel_id: int) -> object:
        cached = self._client.get_channel(channel_id)
        return cached or await self._sender.insist(lambda: self._client.fetch_channel(channel_id))
