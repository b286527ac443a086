"""The one progress message of each job: posted, edited, and at last deleted or left with a word."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import Any

import discord

from tilestep.bot import posting, progress
from tilestep.bot.delivery_places import reply_target, source_of
from tilestep.bot.delivery_send import TROUBLE, Draft, Sender, Target
from tilestep.bot.errors import Undeliverable
from tilestep.bot.job import Job, utc_now
from tilestep.bot.ports import JobProgress

log = logging.getLogger(__name__)


@dataclass
class _Shown:
    """A progress message. `message_id` None: deleted by somebody or refused, and not to be posted anew."""

    target: Target
    message_id: int | None


class ProgressMessages:
    """Raises nothing for what Discord refuses: progress is a courtesy. Each update is tried once."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._shown: dict[str, _Shown] = {}
        self._began = utc_now()

    async def show(self, job: Job, standing: JobProgress, view: discord.ui.View | None) -> int | None:
        """Posts or edits the message; gives its id, None where there is none."""
        shown = self._shown.get(job.id) or self._of_row(job)
        try:
            shown = shown or await self._lost(job)
            if shown is None:
                return await self._post(job, standing, view)
            self._shown[job.id] = shown
            return await self._edit(shown, job, standing, view)
        except TROUBLE as error:
            log.info("job %s: progress not shown: %s", job.id, error)
        return shown.message_id if shown else None

    async def end(self, job: Job, words: str) -> None:
        """Deletes the message, or leaves the words on it; the answer to a command is left to the result."""
        shown = self._shown.pop(job.id, None) or self._of_row(job)
        if shown is None or shown.message_id is None:
            return
        target, message_id = shown.target, shown.message_id
        try:
            if words:
                text = progress.told_text(job, words)
                bare: dict[str, Any] = {"attachments": [], "view": None}
                await self._sender.insist(lambda: self._sender.edit(target, message_id, text, bare))
            elif target.reply is None:
                await self._sender.delete(target.channel_id, message_id)
        except (*TROUBLE, Undeliverable) as error:
            log.info("job %s: its progress message stays as it is: %s", job.id, error)

    async def _post(self, job: Job, standing: JobProgress, view: discord.ui.View | None) -> int | None:
        target = Target("channel", job.channel_id)
        files = _preview(job, standing)
        draft = Draft(
            progress.progress_text(job, standing),
            posting.progress_nonce(job),
            lambda: files,
            view,
            source_of(job, job.channel_id),
        )
        message_id = None
        try:
            message_id = (await self._sender.send_once(target, draft)).message_id
        except (discord.NotFound, discord.Forbidden) as error:
            log.info("job %s: no progress message: %s", job.id, error)
        self._shown[job.id] = _Shown(target, message_id)
        return message_id

    async def _edit(self, shown: _Shown, job: Job, standing: JobProgress, view: discord.ui.View | None) -> int | None:
        if shown.message_id is None:
            return None
        files = _preview(job, standing)
        changes: dict[str, Any] = {"view": view} | ({"attachments": files} if files else {})
        text = progress.progress_text(job, standing)
        try:
            shown.message_id = await self._sender.edit(shown.target, shown.message_id, text, changes)
        except (discord.NotFound, discord.Forbidden):
            shown.message_id = None
        return shown.message_id

    def _of_row(self, job: Job) -> _Shown | None:
        """The message that the row knows of, perhaps from before a restart; for a private job the answer it has."""
        if job.private:
            reply = reply_target(job)
            return _Shown(reply or Target("reply", job.channel_id), 0 if reply else None)
        if job.progress_message_id is None:
            return None
        return _Shown(Target("channel", job.progress_channel_id or job.channel_id), job.progress_message_id)

    async def _lost(self, job: Job) -> _Shown | None:
        """A message that was posted just before a crash, and no row knows of."""
        if job.created_at > self._began:
            return None
        mark = progress.progress_mark(job.id)
        found = await self._sender.find(job.channel_id, job, lambda message: message.content.endswith(mark))
        return _Shown(Target("channel", found.channel_id), found.message_id) if found else None


def _preview(job: Job, standing: JobProgress) -> list[discord.File]:
    data = standing.preview
    if not data:
        return []
    name = "preview.png" if data.startswith(b"\x89PNG") else "preview.jpg"
    return [discord.File(io.BytesIO(data), filename=name, spoiler=job.spoiler, description="How far the picture is")]
