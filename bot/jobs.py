"""Jobs as rows: what a member asked for, and how far it is. A row is there before anybody is told "accepted".

    accepted -> queued -> running -> rendered -> delivered
        `----------`---------`----------`-----> failed, cancelled

A state changes by `move`, which compares and sets in one statement: of two that want to move a job, one wins and the
other knows it. `rendered` means that the result lies on disk; it may have been sent already (`posting`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tilestep.bot.database import Database
from tilestep.bot.errors import NoSuchJob, Refused
from tilestep.bot.forgetting import strip_heirs
from tilestep.bot.job import (
    OPEN_STATES,
    OVER_STATES,
    STATES,
    Job,
    JobKind,
    JobState,
    ResultFile,
    new_job_id,
    utc_now,
)
from tilestep.bot.load import EVERYWHERE, queue_full, too_many_jobs
from tilestep.bot.requests import Reply
from tilestep.bot.rows import job_columns, job_from, to_columns
from tilestep.bot.usage import charge_member, drop_past_days

__all__ = [
    "OPEN_STATES",
    "OVER_STATES",
    "STATES",
    "Job",
    "JobBounds",
    "JobKind",
    "JobState",
    "JobStore",
    "Reply",
    "ResultFile",
    "new_job_id",
    "utc_now",
]

NO_SUCH_JOB = "There is no such job any more: it is over and its record is gone."
NO_SOURCE = "The picture of this job is no longer kept: start again with the picture."


@dataclass(frozen=True)
class JobBounds:
    """Jobs under way at once: of the member in the job's guild, of the member everywhere, of everybody."""

    of_member_here: int
    of_member: int | None = None
    of_all: int | None = None


