"""Posts to Discord for the service: results once and only once, one progress message a job, and words.

A result is recognised by the job's id at the end of its files' names, and its nonce is the job's id: where a send may
have been begun before, the channel is looked through, and Discord itself takes a nonce only once in a few minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import discord

from tilestep.bot import posting, progress
from tilestep.bot.delivery_places import Places, reply_target, source_of
from tilestep.bot.delivery_progress import ProgressMessages
from tilestep.bot.delivery_send import TROUBLE, Draft, NotHere, Sender, Sent, Target, TooLarge
from tilestep.bot.encoding import Encoded, encode_under
from tilestep.bot.errors import Undeliverable
from tilestep.bot.job import Job
from tilestep.bot.ports import JobProgress, Messages, Posted, Result, ResultPicture
from tilestep.bot.requests import ResultFormat
from tilestep.upscaler.errors import TilestepError

log = logging.getLogger(__name__)

Encode = Callable[[Path, ResultFormat, int, Path, int], Awaitable[Encoded]]
REPLY_OVER = "it took longer than the 15 minutes in which I can answer you alone in the server"
TOO_LARGE = "Discord takes the picture in no size that is worth posting: ask for a smaller scale."


class ViewFactory(Protocol):
    """The buttons under our messages; the cogs provide it. None: no buttons."""

    async def result(self, job: Job, result: Result) -> discord.ui.View | None:
        """Under a result."""

    async def progress(self, job: Job) -> discord.ui.View | None:
        """Under the progress message."""


class Delivery(Messages):
    """Works with a client that is logged in, also without a gateway. `views` may be set and taken away at any time."""

    def __init__(
        self,
        client: discord.Client,
        *,
        views: ViewFactory | None = None,
        encode: Encode = encode_under,
        retry: posting.Retry = posting.Retry(),  # noqa: B008
    ) -> None:
        self.views = views
        self._encode = encode
        self._sender = Sender(client, retry)
        self._places = Places(self._sender)
        self._progress = ProgressMessages(self._sender)

    async def post(self, job: Job, result: Result) -> Posted:
        """Posts the result once, where it was asked for or where else it may go. Raises Undeliverable in words.

        `job.posting`: a send was begun earlier. `Undeliverable.again_later`: it is worth calling this again.
        """
        refused = [NotHere(REPLY_OVER)] if job.private and not reply_target(job) else []
        try:
            async with aclosing(self._places.of(job)) as targets:
                async for target in targets:
                    try:
                        await self._places.check(job, target)
                        return await self._post_to(target, job, result, str(refused[0]) if refused else "")
                    except NotHere as error:
                        refused.append(error)
        except NotHere as error:
            refused.append(error)
        reasons = "; ".join(dict.fromkeys(map(str, refused)))
        later = any(error.again_later for error in refused)
        raise Undeliverable(f"The result cannot be posted: {reasons}.", again_later=later)

    async def tell(self, job: Job, words: str) -> bool:
        """Posts words about the job, once, in its channel or to the member alone. False if impossible."""
        text = progress.told_text(job, words)
        nonce = posting.words_nonce(job, words)
        try:
            async with aclosing(self._places.of(job, parents=False)) as targets:
                async for target in targets:
                    draft = Draft(text, nonce, source=source_of(job, target.channel_id))
                    try:
                        await self._sender.send(target, draft, job, lambda message: message.content == text, True)
                        return True
                    except NotHere as error:
                        log.info("job %s: not told in %d: %s", job.id, target.channel_id, error)
        except (NotHere, TooLarge, Undeliverable) as error:
            log.warning("job %s: its member cannot be told: %s", job.id, error)
        return False

    async def show_progress(self, job: Job, progress: JobProgress) -> int | None:
        """Posts or edits the progress message. None where there is none: it was deleted, or cannot be."""
        view = await self.views.progress(job) if self.views else None
        return await self._progress.show(job, progress, view)

    async def end_progress(self, job: Job, words: str = "") -> None:
        """Deletes the progress message, or leaves the words on it without buttons and preview."""
        await self._progress.end(job, words)

    async def delete_message(self, channel_id: int, message_id: int) -> bool:
        """True if it is gone now."""
        try:
            await self._sender.delete(channel_id, message_id)
        except (*TROUBLE, Undeliverable) as error:
            log.info("message %d in %d cannot be deleted: %s", message_id, channel_id, error)
            return False
        return True

    async def _post_to(self, target: Target, job: Job, result: Result, why: str) -> Posted:
        elsewhere = progress.elsewhere_text(job, target.kind, why)
        view = await self.views.result(job, result) if self.views else None
        limit = min(job.upload_limit_bytes, posting.DM_LIMIT_BYTES if target.kind == "dm" else job.upload_limit_bytes)
        with TemporaryDirectory(prefix="posting-", dir=result.pictures[0].path.parent) as folder:
            rungs = [0] * len(result.pictures)
            while True:
                files = await self._encoded(job, result, limit, rungs, Path(folder))
                draft = Draft(
                    progress.result_text(job, result, [file.note for file in files], elsewhere),
                    posting.result_nonce(job),
                    partial(_files, job, result, files),
                    view,
                    source_of(job, target.channel_id),
                )
                try:
                    sent = await self._sender.send(target, draft, job, lambda m: _is_result(m, job), job.posting)
                except TooLarge:
                    limit = _next_limit(files)
                    rungs = [file.rung + (file.bytes > limit) for file in files]
                else:
                    return _posted(sent, files, elsewhere)

    async def _encoded(
        self, job: Job, result: Result, limit_bytes: int, rungs: Sequence[int], folder: Path
    ) -> list[Encoded]:
        """Each picture as a file that may be posted."""
        wanted = posting.wanted_format(job)
        try:
            return [
                await self._encode(picture.path, wanted, limit_bytes, folder, rung)
                for picture, rung in zip(result.pictures, rungs, strict=True)
            ]
        except TilestepError as error:
            raise Undeliverable(str(error)) from error


def _files(job: Job, result: Result, encoded: Sequence[Encoded]) -> list[discord.File]:
    count = len(encoded)
    return [
        _file(picture, file.path, posting.file_name(job, number, count, file.format), result.spoiler or job.spoiler)
        for number, (picture, file) in enumerate(zip(result.pictures, encoded, strict=True))
    ]


def _file(picture: ResultPicture, path: Path, name: str, spoiler: bool) -> discord.File:
    return discord.File(path, filename=name, spoiler=spoiler, description=picture.description or None)


def _is_result(message: discord.Message, job: Job) -> bool:
    return any(posting.carries(file.filename, job.id) for file in message.attachments)


def _next_limit(files: Sequence[Encoded]) -> int:
    limit = posting.smaller_limit(max(file.bytes for file in files))
    if limit is None:
        raise Undeliverable(TOO_LARGE)
    return limit


def _posted(sent: Sent, files: Sequence[Encoded], elsewhere: str) -> Posted:
    sizes = tuple(size for _, size in sent.files) or tuple(file.bytes for file in files)
    name = sent.files[-1][0] if sent.files else f".{files[-1].format}"
    ending = name.rpartition(".")[2]
    return Posted(sent.channel_id, sent.message_id, sizes, "jpeg" if ending == "jpg" else ending, elsewhere)
