"""What people may have forgotten is gone, also where others' jobs hold a piece of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tilestep.bot.database import Database
from tilestep.bot.errors import NoSuchJob
from tilestep.bot.guilds import GuildStore
from tilestep.bot.jobs import Job, JobStore, ResultFile, new_job_id
from tilestep.bot.requests import ImagineOptions, Reply, UpscaleOptions

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADA, BEN, CEM = 1, 2, 3


def a_job(requester_id: int, **values: object) -> Job:
    first = {"kind": "upscale", "channel_id": 5, "guild_id": 3, "options": UpscaleOptions(), "created_at": NOON}
    return Job(**({"id": new_job_id(), "requester_id": requester_id} | first | values))


async def everything_in(database: Database) -> str:
    async with database.read() as connection:
        rows = [(await connection.execute(sa.select(table))).all() for table in database.tables.metadata.sorted_tables]
    return repr(rows)


async def test_a_members_jobs_go_with_their_sources(jobs: JobStore) -> None:
    mine, running, others = a_job(ADA, state="delivered"), a_job(ADA, state="running"), a_job(BEN)
    for job in (mine, running, others):
        await jobs.add(job, b"picture")
    assert set(await jobs.forget_member(ADA)) == {mine.id, running.id}
    for job in (mine, running):
        with pytest.raises(NoSuchJob):
            await jobs.source(job.id)
    assert await jobs.open_jobs() == [others]
    assert await jobs.source(others.id) == b"picture"
    assert await jobs.move(running.id, "rendered", expect=["running"]) is None


async def test_a_members_words_go_from_upscales_that_others_made_of_their_pictures(
    jobs: JobStore, database: Database
) -> None:
    words = {"prompt": "adas secret garden"}
    alt = "adas secret garden, in oil"
    drawn = a_job(ADA, kind="imagine", options=ImagineOptions("adas secret garden"), recipe=words)
    first = a_job(
        BEN,
        parent_job_id=drawn.id,
        source_author_id=ADA,
        source_filename="adas secret.png",
        source_description=alt,
        recipe=words,
        result=(ResultFile("a.png", 1, 2, 3, alt),),
    )
    second = a_job(CEM, parent_job_id=first.id, source_author_id=BEN, source_description=alt, recipe=words)
    own = a_job(
        CEM, kind="imagine", options=ImagineOptions("my own"), recipe={"prompt": "my own"}, parent_job_id=drawn.id
    )
    for job in (drawn, first, second, own):
        await jobs.add(job)
    await jobs.forget_member(ADA)
    assert "adas secret" not in await everything_in(database)
    assert [(job.requester_id, job.source_author_id) for job in await jobs.open_jobs()] == [
        (BEN, None),
        (CEM, BEN),
        (CEM, None),
    ]
    assert (await jobs.get(own.id)).recipe == {"prompt": "my own"}
    assert (await jobs.get(first.id)).result == (ResultFile("a.png", 1, 2, 3, ""),)


async def test_jobs_that_point_at_each_other_are_forgotten_too(jobs: JobStore) -> None:
    one, other = new_job_id(), new_job_id()
    await jobs.add(a_job(ADA, id=one, parent_job_id=other))
    await jobs.add(a_job(BEN, id=other, parent_job_id=one, recipe={"prompt": "x"}))
    await jobs.forget_member(ADA)
    assert [job.recipe for job in await jobs.open_jobs()] == [{}]


async def test_forgetting_gives_nobody_more_gpu_time_and_unblocks_nobody(database: Database) -> None:
    now = [NOON]
    jobs, guilds = JobStore(database, lambda: now[0]), GuildStore(database, lambda: now[0])
    job = a_job(ADA)
    await jobs.add(job)
    await jobs.charge(job.id, 1000)
    now[0] += timedelta(days=1)
    await jobs.charge(job.id, 2000)
    await guilds.block(3, ADA, by=BEN)
    await jobs.forget_member(ADA)
    await guilds.forget_member(ADA)
    assert await guilds.gpu_seconds(3, ADA) == (2, 2)
    assert await guilds.is_blocked(3, ADA)
    now[0] -= timedelta(days=1)
    assert await guilds.gpu_seconds(3, ADA) == (0, 0)


async def test_nothing_of_a_guild_is_left_and_all_of_others(
    jobs: JobStore, guilds: GuildStore, database: Database
) -> None:
    for guild_id in (333, 444):
        job = a_job(ADA, guild_id=guild_id, source_filename=f"of {guild_id}")
        await jobs.add(job, b"picture")
        await jobs.charge(job.id, 1000)
        await guilds.set_limits(guild_id, {"max_scale": 8}, by=BEN)
        await guilds.block(guild_id, CEM, by=BEN)
    other = await jobs.open_jobs(guild_id=444)
    assert [job.guild_id for job in await jobs.forget_guild(333)] == [333]
    await guilds.forget_guild(333)
    assert "333" not in (await everything_in(database)).replace(other[0].id, "")
    assert await jobs.open_jobs() == other
    assert (await guilds.limits(444)).max_scale == 8
    assert (await guilds.blocked(444), len(await guilds.audit(444))) == ([CEM], 2)
    assert await guilds.gpu_seconds(444, ADA) == (1, 1)


async def test_pruning_takes_what_was_over_before_then_and_nothing_else(jobs: JobStore) -> None:
    old, new = NOON - timedelta(seconds=1), NOON
    kept = [a_job(ADA, created_at=old), a_job(ADA, state="failed", finished_at=new)]
    gone = [a_job(ADA, state=state, finished_at=old) for state in ("delivered", "failed", "cancelled")]
    for job in kept + gone:
        await jobs.add(job, b"picture")
    assert sorted(await jobs.prune(NOON)) == sorted(job.id for job in gone)
    assert await jobs.prune(NOON) == []
    assert [(await jobs.get(job.id)).id for job in kept] == [job.id for job in kept]
    with pytest.raises(NoSuchJob):
        await jobs.source(gone[0].id)


async def test_pruning_drops_replies_that_have_run_out_and_usage_of_past_days(database: Database) -> None:
    now = [NOON]
    jobs = JobStore(database, lambda: now[0])
    late = a_job(ADA, reply=Reply(1, "late", NOON.timestamp() - 1))
    fresh = a_job(ADA, reply=Reply(1, "fresh", NOON.timestamp() + 1))
    for job in (late, fresh):
        await jobs.add(job)
    now[0] -= timedelta(days=1)
    await jobs.charge(late.id, 77_000)
    now[0] += timedelta(days=1)
    await jobs.prune(NOON - timedelta(days=90))
    assert [(await jobs.get(job.id)).reply for job in (late, fresh)] == [None, fresh.reply]
    async with database.read() as connection:
        assert (await connection.execute(sa.select(database.tables.usage))).all() == []


async def test_what_is_forgotten_is_not_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tilestep.db"
    async with Database(f"sqlite+aiosqlite:///{path}") as database:
        await database.migrate()
        jobs = JobStore(database)
        await jobs.add(a_job(ADA, source_filename="adas secret garden"), b"adas secret garden" * 1000)
        await jobs.forget_member(ADA)
    assert b"adas secret" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


async def test_sources_of_jobs_that_are_over_do_not_stay(jobs: JobStore) -> None:
    over, waiting = a_job(ADA), a_job(ADA)
    for job in (over, waiting):
        await jobs.add(job, b"picture")
    await jobs.move(over.id, "cancelled", expect={"accepted"})
    await jobs.prune(NOON - timedelta(days=90))
    assert await jobs.source(waiting.id) == b"picture"
    with pytest.raises(NoSuchJob):
        await jobs.source(over.id)
