"""Whether a job may be done: gathers the facts that `limits.refusal` needs, at acceptance and before the start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tilestep.bot.disk import ResultFiles
from tilestep.bot.errors import Refused
from tilestep.bot.guild_limits import GuildLimits
from tilestep.bot.guilds import GuildStore
from tilestep.bot.job import Job
from tilestep.bot.jobs import JobBounds, JobStore
from tilestep.bot.limits import Ask, refusal
from tilestep.bot.requests import Actor, ImagineOptions, Place, UpscaleOptions
from tilestep.bot.settings import Settings

PAUSED = "New jobs are not taken at the moment, as the bot's owner has paused it: try again later."
STOPPING = "The bot is being restarted: try again in a minute."
DISK_FULL = (
    "The disk for finished pictures is nearly full ({free:.0f} MiB are free, {least} have to be): the bot's owner has "
    "to make room, try again later."
)


class Gatekeeper:
    """Lets jobs in or refuses them in words. `waiting` tells how many are under way, all members together."""

    def __init__(
        self, settings: Settings, jobs: JobStore, guilds: GuildStore, files: ResultFiles, waiting: Callable[[], int]
    ) -> None:
        self._settings, self._jobs, self._guilds, self._files = settings, jobs, guilds, files
        self._waiting = waiting
        self.paused = self.stopping = False

    async def check(self, ask: Ask) -> GuildLimits:
        """The limits that hold there, capped by the operator's. Raises Refused."""
        if self.stopping:
            raise Refused("stopping", STOPPING)
        if self.paused:
            raise Refused("paused", PAUSED)
        limits = await self._guilds.limits(ask.place.guild_id)
        if refused := refusal(await self._with_load(ask), limits, self._settings):
            raise refused
        await self.check_disk()
        return limits.capped(self._settings)

    async def check_disk(self) -> None:
        """Raises Refused while there is too little room for results."""
        free, least = await asyncio.to_thread(self._files.free_mib), self._settings.min_free_disk_mib
        if free < least:
            raise Refused("disk", DISK_FULL.format(free=free, least=least))

    async def limits(self, guild_id: int | None) -> GuildLimits:
        """The limits that hold there, capped by the operator's."""
        return (await self._guilds.limits(guild_id)).capped(self._settings)

    def bounds(self, limits: GuildLimits) -> JobBounds:
        """What is counted again in the transaction that adds the job."""
        return JobBounds(limits.jobs_at_once, self._settings.max_jobs_at_once, self._settings.queue_limit)

    async def second_thoughts(self, job: Job, actor: Actor | None) -> Refused | None:
        """Whether a job that has not been started would be refused now, by limits that have changed or been used up.

        Only jobs that were accepted before it count against it. After a restart nobody knows the member's roles.
        """
        limits = await self._guilds.limits(job.guild_id)
        ask = _ask_again(job, actor or Actor(job.requester_id, limits.allowed_role_ids))
        earlier = [other for other in await self._jobs.open_jobs(requester_id=job.requester_id) if _before(other, job)]
        here, everywhere = await self._guilds.gpu_seconds(job.guild_id, job.requester_id)
        ask = replace(
            ask,
            blocked=await self._guilds.is_blocked(job.guild_id, job.requester_id),
            open_jobs=sum(other.guild_id == job.guild_id for other in earlier),
            open_jobs_everywhere=len(earlier),
            gpu_seconds_today=here,
            gpu_seconds_everywhere=everywhere,
        )
        return refusal(ask, limits, self._settings)

    async def _with_load(self, ask: Ask) -> Ask:
        guild_id, member_id = ask.place.guild_id, ask.actor.id
        mine = await self._jobs.open_jobs(requester_id=member_id)
        here, everywhere = await self._guilds.gpu_seconds(guild_id, member_id)
        return replace(
            ask,
            blocked=await self._guilds.is_blocked(guild_id, member_id),
            open_jobs=sum(job.guild_id == guild_id for job in mine),
            open_jobs_everywhere=len(mine),
            jobs_waiting=self._waiting(),
            gpu_seconds_today=here,
            gpu_seconds_everywhere=everywhere,
        )


def _before(one: Job, other: Job) -> bool:
    return (one.created_at, one.id) < (other.created_at, other.id)


def _ask_again(job: Job, actor: Actor) -> Ask:
    place = Place(job.guild_id, job.channel_id, job.parent_channel_id, job.age_restricted, job.upload_limit_bytes)
    prompt = str(job.recipe.get("prompt", ""))
    ask = Ask(actor, place, job.kind, job.via, prompt=prompt, source_author_id=job.source_author_id)
    options = job.options
    if isinstance(options, UpscaleOptions):
        size = (job.source_width_px or 1, job.source_height_px or 1)
        return replace(ask, input_px=size, scale=options.scale, quality=options.quality, steps=options.steps)
    return replace(ask, **image_facts(options))


def image_facts(options: ImagineOptions) -> dict[str, Any]:
    """The fields of an `Ask` that say what new pictures are wanted; what they shall not show may be any word."""
    size = (options.width_px, options.height_px) if options.width_px and options.height_px else None
    return {
        "prompt": options.prompt,
        "image_px": size,
        "image_steps": options.steps,
        "count": options.count,
    }
