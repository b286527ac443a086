"""Sends, finds, edits and deletes single messages by channel id, patiently: no gateway and no cache are needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, TypeVar

import aiohttp
import discord
from discord.http import Route, handle_message_parameters

from tilestep.bot.errors import Undeliverable
from tilestep.bot.job import Job
from tilestep.bot.posting import Retry, Verdict, may_pass, verdict, why
from tilestep.bot.requests import Reply

log = logging.getLogger(__name__)
T = TypeVar("T")

TROUBLE = (discord.HTTPException, discord.RateLimited, aiohttp.ClientError, OSError, TimeoutError)
"""What a request may raise: an answer of Discord, or none."""
NO_MENTIONS = discord.AllowedMentions.none()
CLOCKS_DIFFER = timedelta(minutes=10)
MESSAGES_LOOKED_THROUGH = 2000
UNREACHABLE = "Discord cannot be reached at the moment; the result waits here and is posted when it can."
TOKEN_REFUSED = "Discord does not accept the bot's token any more; the result waits here until the operator mends that."
DELETED = "It was posted, and somebody has deleted it since."


class NotHere(Exception):  # noqa: N818
    """This place refuses; another may not. The text is the end of a sentence: "because ..."."""

    def __init__(self, words: str, again_later: bool = False) -> None:
        super().__init__(words)
        self.again_later = again_later


class TooLarge(Exception):  # noqa: N818
    """A file is larger than this place takes."""


@dataclass(frozen=True)
class Target:
    """Where a message goes: a channel by its id, or the answer to a command that only the member sees."""

    kind: Literal["channel", "parent", "dm", "reply"]
    channel_id: int
    reply: Reply | None = None


@dataclass(frozen=True)
class Draft:
    """A message to be sent. `files` opens them anew for each try; `source`: the message that it answers."""

    content: str
    nonce: str
    files: Callable[[], list[discord.File]] = list
    view: discord.ui.View | None = None
    source: discord.MessageReference | None = None


@dataclass(frozen=True)
class Sent:
    """A message that is there. `files`: name and size in bytes of each."""

    channel_id: int
    message_id: int
    files: tuple[tuple[str, int], ...] = ()


Recognises = Callable[[discord.Message], bool]


class Sender:
    """Requests to Discord through the client's own HTTP, which keeps to its rate limits."""

    def __init__(self, client: discord.Client, retry: Retry) -> None:
        self.client, self._retry = client, retry

    async def send(self, target: Target, draft: Draft, job: Job, recognises: Recognises, sent_before: bool) -> Sent:
        """Posts once. After a failure, and where it was `sent_before`, the channel is looked through first.

        Raises NotHere, TooLarge, and Undeliverable when Discord cannot be reached or it was posted and deleted.
        """
        draft_now, reopened = draft, False
        while True:
            try:
                return await self._send(target, draft_now, job, recognises, sent_before)
            except discord.HTTPException as error:
                what = verdict(error.status, error.code)
                if draft_now.source and (what is Verdict.NO_REPLY or "message_reference" in error.text):
                    draft_now = replace(draft_now, source=None)
                elif what is Verdict.ARCHIVED and not reopened and await self._reopen(target.channel_id):
                    reopened = True
                else:
                    raise self.refusal(error, target) from error

    async def _send(self, target: Target, draft: Draft, job: Job, recognises: Recognises, sent_before: bool) -> Sent:
        look = sent_before

        async def attempt() -> Sent:
            nonlocal look
            if look and not target.reply and (found := await self.find(target.channel_id, job, recognises)):
                return found
            look = True
            return await self.send_once(target, draft)

        return await self.insist(attempt)

    async def send_once(self, target: Target, draft: Draft) -> Sent:
        """One try. Raises what the client raises."""
        if target.reply:
            return await self.edit_reply(target, draft.content, draft.files(), draft.view)
        extras: dict[str, Any] = {"view": draft.view} if draft.view else {}
        if draft.source:
            extras["reference"] = draft.source
        message = await self.client.get_partial_messageable(target.channel_id).send(
            draft.content,
            files=draft.files(),
            nonce=draft.nonce,
            allowed_mentions=NO_MENTIONS,
            suppress_embeds=True,
            **extras,
        )
        return sent(message)

    async def find(self, channel_id: int, job: Job, recognises: Recognises) -> Sent | None:
        """Our own message since the job began; None too where old messages cannot be read."""
        user = self.client.user
        channel = self.client.get_partial_messageable(channel_id)
        since = job.created_at - CLOCKS_DIFFER
        with contextlib.suppress(discord.Forbidden, discord.NotFound):
            async for message in channel.history(limit=MESSAGES_LOOKED_THROUGH, after=since, oldest_first=True):
                if user and message.author.id == user.id and recognises(message):
                    return sent(message)
        return None

    async def edit(self, sent_to: Target, message_id: int, content: str, changes: dict[str, Any]) -> int:
        """Edits a message, or the answer to a command; `changes`: `attachments`, `view`. Gives its id."""
        if sent_to.reply:
            return (await self.edit_reply(sent_to, content, changes.get("attachments"), changes.get("view"))).message_id
        message = self.client.get_partial_messageable(sent_to.channel_id).get_partial_message(message_id)
        return (await message.edit(content=content, allowed_mentions=NO_MENTIONS, **changes)).id

    async def edit_reply(
        self, target: Target, content: str, files: Sequence[discord.File] | None, view: discord.ui.View | None
    ) -> Sent:
        """Edits the answer to a command, by the interaction's token; `files` None leaves those that are there."""
        assert target.reply is not None
        attachments: Any = discord.utils.MISSING if files is None else files
        with handle_message_parameters(
            content=content, attachments=attachments, view=view, allowed_mentions=NO_MENTIONS
        ) as params:
            route = Route(
                "PATCH",
                "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
                webhook_id=target.reply.application_id,
                webhook_token=target.reply.token,
            )
            body: dict[str, Any] = {"json": params.payload}
            if params.files:
                body = {"files": params.files, "form": params.multipart}
            data = await self.client.http.request(route, **body)
        named = tuple((file["filename"], file["size"]) for file in data.get("attachments", ()))
        return Sent(target.channel_id, int(data["id"]), named)

    async def delete(self, channel_id: int, message_id: int) -> None:
        """Deletes a message; one that is gone already is no error."""
        message = self.client.get_partial_messageable(channel_id).get_partial_message(message_id)
        with contextlib.suppress(discord.NotFound):
            await self.insist(message.delete)

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks again while the trouble may pass. Raises what Discord refuses as it is, and Undeliverable at last."""
        tried = 0
        while True:
            tried += 1
            try:
                return await ask()
            except TROUBLE as error:
                if not _passes(error):
                    raise
                wait_s = self._retry.wait_s(tried, _told_s(error))
                if wait_s is None:
                    raise Undeliverable(UNREACHABLE, again_later=True) from error
                log.info("Discord did not take a request (%s), again in %.1f s", error, wait_s)
            await asyncio.sleep(wait_s)

    def refusal(self, error: discord.HTTPException, target: Target) -> Exception:
        """What an answer of Discord means for this place."""
        what = verdict(error.status, error.code)
        if what is Verdict.SMALLER:
            return TooLarge()
        if target.kind == "reply":
            return NotHere("the 15 minutes are over in which the answer to a command can be changed")
        if error.status == 401:
            return Undeliverable(TOKEN_REFUSED, again_later=True)
        if what is Verdict.DELETED:
            return Undeliverable(DELETED)
        words = why(error.code, error.text, missing_permissions(self.client, target.channel_id))
        return NotHere(words, may_pass(error.code))

    async def _reopen(self, channel_id: int) -> bool:
        """Opens an archived thread again, where that is allowed."""
        try:
            thread = await self.client.fetch_channel(channel_id)
            if isinstance(thread, discord.Thread):
                await thread.edit(archived=False)
                return True
        except discord.HTTPException as error:
            log.info("thread %d stays archived: %s", channel_id, error)
        return False


def sent(message: discord.Message) -> Sent:
    """What is known of a message that is there."""
    files = tuple((file.filename, file.size) for file in message.attachments)
    return Sent(message.channel.id, message.id, files)


def missing_permissions(client: discord.Client, channel_id: int) -> tuple[str, ...]:
    """What we lack to post pictures there, in Discord's words; empty too where the client does not know."""
    channel = client.get_channel(channel_id)
    if channel is None or isinstance(channel, discord.abc.PrivateChannel) or channel.guild.me is None:
        return ()
    if isinstance(channel, discord.Thread) and channel.parent is None:
        return ()
    threaded = isinstance(channel, discord.Thread)
    needed = ("view_channel", "send_messages_in_threads" if threaded else "send_messages", "attach_files")
    granted = channel.permissions_for(channel.guild.me)
    return tuple(name.replace("_", " ").title() for name in needed if not getattr(granted, name))


def _passes(error: Exception) -> bool:
    if isinstance(error, discord.HTTPException):
        return verdict(error.status, error.code) is Verdict.AGAIN
    return not isinstance(error, FileNotFoundError)


def _told_s(error: Exception) -> float | None:
    if isinstance(error, discord.RateLimited):
        return error.retry_after
    if not isinstance(error, discord.HTTPException):
        return None
    try:
        return float(error.response.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
