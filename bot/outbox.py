"""The end of a job, told to Discord first and written into its row last, so that a crash in between repeats the telling
(which `Messages` makes harmless) and never loses it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from tilestep.bot.crew import in_thread
from tilestep.bot.disk import ResultFiles
from tilestep.bot.errors import NoSuchJob, Undeliverable
from tilestep.bot.guilds import GuildStore
from tilestep.bot.images import safe_name
from tilestep.bot.job import OPEN_STATES, Job, JobState
from tilestep.bot.jobs import JobStore
from tilestep.bot.live import Live
from tilestep.bot.ports import Messages, Posted, Result, ResultPicture
from tilestep.bot.settings import Settings
from tilestep.upscaler.errors import OutputError

log = logging.getLogger(__name__)

FIRST_RETRY_S = 30.0
LONGEST_RETRY_S = 900.0
KEEP_TRYING = timedelta(hours=24)
ORIGINAL = "original-"


class Outbox:
    """Posts results, tells of failures, and puts away what is no longer needed."""

    def __init__(
        self,
        settings: Settings,
        jobs: JobStore,
        guilds: GuildStore,
        messages: Messages,
        files: ResultFiles,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._jobs, self._guilds = settings, jobs, guilds
        self._messages, self._files, self._clock = messages, files, clock

    async def deliver(self, live: Live) -> None:
        """Posts the result of a job that is rendered, however long Discord is down. Raises Undeliverable."""
        posted = await self._post(live)
        job = live.job
        await self.end_progress(job)
        await self._put_source_away(job)
        fields = {"result_channel_id": posted.channel_id, "result_message_id": posted.message_id}
        delivered = await self._jobs.move(job.id, "delivered", expect={"rendered"}, **fields)
        live.is_sending = False
        if delivered is None:
            await self._messages.delete_message(posted.channel_id, posted.message_id)
            return
        live.take(delivered)
        log.info("job %s is delivered", job.id)
        if not self._settings.keep_results_days:
            await self._delete_files(job.id)

    async def close(self, job: Job, state: JobState, words: str) -> Job | None:
        """Ends a job that cannot be finished: its member is told why. None if it was over already.

        The words are in the row before they are said: found there after a crash, they are said again.
        """
        if job.error is None:
            marked = await self._jobs.move(job.id, job.state, expect={job.state}, error=words, posting=True)
            if marked is None:
                return None
            job = replace(marked, posting=False, progress_message_id=job.progress_message_id)
        if not await self._tell(job, words):
            log.warning("the member of job %s cannot be told: %s", job.id, words)
        await self.end_progress(job, words if job.private else "")
        await self.put_away(job.id)
        return await self._jobs.move(job.id, state, expect=OPEN_STATES)

    async def withdrawn(self, job: Job, words: str = "") -> None:
        """Clears up after a job that somebody cancelled; `words` for its member, if it was somebody else."""
        if words:
            await self._tell(job, words)
        await self.end_progress(job, (words or "Cancelled.") if job.private else "")
        await self.put_away(job.id)

    async def delete_files(self, job_ids: Iterable[str]) -> None:
        """Of jobs whose rows are gone."""
        for job_id in job_ids:
            await self._delete_files(job_id)

    async def put_away(self, job_id: str) -> None:
        """Removes source and files."""
        await self._jobs.drop_source(job_id)
        await self._delete_files(job_id)

    async def end_progress(self, job: Job, words: str = "") -> None:
        """The progress message goes, or keeps the words."""
        try:
            await self._messages.end_progress(job, words)
        except Exception:
            log.exception("the progress message of job %s cannot be ended", job.id)

    async def _tell(self, job: Job, words: str) -> bool:
        try:
            return await self._messages.tell(job, words)
        except Exception:
            log.exception("the member of job %s cannot be told", job.id)
            return False

    async def _post(self, live: Live) -> Posted:
        delay_s = FIRST_RETRY_S
        while True:
            job = live.job
            if not job.posting:
                await self._jobs.update(job.id, posting=True)
            try:
                return await self._post_once(live, job)
            except Undeliverable as error:
                finished = job.updated_at if job.state == "rendered" else job.created_at
                if live.withdrawn or not error.again_later or self._clock() - finished > KEEP_TRYING:
                    raise
                log.warning("job %s is not delivered yet: %s", job.id, error)
            live.take(replace(job, posting=True))
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_RETRY_S)

    async def _post_once(self, live: Live, job: Job) -> Posted:
        live.is_sending = True
        try:
            return await self._messages.post(job, self._result(job))
        except BaseException:
            live.is_sending = False
            raise

    def _result(self, job: Job) -> Result:
        pictures = tuple(
            ResultPicture(self._files.path(job.id, file.name), file.width_px, file.height_px, file.description)
            for file in job.result
        )
        return Result(pictures, job.spoiler, job.note)

    async def _put_source_away(self, job: Job) -> None:
        """Where the guild keeps originals, the source lies beside the result for as long as that is kept."""
        limits = await self._guilds.limits(job.guild_id)
        if limits.keep_originals and not job.private and job.source_filename and self._settings.keep_results_days:
            with suppress(NoSuchJob, OutputError):
                data = await self._jobs.source(job.id)
                name = safe_name(ORIGINAL + safe_name(job.source_filename))
                await in_thread(self._files.write, job.id, name, data)
        await self._jobs.drop_source(job.id)

    async def _delete_files(self, job_id: str) -> None:
        try:
            await in_thread(self._files.delete, job_id)
        except OutputError as error:
            log.warning("%s", error)
