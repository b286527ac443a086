"""Takes one job after another from whatever its row says to its end; every way out ends in the row."""

from __future__ import annotations

import asyncio
import logging

from tilestep.bot.crew import Crew
from tilestep.bot.disk import ResultFiles
from tilestep.bot.errors import BotError, DatabaseError, NoSuchJob, Refused
from tilestep.bot.gatekeeper import Gatekeeper
from tilestep.bot.gpu import JobCancelled, SchedulerClosed
from tilestep.bot.job import Job, JobState
from tilestep.bot.jobs import JobStore
from tilestep.bot.live import Live
from tilestep.bot.naming import without_paths
from tilestep.bot.outbox import Outbox
from tilestep.bot.rendering import Renderer
from tilestep.bot.watching import Watch
from tilestep.upscaler.errors import TilestepError

log = logging.getLogger(__name__)

BEFORE_RENDERED: frozenset[JobState] = frozenset({"accepted", "queued", "running"})
MOST_ATTEMPTS = 3
SUSPECT_ATTEMPTS = 2
DATABASE_RETRY_S = 5.0
GAVE_UP = (
    "This job was begun {attempts} times and the bot ended each time in the middle of it, so it is given up: try a "
    "smaller picture, or ask the bot's owner."
)
FAULT = "Something went wrong on our side, not on yours. The bot's owner finds it in the log under job {job}."


class _Elsewhere(Exception):  # noqa: N818
    """Somebody else has moved the job: there is nothing left to do."""


class Runner:
    """Runs jobs as tasks of one crew. `lives`: those that this process takes care of, by id."""

    def __init__(
        self,
        jobs: JobStore,
        gatekeeper: Gatekeeper,
        renderer: Renderer,
        outbox: Outbox,
        files: ResultFiles,
        watch: Watch,
    ) -> None:
        self._jobs, self._gatekeeper, self._renderer = jobs, gatekeeper, renderer
        self._outbox, self._files, self._watch = outbox, files, watch
        self._crew = Crew()
        self._suspects = asyncio.Lock()
        self.lives: dict[str, Live] = {}

    def register(self, live: Live) -> None:
        """This process takes care of the job, from before its row is committed."""
        self.lives[live.job.id] = live

    def forget(self, live: Live) -> None:
        """It does not after all."""
        self.lives.pop(live.job.id, None)
        live.over.set()

    def launch(self, live: Live) -> None:
        """Starts a registered job, from the state that its row has."""
        live.task = self._crew.spawn(self._run(live), f"tilestep job {live.job.id}")

    async def stop(self, grace_s: float) -> None:
        """Gives jobs whose turn has come so many seconds to end. The rows of the others stay open, as before."""
        for live in self.lives.values():
            if live.stage == "waiting" and live.task:
                live.task.cancel()
        tasks = [live.task for live in self.lives.values() if live.task]
        if tasks and grace_s > 0:
            await asyncio.wait(tasks, timeout=grace_s)
        begun = [live.job for live in self.lives.values()]
        await self._crew.close()
        for job in begun:
            if job.state == "running":
                await self._jobs.move(job.id, "accepted", expect={"running"}, attempts=job.attempts - 1)

    async def _run(self, live: Live) -> None:
        try:
            while True:
                try:
                    await self._run_once(live)
                    return
                except DatabaseError as error:
                    log.error("job %s waits for the database: %s", live.job.id, error)
                await asyncio.sleep(DATABASE_RETRY_S)
        finally:
            self.forget(live)

    async def _run_once(self, live: Live) -> None:
        """From the row to the end. Raises DatabaseError alone, after which it may be called again."""
        job_id = live.job.id
        try:
            live.take(await self._jobs.get(job_id))
            await self._drive(live)
        except _Elsewhere:
            log.info("job %s was taken over or cancelled", job_id)
        except DatabaseError:
            raise
        except Refused as refused:
            await self._close(live, "cancelled", f"Your job was not begun: {refused}")
        except (JobCancelled, SchedulerClosed) as error:
            if not self._gatekeeper.stopping:
                await self._close(live, "failed", str(error))
        except TilestepError as error:
            log.info("job %s failed: %s", job_id, error)
            await self._close(live, "failed", without_paths(str(error), self._files.root))
        except Exception:
            log.exception("job %s failed by a fault of ours", job_id)
            await self._close(live, "failed", FAULT.format(job=job_id))

    async def _drive(self, live: Live) -> None:
        job = live.job
        if job.is_over:
            return
        if job.error:
            await self._outbox.close(job, "failed", job.error)
            return
        if job.state == "rendered" and not self._is_on_disk(job):
            live.take(self._still(await self._jobs.move(job.id, "accepted", expect={"rendered"})))
        if live.job.state != "rendered":
            await self._render(live)
        live.stage = "posting"
        await self._outbox.deliver(live)

    async def _render(self, live: Live) -> None:
        """One that was under way in several crashes is done alone among its like: so the culprit is found."""
        if live.job.attempts >= MOST_ATTEMPTS:
            raise _GiveUp(GAVE_UP.format(attempts=live.job.attempts))
        async with self._watch.over(live):
            if live.job.attempts < SUSPECT_ATTEMPTS:
                await self._render_now(live)
            else:
                async with self._suspects:
                    await self._render_now(live)

    async def _render_now(self, live: Live) -> None:
        rendered = await self._renderer.render(live, self._queued, self._begun)
        fields = {"result": rendered.files, "note": rendered.note or live.job.note}
        live.take(self._still(await self._jobs.move(live.job.id, "rendered", expect={"running"}, **fields)))

    async def _queued(self, live: Live) -> None:
        live.take(self._still(await self._jobs.move(live.job.id, "queued", expect=BEFORE_RENDERED)))

    async def _begun(self, live: Live) -> None:
        """Counted before the work can do any harm. Raises Refused for what the limits no longer allow."""
        if refused := await self._gatekeeper.second_thoughts(live.job, live.actor):
            raise refused
        attempts = live.job.attempts + 1
        live.take(self._still(await self._jobs.move(live.job.id, "running", expect={"queued"}, attempts=attempts)))
        live.stage = "working"

    def _still(self, job: Job | None) -> Job:
        if job is None:
            raise _Elsewhere
        return job

    async def _close(self, live: Live, state: JobState, words: str) -> None:
        """The row may have gone on without us, or be gone."""
        try:
            job = await self._jobs.get(live.job.id)
        except NoSuchJob:
            return
        if not job.is_over:
            await self._outbox.close(job, state, words)

    def _is_on_disk(self, job: Job) -> bool:
        return bool(job.result) and all(self._files.path(job.id, file.name).is_file() for file in job.result)


class _GiveUp(BotError):  # noqa: N818
    """Begun too often."""
