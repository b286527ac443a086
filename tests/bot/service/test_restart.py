"""After a restart each job goes on from what its row says."""

import contextlib
from dataclasses import replace

import pytest
from small_bot import MEMBER, SmallBot, png, wish

from tilestep.bot import recovery
from tilestep.bot.errors import DatabaseError
from tilestep.bot.job import Job, new_job_id
from tilestep.bot.jobs import ResultFile
from tilestep.bot.requests import UpscaleOptions


def row(**fields):
    options = UpscaleOptions(quality="fast", seed=1)
    facts = {"guild_id": 77, "source_width_px": 24, "source_height_px": 16, "source_filename": "cat.png"}
    return Job(id=new_job_id(), kind="upscale", channel_id=700, requester_id=MEMBER, options=options, **facts, **fields)


@pytest.fixture
async def stopped(tmp_path):
    """A bot that has accepted nothing and is not started yet."""
    async with SmallBot(tmp_path) as bot:
        yield bot


@pytest.mark.parametrize(("state", "attempts"), [("accepted", 0), ("queued", 0), ("running", 1), ("running", 2)])
async def test_what_was_not_rendered_is_rendered(stopped, state, attempts):
    job = row(state=state, attempts=attempts)
    await stopped.jobs.add(job, png())
    await stopped.service.start()
    over = await stopped.service.wait(job.id)
    assert (over.state, over.attempts) == ("delivered", attempts + 1)
    assert len(stopped.letters.of(job.id)) == 1


async def test_a_job_during_which_the_bot_died_three_times_is_given_up_in_words(stopped):
    job = row(state="running", attempts=3)
    await stopped.jobs.add(job, png())
    await stopped.service.start()
    over = await stopped.service.wait(job.id)
    assert (over.state, over.gpu_ms) == ("failed", 0)
    assert "begun 3 times" in stopped.letters.words_for(job.id)[0]


async def test_what_was_rendered_is_only_posted(stopped):
    job = row(state="rendered", attempts=1)
    path = stopped.files.write(job.id, "done.png", png(48, 32))
    job = replace(job, result=(ResultFile(path.name, 48, 32, path.stat().st_size),))
    await stopped.jobs.add(job, png())
    await stopped.service.start()
    over = await stopped.service.wait(job.id)
    assert (over.state, over.gpu_ms) == ("delivered", 0)
    assert stopped.letters.of(job.id)[0].bytes == (png(48, 32),)


async def test_a_rendered_picture_that_is_lost_is_made_again(stopped):
    job = row(state="rendered", attempts=1, result=(ResultFile("gone.png", 48, 32, 1),))
    await stopped.jobs.add(job, png())
    await stopped.service.start()
    assert (await stopped.service.wait(job.id)).state == "delivered"


async def test_a_telling_that_was_interrupted_is_repeated_and_nothing_is_rendered(stopped):
    job = row(state="running", attempts=1, error="It did not work.", posting=True)
    await stopped.jobs.add(job, png())
    await stopped.service.start()
    over = await stopped.service.wait(job.id)
    assert (over.state, over.gpu_ms) == ("failed", 0)
    assert stopped.letters.words_for(job.id) == ["It did not work."]


async def test_a_source_that_is_lost_ends_in_words(stopped):
    job = row()
    await stopped.jobs.add(job)
    await stopped.service.start()
    assert (await stopped.service.wait(job.id)).state == "failed"
    assert "no longer kept" in stopped.letters.words_for(job.id)[0]


async def test_jobs_of_this_process_are_left_alone(stopped):
    with stopped.held():
        job = await stopped.service.upscale(wish())
        await stopped.service.start()
        await stopped.service.start()
    over = await stopped.service.wait(job.id)
    assert (over.state, over.attempts) == ("delivered", 1)
    assert len(stopped.letters.of(job.id)) == 1


async def test_leftovers_of_a_killed_process_are_removed(stopped):
    incoming = stopped.settings.data_dir / "incoming" / "tilestep-x"
    incoming.mkdir(parents=True)
    (incoming / "picture").write_bytes(b"x")
    half = stopped.files.folder("abc") / ".0123.part"
    half.write_bytes(b"x")
    await stopped.service.start()
    assert not incoming.exists()
    assert not half.exists()


async def test_a_stopped_job_goes_on_in_the_next_run(tmp_path):
    bot = SmallBot(tmp_path)
    async with bot:
        await bot.service.start()
        bot.gpu.pause()
        job = await bot.service.upscale(wish())
        await bot.until(job, "running")
        await bot.service.stop()
        bot.gpu.resume()
    async with bot:
        await bot.service.start()
        assert (await bot.service.wait(job.id)).state == "delivered"
    assert len(bot.letters.of(job.id)) == 1


async def test_old_results_and_records_are_removed(tmp_path):
    async with SmallBot(tmp_path, keep_results_days=0) as bot:
        job = await bot.upscaled()
        assert not bot.files.job_ids()
        assert (await bot.jobs.get(job.id)).state == "delivered"
    async with SmallBot(tmp_path, keep_jobs_days=1e-9) as bot:
        await bot.service._upkeep.once()
        assert not await bot.jobs.history(MEMBER, 77, 10)


async def test_suspects_run_one_after_another(stopped):
    jobs = [row(state="running", attempts=2) for _ in range(2)]
    for job in jobs:
        await stopped.jobs.add(job, png())
    with stopped.held(), contextlib.suppress(StopIteration):
        await stopped.service.start()
        await stopped.until(jobs[0], "running")
        assert (await stopped.jobs.get(jobs[1].id)).attempts == 2
    for job in jobs:
        assert (await stopped.service.wait(job.id)).state == "delivered"


async def test_a_database_that_is_away_at_the_start_only_delays_the_jobs_of_earlier_runs(stopped, monkeypatch):
    monkeypatch.setattr(recovery, "DATABASE_RETRY_S", 0.01)
    job = row(state="accepted")
    await stopped.jobs.add(job, png())
    faults, really = [DatabaseError("The database cannot be used: try again later.")] * 3, stopped.jobs.open_jobs

    async def away(**where):
        if faults:
            raise faults.pop()
        return await really(**where)

    monkeypatch.setattr(stopped.jobs, "open_jobs", away)
    await stopped.service.start()
    over = await stopped.service.wait(job.id)
    assert over.state == "delivered"
