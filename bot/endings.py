"""Jobs that end before they are done: cancelled by people or by new limits, or erased with a member or a guild."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tilestep.bot.crew import Crew
from tilestep.bot.errors import NoSuchJob, Refused, Undeliverable
from tilestep.bot.gatekeeper import Gatekeeper
from tilestep.bot.guilds import GuildStore
from tilestep.bot.job import OPEN_STATES, Job
from tilestep.bot.jobs import JobStore
from tilestep.bot.outbox import Outbox
from tilestep.bot.ports import Messages
from tilestep.bot.requests import Actor
from tilestep.bot.runner import BEFORE_RENDERED, Runner

HALT_S = 10.0
NOT_YOURS = "There is no such job, or it is somebody else's."
BY_MODERATOR = "Your job was cancelled by a moderator."
BY_LIMITS = "Your job was cancelled: {}"
UNDELETABLE = "Discord does not let me delete that message: delete it there."


class Endings:
    """Ends jobs. See `Service` for who may do what."""

    def __init__(
        self,
        jobs: JobStore,
        guilds: GuildStore,
        gatekeeper: Gatekeeper,
        runner: Runner,
        outbox: Outbox,
        messages: Messages,
    ) -> None:
        self._jobs, self._guilds, self._gatekeeper = jobs, guilds, gatekeeper
        self._runner, self._outbox, self._messages = runner, outbox, messages
        self._crew = Crew()

    async def settle(self) -> None:
        """Waits until everything that was ended is cleared up."""
        await self._crew.settle()

    async def cancel(self, job_id: str, actor: Actor) -> Job:
        """Cancels for the requester or a moderator of the job's guild; gives the job as it is now. Raises NoSuchJob.

        A job that is over stays as it is; a result that is just being posted is taken back.
        """
        job = await self._allowed(job_id, actor)
        cancelled = await self._jobs.move(job_id, "cancelled", expect=OPEN_STATES)
        if cancelled is None:
            return await self._jobs.get(job_id)
        words = "" if actor.id == job.requester_id else BY_MODERATOR
        ending = self._crew.spawn(self._clear_up(job_id, words), f"tilestep ending of job {job_id}")
        await asyncio.wait({ending}, timeout=HALT_S)
        return cancelled

    async def delete_result(self, job_id: str, actor: Actor, keep_message: bool = False) -> None:
        """Deletes the posted result and the files, for the same people. Raises NoSuchJob and Undeliverable.

        `keep_message`: the caller deletes the message itself.
        """
        job = await self._allowed(job_id, actor)
        if not job.is_over:
            await self.cancel(job_id, actor)
        elif not keep_message and not await self._delete_posted(job):
            raise Undeliverable(UNDELETABLE)
        await self._outbox.put_away(job_id)
        await self._jobs.update(job_id, result=())

    async def limits_changed(self, guild_id: int) -> list[Job]:
        """Cancels, with words for its member, each waiting job that the limits no longer allow; gives them."""
        waiting = await self._jobs.open_jobs(guild_id=guild_id, states={"accepted", "queued"})
        return [job for job in [await self._reconsider(job) for job in waiting] if job]

    async def member_blocked(self, guild_id: int, member_id: int) -> list[Job]:
        """Cancels, with words, what a member who is blocked now has waiting or under way there; gives it."""
        mine = await self._jobs.open_jobs(guild_id=guild_id, requester_id=member_id, states=BEFORE_RENDERED)
        return [job for job in [await self._reconsider(job) for job in mine] if job]

    async def guild_removed(self, guild_id: int) -> None:
        """The bot is no longer in the guild: ends its jobs and erases everything of it."""
        for job in await self._jobs.open_jobs(guild_id=guild_id):
            await self._drop(job)
        removed = await self._jobs.forget_guild(guild_id)
        await self._guilds.forget_guild(guild_id)
        await self._outbox.delete_files(job.id for job in removed)

    async def forget_member(self, member_id: int) -> None:
        """Ends a member's jobs and erases everything of theirs. What was posted stays in Discord."""
        for job in await self._jobs.open_jobs(requester_id=member_id):
            await self._drop(job, end_progress=True)
        without_files = await self._jobs.forget_member(member_id)
        await self._guilds.forget_member(member_id)
        await self._outbox.delete_files(without_files)

    async def _delete_posted(self, job: Job) -> bool:
        if job.result_channel_id is None or job.result_message_id is None:
            return True
        return await self._messages.delete_message(job.result_channel_id, job.result_message_id)

    async def _allowed(self, job_id: str, actor: Actor) -> Job:
        job = await self._jobs.get(job_id)
        if actor.id != job.requester_id and not actor.moderates(job.guild_id):
            raise NoSuchJob(NOT_YOURS)
        return job

    async def _reconsider(self, job: Job) -> Job | None:
        """The job, cancelled, if it is refused now."""
        live = self._runner.lives.get(job.id)
        refused: Refused | None = await self._gatekeeper.second_thoughts(job, live.actor if live else None)
        if refused is None:
            return None
        await self._halt(job.id)
        with suppress(NoSuchJob):
            now = await self._jobs.get(job.id)
            if now.state in OPEN_STATES and job.id not in self._runner.lives:  # it may have been rendered just then
                return await self._outbox.close(now, "cancelled", f"Your job was cancelled: {refused}")
        return None

    async def _drop(self, job: Job, end_progress: bool = False) -> None:
        """Ends a job whose row is about to go; nobody is told."""
        await self._jobs.move(job.id, "cancelled", expect=OPEN_STATES)
        await self._halt(job.id, by_force=True)
        if end_progress:
            with suppress(NoSuchJob):
                await self._outbox.end_progress(await self._jobs.get(job.id))

    async def _halt(self, job_id: str, by_force: bool = False) -> None:
        """Ends the work on a job, and waits for that a while."""
        live = self._runner.lives.get(job_id)
        if live is not None:
            live.withdraw(by_force)
            with suppress(TimeoutError):
                await asyncio.wait_for(live.over.wait(), HALT_S)

    async def _clear_up(self, job_id: str, words: str) -> None:
        """Once nothing of a cancelled job runs any more."""
        live = self._runner.lives.get(job_id)
        if live is not None:
            live.withdraw()
            await live.over.wait()
        with suppress(NoSuchJob):
            await self._outbox.withdrawn(await self._jobs.get(job_id), words)
