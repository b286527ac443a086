"""After a restart, also after `kill -9`: leftovers are removed, and every job goes on from what its row says.

| state in the row | what is done |
| --- | --- |
| accepted, queued, running | rendered from the source's bytes that lie with the row; given up after three such ends |
| rendered | posted; if a send was begun before, the channel is looked through for it first |
| any of these, with `error` | its member is told (again, if it is not certain that they heard), then it is over |
| delivered, failed, cancelled | nothing but clearing up |
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from tilestep.bot.disk import ResultFiles
from tilestep.bot.errors import DatabaseError
from tilestep.bot.intake import Intake
from tilestep.bot.jobs import JobStore
from tilestep.bot.live import Live
from tilestep.bot.runner import DATABASE_RETRY_S, Runner

log = logging.getLogger(__name__)


class Recovery:
    """Puts the jobs of earlier runs back to work."""

    def __init__(self, jobs: JobStore, files: ResultFiles, intake: Intake, runner: Runner) -> None:
        self._jobs, self._files, self._intake, self._runner = jobs, files, intake, runner
        self._preparing = asyncio.Lock()
        self._prepared = False

    async def prepare(self) -> None:
        """Once, before the first job: removes files that a killed process left half-written."""
        async with self._preparing:
            if not self._prepared:
                await asyncio.to_thread(self._intake.clear)
                await asyncio.to_thread(self._files.sweep)
                self._prepared = True

    async def resume(self) -> None:
        """Begins with all open jobs that this process did not accept itself, in the order of acceptance."""
        resumed = [job for job in await self._jobs.open_jobs() if job.id not in self._runner.lives]
        for job in resumed:
            live = Live(job)
            self._runner.register(live)
            self._runner.launch(live)
        if resumed:
            log.info("going on with %d jobs of an earlier run", len(resumed))

    async def resume_at_last(self) -> None:
        """As `resume`, again and again until the database can be used."""
        while True:
            await asyncio.sleep(DATABASE_RETRY_S)
            with suppress(DatabaseError):
                await self.resume()
                return
