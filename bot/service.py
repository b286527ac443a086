"""What a member can have done: the one door for cogs and other bots.

A job is committed as a row before `upscale` or `imagine` return; from then on it ends in a posted result or in words
for its member, whatever happens to the process. `Runner` takes it there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from tilestep.bot.crew import Crew
from tilestep.bot.disk import ResultFiles
from tilestep.bot.endings import Endings
from tilestep.bot.errors import DatabaseError
from tilestep.bot.gatekeeper import Gatekeeper
from tilestep.bot.gpu import GpuScheduler
from tilestep.bot.guild_limits import Ask, Size
from tilestep.bot.guilds import GuildStore
from tilestep.bot.intake import Accepted, Intake
from tilestep.bot.job import Job, utc_now
from tilestep.bot.jobs import JobStore
from tilestep.bot.live import Live, Standings
from tilestep.bot.model import TextToImage
from tilestep.bot.offers import ButtonOffer, offer_for
from tilestep.bot.outbox import Outbox
from tilestep.bot.ports import Health, JobProgress, Messages
from tilestep.bot.queue_view import QueuedJob, QueueView
from tilestep.bot.recovery import Recovery
from tilestep.bot.rendering import Renderer
from tilestep.bot.requests import Actor, ImagineRequest, Place, UpscaleRequest, Via
from tilestep.bot.runner import Runner
from tilestep.bot.settings import Settings
from tilestep.bot.upkeep import Upkeep
from tilestep.bot.watching import Watch
from tilestep.upscaler.errors import TilestepError

log = logging.getLogger(__name__)

POLL_S = 0.25


class Service:
    """Jobs of all members. Every method is called on the event loop. `clock` gives aware times."""

    def __init__(
        self,
        settings: Settings,
        jobs: JobStore,
        guilds: GuildStore,
        gpu: GpuScheduler,
        model: TextToImage,
        messages: Messages,
        files: ResultFiles,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings, self._jobs, self._guilds, self._gpu = settings, jobs, guilds, gpu
        self._clock = clock
        self._gatekeeper = Gatekeeper(settings, jobs, guilds, files, lambda: len(self._runner.lives))
        self._intake = Intake(settings, jobs, self._gatekeeper, model, clock)
        renderer = Renderer(settings, jobs, guilds, gpu, model, files, self._intake)
        outbox = Outbox(settings, jobs, guilds, messages, files, clock)
        self._standings = Standings(gpu)
        watch = Watch(settings, jobs, messages, renderer, self._standings)
        self._runner = Runner(jobs, self._gatekeeper, renderer, outbox, files, watch)
        self._upkeep = Upkeep(settings, jobs, files, clock)
        self._endings = Endings(jobs, guilds, self._gatekeeper, self._runner, outbox, messages)
        self._recovery = Recovery(jobs, files, self._intake, self._runner)
        self._commits, self._chores = Crew(), Crew()
        self._started = False

    async def start(self) -> None:
        """Goes on with the jobs of earlier runs, each from its state; those of this run are left alone."""
        await self._recovery.prepare()
        if self._started:
            return
        self._started = True
        self._chores.spawn(self._upkeep.run(), "tilestep upkeep")
        try:
            await self._recovery.resume()
        except DatabaseError as error:
            log.warning("the jobs of earlier runs wait for the database: %s", error)
            self._chores.spawn(self._recovery.resume_at_last(), "tilestep recovery")

    async def stop(self, grace_s: float = 0.0) -> None:
        """Takes nothing new and gives what is under way so many seconds; what is not done goes on at the next start."""
        self._gatekeeper.stopping = True
        await self._chores.close()
        await self._commits.settle()
        await self._runner.stop(grace_s)
        await self._endings.settle()

    async def check_upscale(
        self,
        actor: Actor,
        place: Place,
        *,
        via: Via,
        scale: int = 2,
        quality: str | None = None,
        steps: int | None = None,
        source_author_id: int | None = None,
        source_age_restricted: bool = False,
        size: Size | None = None,
    ) -> None:
        """Before any byte of the picture is fetched. Raises Refused."""
        ask = Ask(
            actor,
            place,
            "upscale",
            via,
            input_px=size,
            scale=scale,
            quality=quality,
            steps=steps,
            source_author_id=source_author_id,
            source_age_restricted=source_age_restricted,
        )
        await self._gatekeeper.check(ask)

    async def upscale(self, request: UpscaleRequest) -> Job:
        """Accepts a picture to enlarge. Raises Refused, InputError and OptionError, before any GPU time is spent."""
        await self._recovery.prepare()
        accepted = await self._intake.of_upscale(request)
        return await self._commits.finish(self._commit(accepted, request.actor, request.source.data))

    async def imagine(self, request: ImagineRequest) -> Job:
        """Accepts new pictures. Raises Refused, OptionError and ModelUnavailable, before any GPU time is spent."""
        await self._recovery.prepare()
        accepted = await self._intake.of_image(request)
        return await self._commits.finish(self._commit(accepted, request.actor, None))

    async def cancel(self, job_id: str, actor: Actor) -> Job:
        """Cancels for the requester or a moderator of the job's guild; gives the job as it is now. Raises NoSuchJob.

        A job that is over stays as it is; a result that is just being posted is taken back.
        """
        return await self._endings.cancel(job_id, actor)

    async def delete_result(self, job_id: str, actor: Actor, keep_message: bool = False) -> None:
        """Deletes the posted result and the files, for the same people. Raises NoSuchJob and Undeliverable.

        `keep_message`: the caller deletes the message itself.
        """
        await self._endings.delete_result(job_id, actor, keep_message)

    async def wait(self, job_id: str) -> Job:
        """The job once it is over and nothing of it is left to do. Raises NoSuchJob."""
        while True:
            live = self._runner.lives.get(job_id)
            if live is not None:
                await live.over.wait()
            job = await self._jobs.get(job_id)
            if job.is_over and job_id not in self._runner.lives:
                return job
            await asyncio.sleep(POLL_S if live is None else 0)

    def progress(self, job_id: str) -> JobProgress | None:
        """How a job stands; None when it is over, or not begun again since a restart."""
        live = self._runner.lives.get(job_id)
        return self._standings.progress(live) if live else None

    async def queue(self, guild_id: int | None, member_id: int) -> QueueView:
        """What a member sees of the queue of a guild (None: direct messages)."""
        limits = await self._gatekeeper.limits(guild_id)
        mine = [job for job in await self._jobs.open_jobs(requester_id=member_id) if job.guild_id == guild_id]
        lives, now = list(self._runner.lives.values()), self._clock()
        gpu = self._gpu.statistics()
        return QueueView(
            guild_id=guild_id,
            member_id=member_id,
            jobs=tuple(QueuedJob(job, self.progress(job.id)) for job in mine),
            jobs_at_once=limits.jobs_at_once,
            gpu_seconds_today=await self._guilds.gpu_seconds_today(guild_id, member_id),
            gpu_seconds_per_day=limits.gpu_seconds_per_day,
            resets_at=now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1),
            guild_jobs=sum(live.job.guild_id == guild_id for live in lives),
            waiting=gpu.waiting,
            running=gpu.running,
            paused=self.paused,
        )

    async def offers(self, job: Job | None, place: Place, width_px: int, height_px: int) -> ButtonOffer:
        """Whether a picture of this size may be enlarged by 2 there, and if not, why."""
        return offer_for(await self._guilds.limits(place.guild_id), self._settings, width_px, height_px)

    async def limits_changed(self, guild_id: int) -> list[Job]:
        """Cancels, with words for its member, each waiting job that the limits no longer allow; gives them."""
        return await self._endings.limits_changed(guild_id)

    async def member_blocked(self, guild_id: int, member_id: int) -> list[Job]:
        """Cancels, with words, what a member who is blocked now has waiting or under way there; gives it."""
        return await self._endings.member_blocked(guild_id, member_id)

    async def guild_ids(self) -> set[int]:
        """Guilds of which anything is kept."""
        return await self._jobs.guild_ids() | await self._guilds.guild_ids()

    async def guild_removed(self, guild_id: int) -> None:
        """The bot is no longer in the guild: ends its jobs and erases everything of it."""
        await self._endings.guild_removed(guild_id)

    async def forget_member(self, member_id: int) -> None:
        """Ends a member's jobs and erases everything of theirs. What was posted stays in Discord."""
        await self._endings.forget_member(member_id)

    @property
    def paused(self) -> bool:
        """Whether the operator holds everything up."""
        return self._gatekeeper.paused

    def pause(self) -> None:
        """No step begins and no job is accepted until `resume`."""
        self._gatekeeper.paused = True
        self._gpu.pause()

    def resume(self) -> None:
        self._gatekeeper.paused = False
        self._gpu.resume()

    async def health(self) -> Health:
        """Whether jobs are taken and done, and if not, why."""
        problems = [] if self._started else ["The bot is not connected to Discord yet."]
        if self._gatekeeper.stopping:
            problems.append("The bot is shutting down.")
        if self.paused:
            problems.append(f"Paused: `/{self._settings.command('tilestep')} resume` ends it.")
        for check in (self._gatekeeper.check_disk, self._jobs.totals):
            try:
                await check()
            except TilestepError as error:
                problems.append(str(error))
        return Health(not problems, tuple(problems))

    async def _commit(self, accepted: Accepted, actor: Actor, source: bytes | None) -> Job:
        """The row, then the work; known to be ours before it can be found by `start`."""
        live = Live(accepted.job, actor, accepted.facts)
        self._runner.register(live)
        try:
            await self._jobs.add(accepted.job, source, self._gatekeeper.bounds(accepted.limits))
        except BaseException:
            self._runner.forget(live)
            raise
        self._runner.launch(live)
        log.info("job %s is accepted: %s", accepted.job.id, accepted.job.kind)
        return accepted.job
