"""While a job is waiting and working: its progress message, and the GPU time that it has used so far."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from tilestep.bot.errors import DatabaseError
from tilestep.bot.images import preview
from tilestep.bot.jobs import JobStore
from tilestep.bot.live import Live, Standings
from tilestep.bot.ports import JobProgress, Messages
from tilestep.bot.rendering import Renderer
from tilestep.bot.settings import Settings
from tilestep.upscaler.errors import OutputError

log = logging.getLogger(__name__)

LAST_WORD_S = 15.0
LOOKS_WHILE_WAITING = 5
"""A place in the queue is told anew less often than how far the work is: Discord bounds the edits of a bot."""


class Watch:
    """Looks at each job every few seconds; shows only what has changed, and charges as it goes."""

    def __init__(
        self, settings: Settings, jobs: JobStore, messages: Messages, renderer: Renderer, standings: Standings
    ) -> None:
        self._settings, self._jobs, self._messages = settings, jobs, messages
        self._renderer, self._standings = renderer, standings

    @contextlib.asynccontextmanager
    async def over(self, live: Live) -> AsyncIterator[None]:
        """Watches while the block runs. What is being shown then is finished, so that its message is not lost."""
        enough = asyncio.Event()
        task = asyncio.create_task(self._look(live, enough))
        try:
            yield
        finally:
            enough.set()
            await asyncio.wait({task}, timeout=LAST_WORD_S)
            task.cancel()
            await asyncio.wait({task})

    async def _look(self, live: Live, enough: asyncio.Event) -> None:
        shown, looks = None, 0
        while not enough.is_set():
            try:
                looks += 1
                still_waits = shown is not None and shown.stage == live.stage == "waiting"
                if not still_waits or looks % LOOKS_WHILE_WAITING == 0:
                    shown = await self._show(live, shown)
                await self._renderer.charge(live)
            except DatabaseError as error:
                log.warning("job %s: %s", live.job.id, error)
            except Exception:
                log.exception("the progress of job %s cannot be shown", live.job.id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), self._settings.progress_seconds)

    async def _show(self, live: Live, shown: JobProgress | None) -> JobProgress:
        progress = self._standings.progress(live)
        if shown is not None and _same(progress, shown):
            return shown
        message_id = await self._messages.show_progress(live.job, await self._with_preview(live, progress))
        if message_id is not None and message_id != live.job.progress_message_id:
            live.shown(message_id)
            fields = {"progress_channel_id": live.job.channel_id, "progress_message_id": message_id}
            await self._jobs.update(live.job.id, **fields)
        return progress

    async def _with_preview(self, live: Live, progress: JobProgress) -> JobProgress:
        if live.small is None or not progress.done:
            return progress
        try:
            return replace(progress, preview=await preview(live.small(), self._settings.preview_px))
        except OutputError:
            return progress


def _same(one: JobProgress, other: JobProgress) -> bool:
    """The same but for the time left, which changes by itself."""
    return replace(one, seconds_left=None) == replace(other, seconds_left=None)
