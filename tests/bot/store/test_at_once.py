"""Bounds on jobs hold however many come at once, from one process or several; what is committed survives a kill."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy.pool import QueuePool

from tilestep.bot.database import Database
from tilestep.bot.errors import DatabaseError, Refused
from tilestep.bot.guilds import GuildStore
from tilestep.bot.jobs import OPEN_STATES, Job, JobBounds, JobStore, new_job_id
from tilestep.bot.requests import UpscaleOptions


def a_job(requester_id: int = 7, guild_id: int | None = 3) -> Job:
    return Job(
        id=new_job_id(),
        kind="upscale",
        channel_id=5,
        requester_id=requester_id,
        guild_id=guild_id,
        options=UpscaleOptions(),
    )


async def attempt(store: JobStore, job: Job, bounds: JobBounds) -> str:
    """ "" for a job that got in, else the words."""
    try:
        await store.add(job, b"picture", bounds)
    except Refused as refused:
        return str(refused)
    return ""


async def test_of_many_clicks_at_once_only_the_allowed_ones_get_in(
    database: Database, database_url: str, prefix: str
) -> None:
    async with Database(database_url, prefix) as other:
        stores = [JobStore(database), JobStore(other)] * 5
        answers = await asyncio.gather(*(attempt(store, a_job(), JobBounds(3)) for store in stores))
    assert answers.count("") == 3
    assert {answer for answer in answers if answer} == {
        "3 of your jobs are under way, and 3 at once may be here: wait until one is done, or cancel one."
    }
    assert len(await JobStore(database).open_jobs()) == 3


async def test_a_refused_job_leaves_nothing_behind(jobs: JobStore) -> None:
    first, second = a_job(), a_job()
    assert await attempt(jobs, first, JobBounds(1)) == ""
    assert await attempt(jobs, second, JobBounds(1))
    assert [job.id for job in await jobs.open_jobs()] == [first.id]
    with pytest.raises(Exception, match="no longer kept"):
        await jobs.source(second.id)


async def test_a_job_that_is_over_makes_room(jobs: JobStore) -> None:
    first = a_job()
    await attempt(jobs, first, JobBounds(1))
    await jobs.move(first.id, "failed", expect=OPEN_STATES)
    assert await attempt(jobs, a_job(), JobBounds(1)) == ""


async def test_others_and_other_places_do_not_count_but_where_all_places_do(jobs: JobStore) -> None:
    bounds = JobBounds(1, of_member=3, of_all=5)
    for job in (a_job(), a_job(8), a_job(guild_id=4), a_job(guild_id=None)):
        assert await attempt(jobs, job, bounds) == ""
    assert (await attempt(jobs, a_job(guild_id=None), bounds)).startswith("1 of your jobs is under way, and 1 at once")
    assert (await attempt(jobs, a_job(guild_id=9), bounds)).startswith(
        "3 of your jobs are under way, and 3 at once may be in all places together"
    )
    assert await attempt(jobs, a_job(10), bounds) == ""
    assert await attempt(jobs, a_job(11), bounds) == (
        "5 jobs are waiting, and no more than 5 may: try again in a few minutes."
    )


async def test_giving_up_while_a_job_is_added_keeps_all_of_it_or_nothing(jobs: JobStore) -> None:
    added = [a_job(number) for number in range(12)]
    tasks = [asyncio.create_task(jobs.add(job, b"picture", JobBounds(1))) for job in added]
    for turns, task in enumerate(tasks):
        for _ in range(turns * 4):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for job in await jobs.open_jobs():
        assert await jobs.source(job.id) == b"picture"
    assert await attempt(jobs, a_job(99), JobBounds(1)) == ""


async def test_giving_up_at_any_moment_does_not_keep_the_database_locked(jobs: JobStore) -> None:
    given_up = []  # held on to, with the frames of their errors and what those hold
    for turns in range(40):
        task = asyncio.create_task(jobs.add(a_job(turns), b"picture", JobBounds(1)))
        for _ in range(turns):
            await asyncio.sleep(0)
            time.sleep(0.002)  # the database's thread is ahead of the event loop
        task.cancel()
        given_up.append(asyncio.gather(task, return_exceptions=True))
        await given_up[-1]
        assert await attempt(jobs, a_job(100 + turns), JobBounds(1)) == ""


async def test_two_admins_at_once_both_have_their_way(guilds: GuildStore) -> None:
    await asyncio.gather(*(guilds.set_limits(3, {"jobs_at_once": number}, by=number) for number in range(1, 7)))
    await asyncio.gather(guilds.set_limits(3, {"max_scale": 8}, by=1), guilds.set_limits(3, {"max_steps": 2}, by=2))
    limits, audit = await guilds.limits(3), await guilds.audit(3, limit=50)
    assert (limits.max_scale, limits.max_steps) == (8, 2)
    numbers = [entry for entry in reversed(audit) if entry.setting == "jobs_at_once"]
    assert numbers[0].before == "3"
    assert [entry.before for entry in numbers[1:]] == [entry.after for entry in numbers[:-1]]
    assert numbers[-1].after == str(limits.jobs_at_once)


async def test_blocking_twice_at_once_is_one_block(guilds: GuildStore) -> None:
    done = await asyncio.gather(*(guilds.block(3, 7, by=1) for _ in range(5)))
    assert (sorted(done), await guilds.blocked(3)) == ([False] * 4 + [True], [7])


ACCEPTING = """
import asyncio, sys
from tilestep.bot.database import Database
from tilestep.bot.jobs import Job, JobStore, new_job_id
from tilestep.bot.requests import UpscaleOptions

async def accept() -> None:
    async with Database(sys.argv[1]) as database:
        await database.migrate()
        jobs = JobStore(database)
        while True:
            job = Job(id=new_job_id(), kind="upscale", channel_id=1, requester_id=2, options=UpscaleOptions())
            await jobs.add(job, job.id.encode() * 500)
            print(job.id, flush=True)

asyncio.run(accept())
"""


def kill_after(database_url: str, told: int) -> list[str]:
    """Ids of the jobs that a process said it had accepted before it was killed."""
    process = subprocess.Popen([sys.executable, "-c", ACCEPTING, database_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        ids = [process.stdout.readline().strip() for _ in range(told)]
        process.send_signal(signal.SIGKILL)
        ids += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    return ids


async def accepted_jobs_are_there(tmp_path: Path, told: int) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'tilestep.db'}"
    ids = await asyncio.to_thread(kill_after, url, told)
    async with Database(url) as database:
        await database.migrate()
        jobs = JobStore(database)
        for job_id in ids:
            assert await jobs.source(job_id) == job_id.encode() * 500
        for job in await jobs.open_jobs():
            assert await jobs.source(job.id) == job.id.encode() * 500


async def test_what_was_called_accepted_is_there_after_a_kill(tmp_path: Path) -> None:
    await accepted_jobs_are_there(tmp_path, told=5)


@pytest.mark.slow
@pytest.mark.parametrize("told", range(0, 60, 3))
async def test_what_was_called_accepted_is_there_after_a_kill_at_any_time(tmp_path: Path, told: int) -> None:
    await accepted_jobs_are_there(tmp_path, told)


async def test_more_at_once_than_there_are_connections_is_said_in_words(database: Database) -> None:
    pool = database._engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    pool._timeout = 0.1
    async with AsyncExitStack() as stack:
        for _ in range(pool.size() + pool._max_overflow):
            await stack.enter_async_context(database.read())
        with pytest.raises(DatabaseError, match="too slow"):
            async with database.read():
                pass
    async with database.read():
        pass
