"""Housekeeping: what is kept for a time is removed after it; a killed process's leftovers are removed at the start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from tilestep.bot.crew import in_thread
from tilestep.bot.disk import ResultFiles
from tilestep.bot.jobs import JobStore
from tilestep.bot.settings import Settings
from tilestep.upscaler.errors import OutputError, TilestepError

log = logging.getLogger(__name__)

EVERY_S = 600.0


class Upkeep:
    """Removes old results and records every ten minutes."""

    def __init__(self, settings: Settings, jobs: JobStore, files: ResultFiles, clock: Callable[[], datetime]) -> None:
        self._settings, self._jobs, self._files, self._clock = settings, jobs, files, clock

    async def run(self) -> None:
        """Goes on until it is cancelled; what cannot be removed now is tried again."""
        while True:
            try:
                await self.once()
            except TilestepError as error:
                log.warning("old results are not removed: %s", error)
            except Exception:
                log.exception("old results are not removed")
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """Results by age and by the space they take, then records by age. Raises DatabaseError."""
        settings = self._settings
        needed = {job.id for job in await self._jobs.open_jobs()}
        gone = await in_thread(self._files.prune, settings.keep_results_days, settings.keep_results_mib, needed)
        old = await self._jobs.prune(self._clock() - timedelta(days=settings.keep_jobs_days))
        for job_id in old:
            await in_thread(self._delete, job_id)
        if gone or old:
            log.info("removed %d old results and %d old records", len(gone), len(old))

    def _delete(self, job_id: str) -> None:
        """What cannot be removed is older than anything is kept, so it is tried again with the results."""
        try:
            self._files.delete(job_id)
        except OutputError as error:
            log.warning("%s", error)
