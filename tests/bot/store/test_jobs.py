"""A job is a row that says everything, and that nobody moves twice."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tilestep.bot.database import Database
from tilestep.bot.errors import NoSuchJob
from tilestep.bot.guilds import GuildStore
from tilestep.bot.jobs import OPEN_STATES, OVER_STATES, STATES, Job, JobStore, ResultFile, new_job_id
from tilestep.bot.requests import ImagineOptions, Reply, UpscaleOptions

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SNOWFLAKE = 2**63 - 1


def a_job(number: int = 0, **values: object) -> Job:
    """Job `number` is accepted so many seconds after noon."""
    at = NOON + timedelta(seconds=number)
    first = {"kind": "upscale", "channel_id": 5, "requester_id": 7, "guild_id": 3, "options": UpscaleOptions()}
    return Job(**({"id": new_job_id(), "created_at": at, "updated_at": at} | first | values))


def a_full_job() -> Job:
    """Every field has a value of its own, none its default."""
    job = a_job(
        id=new_job_id(),
        kind="imagine",
        state="rendered",
        via="menu",
        guild_id=SNOWFLAKE,
        channel_id=SNOWFLAKE - 1,
        parent_channel_id=SNOWFLAKE - 2,
        requester_id=SNOWFLAKE - 3,
        age_restricted=True,
        private=True,
        spoiler=True,
        upload_limit_bytes=100 << 30,
        options=ImagineOptions("a fox 🦊", "no 'quotes\"; --", 512, 768, 30, 6.5, 2**63, 4),
        source_channel_id=1,
        source_message_id=2,
        source_author_id=3,
        source_filename="日本 %s \\ ;.png",
        source_description="a <@1> b",
        source_width_px=640,
        source_height_px=480,
        parent_job_id=new_job_id(),
        recipe={"prompt": "a fox", "sizes": [1, 2.5, None, True]},
        reply=Reply(9, "secret", 1e9 + 0.25),
        attempts=2,
        gpu_ms=1234.5678,
        error="It broke.",
        note="Smaller.",
        posting=True,
        progress_channel_id=11,
        progress_message_id=12,
        result_channel_id=13,
        result_message_id=14,
        result=(ResultFile("a.png", 10, 20, 30, "alt"), ResultFile("b.png", 1, 2, 3)),
        finished_at=NOON + timedelta(microseconds=1),
    )
    plain = a_job()
    assert all(
        getattr(job, field.name) != getattr(plain, field.name) for field in fields(Job) if "_at" not in field.name
    )
    return job


async def test_a_job_comes_back_as_it_was_kept(jobs: JobStore) -> None:
    for job in (a_full_job(), a_job()):
        await jobs.add(job, b"picture")
        assert await jobs.get(job.id) == job


async def test_times_come_back_in_utc_wherever_they_are_from(jobs: JobStore) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    job = a_job(created_at=tokyo)
    await jobs.add(job)
    kept = (await jobs.get(job.id)).created_at
    assert (kept, kept.tzinfo) == (NOON, UTC)


async def test_a_time_without_a_zone_is_a_mistake(jobs: JobStore) -> None:
    with pytest.raises(Exception, match="a time needs a time zone"):
        await jobs.add(a_job(created_at=NOON.replace(tzinfo=None)))


async def test_any_text_of_strangers_is_kept_or_cleaned(jobs: JobStore) -> None:
    for text in ("a\0b", "half \ud83e of a fox", "\0", "\udfff", "'); DROP TABLE jobs; --", "\u202e", "x" * 9999):
        options = ImagineOptions(text)
        job = a_job(kind="imagine", options=options, recipe={"prompt": text}, source_filename=text, note=text)
        await jobs.add(job)
        kept = await jobs.get(job.id)
        assert (kept.options, kept.recipe) == (options, {"prompt": text})
        assert kept.note == kept.source_filename == text.encode("utf-8", "replace").decode().replace("\0", "")


async def test_options_that_a_newer_version_wrote_are_passed_over(jobs: JobStore, database: Database) -> None:
    job = a_job()
    await jobs.add(job)
    table = database.tables.jobs
    async with database.write() as connection:
        await connection.execute(table.update().values(options={"scale": 4, "sharpness": 11}))
    assert (await jobs.get(job.id)).options == UpscaleOptions(scale=4)


async def test_the_source_is_kept_with_the_job_until_dropped(jobs: JobStore) -> None:
    job, data = a_job(), bytes(range(256)) * 1000
    await jobs.add(job, data)
    assert await jobs.source(job.id) == data
    await jobs.drop_source(job.id)
    with pytest.raises(NoSuchJob, match="no longer kept: start again with the picture"):
        await jobs.source(job.id)
    assert await jobs.get(job.id) == job


async def test_an_empty_source_is_a_source(jobs: JobStore) -> None:
    job = a_job()
    await jobs.add(job, b"")
    assert await jobs.source(job.id) == b""


async def test_an_unknown_job_is_told_in_words(jobs: JobStore) -> None:
    await jobs.add(a_job(), b"picture")
    for job_id in ("", "0" * 20, "' OR 1=1 --", "x" * 1000, "\ud800", "\0"):
        with pytest.raises(NoSuchJob, match="no such job any more"):
            await jobs.get(job_id)
        with pytest.raises(NoSuchJob, match="no longer kept"):
            await jobs.source(job_id)
        assert await jobs.move(job_id, "failed", expect=STATES) is None


async def test_a_repeated_id_keeps_the_first_job_and_its_source(jobs: JobStore) -> None:
    job = a_job()
    await jobs.add(job, b"first")
    with pytest.raises(Exception, match=r"(?i)unique"):
        await jobs.add(replace(job, requester_id=8), b"second")
    assert (await jobs.get(job.id), await jobs.source(job.id)) == (job, b"first")


async def test_moving_compares_and_sets(database: Database) -> None:
    jobs = JobStore(database, clock=lambda: NOON + timedelta(hours=1))
    job = a_job()
    await jobs.add(job)
    assert await jobs.move(job.id, "rendered", expect=["queued", "running"]) is None
    moved = await jobs.move(job.id, "queued", expect=["accepted"], attempts=1, note="again")
    assert moved == replace(job, state="queued", attempts=1, note="again", updated_at=NOON + timedelta(hours=1))
    assert await jobs.get(job.id) == moved


async def test_only_a_job_that_is_over_has_an_end(database: Database) -> None:
    jobs = JobStore(database, clock=lambda: NOON)
    for state in STATES:
        job = a_job()
        await jobs.add(job)
        moved = await jobs.move(job.id, state, expect=["accepted"])
        assert moved is not None
        assert (moved.finished_at == NOON) is moved.is_over is (state in OVER_STATES)


async def test_of_many_that_move_a_job_at_once_one_wins(jobs: JobStore) -> None:
    job = a_job()
    await jobs.add(job)
    wins = await asyncio.gather(
        *(jobs.move(job.id, to, expect=OPEN_STATES) for to in ("delivered", "failed", "cancelled") * 3)
    )
    assert [win for win in wins if win] == [await jobs.get(job.id)]


async def test_updating_leaves_the_rest_alone(database: Database) -> None:
    jobs, job = JobStore(database, clock=lambda: NOON), a_full_job()
    await jobs.add(job)
    await jobs.update(job.id, reply=None, result=(), progress_message_id=99)
    changed = replace(job, reply=None, result=(), progress_message_id=99, updated_at=NOON)
    assert await jobs.get(job.id) == changed
    await jobs.update("of nobody", note="x")


async def test_a_state_or_an_unknown_field_cannot_be_updated(jobs: JobStore) -> None:
    with pytest.raises(TypeError, match="changed by move"):
        await jobs.update("x", state="failed")
    with pytest.raises(TypeError, match="a job has no colour"):
        await jobs.update("x", colour="red")


async def test_open_jobs_come_in_order_of_acceptance(jobs: JobStore) -> None:
    kept = [a_job(number, guild_id=number % 2 or None, requester_id=number % 3) for number in range(6)]
    for job in reversed(kept):
        await jobs.add(job)
    await jobs.move(kept[2].id, "cancelled", expect=OPEN_STATES)
    await jobs.move(kept[3].id, "running", expect=OPEN_STATES)

    async def ids(**which: object) -> list[str]:
        return [job.id for job in await jobs.open_jobs(**which)]

    assert await ids() == [kept[i].id for i in (0, 1, 3, 4, 5)]
    assert await ids(guild_id=1) == [kept[i].id for i in (1, 3, 5)]
    assert await ids(requester_id=0) == [kept[0].id, kept[3].id]
    assert await ids(requester_id=0, guild_id=1, states=["running"]) == [kept[3].id]
    assert await ids(states=[]) == []


async def test_a_job_is_found_by_the_message_of_its_result(jobs: JobStore) -> None:
    job = a_job(result_channel_id=20, result_message_id=21)
    await jobs.add(job)
    await jobs.add(a_job(result_channel_id=22, result_message_id=23))
    assert await jobs.find_by_message(20, 21) == job
    assert await jobs.find_by_message(22, 21) is None
    assert await jobs.find_by_message(20, 99) is None


async def test_history_has_the_latest_of_a_member_in_one_place(jobs: JobStore) -> None:
    here = [a_job(number) for number in range(4)]
    for job in (*here, a_job(9, guild_id=None), a_job(9, guild_id=4), a_job(9, requester_id=8)):
        await jobs.add(job)
    assert await jobs.history(7, 3, limit=3) == [here[3], here[2], here[1]]
    assert [job.guild_id for job in await jobs.history(7, None, limit=9)] == [None]


async def test_totals_count_every_state(jobs: JobStore) -> None:
    for state in ("accepted", "accepted", "failed"):
        await jobs.add(a_job(state=state))
    assert await jobs.totals() == dict.fromkeys(STATES, 0) | {"accepted": 2, "failed": 1}


async def test_gpu_time_is_charged_to_the_job_and_to_its_members_day(database: Database) -> None:
    now = [datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC)]
    jobs, guilds = JobStore(database, lambda: now[0]), GuildStore(database, lambda: now[0])
    here, there, direct = a_job(), a_job(guild_id=4), a_job(guild_id=None)
    for job in (here, there, direct):
        await jobs.add(job)
        await jobs.charge(job.id, 1000)
    await asyncio.gather(*(jobs.charge(here.id, 250) for _ in range(8)))
    assert (await jobs.get(here.id)).gpu_ms == 3000
    assert await guilds.gpu_seconds(3, 7) == (3, 5)
    assert [await guilds.gpu_seconds_today(place, 7) for place in (3, 4, None, 99)] == [3, 1, 1, 0]
    now[0] += timedelta(microseconds=1)
    assert await guilds.gpu_seconds(3, 7) == (0, 0)
    await jobs.charge(here.id, 500)
    assert await guilds.gpu_seconds(3, 7) == (0.5, 0.5)
    assert (await jobs.get(here.id)).gpu_ms == 3500


async def test_the_day_turns_at_midnight_utc_wherever_the_clock_hangs(database: Database) -> None:
    tokyo = timezone(timedelta(hours=9))
    now = [datetime(2026, 3, 2, 8, 59, tzinfo=tokyo)]
    jobs, guilds = JobStore(database, lambda: now[0]), GuildStore(database, lambda: now[0])
    job = a_job()
    await jobs.add(job)
    await jobs.charge(job.id, 1000)
    now[0] = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
    assert await guilds.gpu_seconds_today(3, 7) == 0


async def test_charging_a_job_that_is_gone_charges_nobody(jobs: JobStore, guilds: GuildStore) -> None:
    with pytest.raises(NoSuchJob):
        await jobs.charge("gone", 1000)
    assert await guilds.gpu_seconds(3, 7) == (0, 0)


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [new_job_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert [made[:11] for made in ids] == sorted(made[:11] for made in ids)
    assert all(len(made) == 20 and made.isalnum() and made == made.lower() and made.isascii() for made in ids)