class JobStore:
    """All jobs. `clock` gives aware times; the day (UTC) of it is the one that is charged."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock
        self._tables = database.tables
        self._jobs, self._sources = self._tables.jobs, self._tables.job_sources

    async def add(self, job: Job, source: bytes | None = None, nothing_over: JobBounds | None = None) -> None:
        """Commits the job with its source's bytes, or neither. Raises Refused where a bound would be passed.

        The bounds are counted in the same transaction: of two clicks at once for the last place, one is refused.
        """
        async with self._database.write() as connection:
            await connection.execute(sa.insert(self._jobs).values(job_columns(job)))
            if source is not None:
                await connection.execute(sa.insert(self._sources).values(job_id=job.id, data=source))
            if nothing_over:
                await self._check(connection, job, nothing_over)

    async def get(self, job_id: str) -> Job:
        """Raises NoSuchJob."""
        found = await self._select(self._jobs.c.id == job_id)
        if not found:
            raise NoSuchJob(NO_SUCH_JOB)
        return found[0]

    async def knows(self, job_id: str) -> bool:
        """Whether there is such a row, still."""
        async with self._database.read() as connection:
            chosen = sa.select(self._jobs.c.id).where(self._jobs.c.id == job_id)
            return (await connection.execute(chosen)).first() is not None

    async def source(self, job_id: str) -> bytes:
        """The picture to enlarge. Raises NoSuchJob when it is not kept any more, or never was."""
        async with self._database.read() as connection:
            chosen = sa.select(self._sources.c.data).where(self._sources.c.job_id == job_id)
            data = (await connection.execute(chosen)).scalar_one_or_none()
        if data is None:
            raise NoSuchJob(NO_SOURCE)
        return bytes(data)

    async def drop_source(self, job_id: str) -> None:
        """Removes the source's bytes; the job stays."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(self._sources).where(self._sources.c.job_id == job_id))

    async def move(self, job_id: str, to: JobState, *, expect: Collection[JobState], **fields: Any) -> Job | None:
        """Changes the state, and `fields` with it, if it is among `expect`; gives the job as it is now, else None."""
        now = self._clock()
        finished = {"finished_at": now} if to in OVER_STATES else {}
        columns = to_columns({"updated_at": now, **finished, **fields, "state": to})
        change = sa.update(self._jobs).where(self._jobs.c.id == job_id, self._jobs.c.state.in_(expect)).values(columns)
        async with self._database.write() as connection:
            row = (await connection.execute(change.returning(*self._jobs.c))).mappings().one_or_none()
        return job_from(dict(row)) if row else None

    async def update(self, job_id: str, **fields: Any) -> None:
        """Changes fields, not the state; of a job that is gone nothing."""
        if "state" in fields:
            raise TypeError("a state is changed by move()")
        columns = to_columns({"updated_at": self._clock(), **fields})
        async with self._database.write() as connection:
            await connection.execute(sa.update(self._jobs).where(self._jobs.c.id == job_id).values(columns))

    async def charge(self, job_id: str, gpu_ms: float) -> None:
        """Adds GPU time to the job and to its member's day. Raises NoSuchJob."""
        jobs, now = self._jobs, self._clock()
        add = sa.update(jobs).where(jobs.c.id == job_id).values(gpu_ms=jobs.c.gpu_ms + gpu_ms)
        async with self._database.write() as connection:
            row = (await connection.execute(add.returning(jobs.c.requester_id, jobs.c.guild_id))).one_or_none()
            if row is None:
                raise NoSuchJob(NO_SUCH_JOB)
            await charge_member(connection, self._tables, row.requester_id, row.guild_id, gpu_ms, now)

    async def open_jobs(
        self,
        *,
        guild_id: int | None = None,
        requester_id: int | None = None,
        states: Collection[JobState] = OPEN_STATES,
    ) -> list[Job]:
        """Jobs in these states in order of acceptance; of all guilds and members where none is named."""
        wanted: list[sa.ColumnElement[bool]] = [self._jobs.c.state.in_(states)]
        if guild_id is not None:
            wanted.append(self._jobs.c.guild_id == guild_id)
        if requester_id is not None:
            wanted.append(self._jobs.c.requester_id == requester_id)
        return await self._select(*wanted)

    async def find_by_message(self, channel_id: int, message_id: int) -> Job | None:
        """The job whose result is in this message."""
        jobs = self._jobs.c
        found = await self._select(jobs.result_message_id == message_id, jobs.result_channel_id == channel_id)
        return found[-1] if found else None

    async def history(self, requester_id: int, guild_id: int | None, limit: int) -> list[Job]:
        """A member's latest jobs in a guild (None: direct messages), newest first."""
        jobs = self._jobs
        chosen = sa.select(jobs).where(
            jobs.c.requester_id == requester_id, jobs.c.guild_id.is_not_distinct_from(guild_id)
        )
        newest = chosen.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return [job_from(dict(row)) for row in (await connection.execute(newest)).mappings()]

    async def totals(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        chosen = sa.select(self._jobs.c.state, sa.func.count()).group_by(self._jobs.c.state)
        async with self._database.read() as connection:
            counted = {row[0]: row[1] for row in await connection.execute(chosen)}
        return {state: counted.get(state, 0) for state in STATES}

    async def guild_ids(self) -> set[int]:
        """Guilds that have jobs."""
        column = self._jobs.c.guild_id
        async with self._database.read() as connection:
            return set((await connection.execute(sa.select(column).distinct().where(column.is_not(None)))).scalars())

    async def forget_member(self, member_id: int) -> list[str]:
        """Removes the member's jobs, and what others' upscales of their pictures hold of them.

        Gives the ids of the jobs whose files are to go: the member's, and those upscales, as far as they are over.
        """
        async with self._database.write() as connection:
            heirs = await strip_heirs(connection, self._tables, member_id)
            removed = await self._remove(connection, self._jobs.c.requester_id == member_id)
        return list(dict.fromkeys([*(job.id for job in removed), *heirs]))

    async def forget_guild(self, guild_id: int) -> list[Job]:
        """Removes the guild's jobs and gives them."""
        async with self._database.write() as connection:
            return await self._remove(connection, self._jobs.c.guild_id == guild_id)

    async def prune(self, older_than: datetime) -> list[str]:
        """Removes jobs that were over before then and gives their ids; and what nobody needs any more of others.

        That is usage of past days, replies run out, and sources of jobs that are over.
        """
        jobs, now = self._jobs, self._clock()
        async with self._database.write() as connection:
            await drop_past_days(connection, self._tables, now)
            late = jobs.c.reply_expires_at < now.timestamp()
            await connection.execute(sa.update(jobs).where(late).values(reply=None, reply_expires_at=None))
            over = sa.select(jobs.c.id).where(jobs.c.state.in_(OVER_STATES))
            await connection.execute(sa.delete(self._sources).where(self._sources.c.job_id.in_(over)))
            return [job.id for job in await self._remove(connection, jobs.c.finished_at < older_than)]

    async def _select(self, *where: sa.ColumnElement[bool]) -> list[Job]:
        chosen = sa.select(self._jobs).where(*where).order_by(self._jobs.c.created_at, self._jobs.c.id)
        async with self._database.read() as connection:
            return [job_from(dict(row)) for row in (await connection.execute(chosen)).mappings()]

    async def _remove(self, connection: AsyncConnection, where: sa.ColumnElement[bool]) -> list[Job]:
        removed = await connection.execute(sa.delete(self._jobs).where(where).returning(*self._jobs.c))
        return sorted((job_from(dict(row)) for row in removed.mappings()), key=lambda job: (job.created_at, job.id))

    async def _check(self, connection: AsyncConnection, job: Job, bounds: JobBounds) -> None:
        """Counts with the job that was just added."""
        await self._database.one_at_a_time(connection)
        jobs = self._jobs.c
        mine = jobs.requester_id == job.requester_id
        here = mine & jobs.guild_id.is_not_distinct_from(job.guild_id)
        counts = sa.select(sa.func.count().filter(here), sa.func.count().filter(mine), sa.func.count())
        of_here, of_mine, of_all = (await connection.execute(counts.where(jobs.state.in_(OPEN_STATES)))).one()
        if of_here > bounds.of_member_here:
            raise Refused("jobs_at_once", too_many_jobs(of_here - 1, bounds.of_member_here))
        if bounds.of_member is not None and of_mine > bounds.of_member:
            raise Refused("jobs_at_once", too_many_jobs(of_mine - 1, bounds.of_member, EVERYWHERE))
        if bounds.of_all is not None and of_all > bounds.of_all:
            raise Refused("queue", queue_full(of_all - 1, bounds.of_all))
