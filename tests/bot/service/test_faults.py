"""Whatever goes wrong, the job ends in its row and in words for its member."""

import asyncio
import errno
import logging

import pytest
from small_bot import GUILD, MEMBER, SmallBot, wish

import tilestep.bot.outbox as outbox
from tilestep.bot.errors import DatabaseError, Undeliverable
from tilestep.bot.requests import Reply
from tilestep.upscaler.errors import OutputError
from tilestep.upscaler.images.sink import unwritable


async def test_a_fault_of_ours_is_told_as_such_and_logged_with_the_jobs_number(bot, caplog):
    bot.letters.faults.append(RuntimeError("secret detail"))
    job = await bot.upscaled()
    assert job.state == "failed"
    [words] = bot.letters.words_for(job.id)
    assert "on our side" in words
    assert job.id in words
    assert "secret" not in words
    assert any(job.id in record.getMessage() and record.exc_info for record in caplog.records)


async def test_a_result_that_can_never_be_posted_ends_in_words(bot):
    bot.letters.faults.append(Undeliverable("That channel is gone."))
    job = await bot.upscaled()
    assert (job.state, job.error) == ("failed", "That channel is gone.")
    assert bot.letters.words_for(job.id) == ["That channel is gone."]
    assert not list(bot.files.folder(job.id).iterdir())


async def test_while_discord_is_down_the_result_waits(bot, monkeypatch):
    monkeypatch.setattr(outbox, "FIRST_RETRY_S", 0.01)
    bot.letters.faults += [Undeliverable("Discord is down.", again_later=True)] * 3
    job = await bot.upscaled()
    assert job.state == "delivered"
    assert len(bot.letters.of(job.id)) == 1
    assert not bot.letters.told


async def test_nobody_who_can_be_told_is_no_reason_to_keep_a_job_open(bot):
    bot.letters.silent = True
    bot.letters.faults.append(Undeliverable("Nobody is there."))
    assert (await bot.upscaled()).state == "failed"


async def test_a_disk_that_cannot_be_written_is_told_in_words(bot, monkeypatch):
    def full(job_id):
        raise OutputError("The disk is full: free some space.")

    monkeypatch.setattr(bot.files, "folder", full)
    job = await bot.upscaled()
    assert (job.state, job.error) == ("failed", "The disk is full: free some space.")


async def test_no_member_reads_where_the_operators_files_lie(bot, monkeypatch):
    def full(job_id):
        raise unwritable(bot.files.root / job_id / "x.png", OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(bot.files, "folder", full)
    job = await bot.upscaled()
    assert job.error == (
        "The picture cannot be written: No space left on device. Free some space or choose another disk."
    )
    assert bot.letters.words_for(job.id) == [job.error]


async def test_a_job_waits_for_a_database_that_is_away(bot, monkeypatch, caplog):
    monkeypatch.setattr("tilestep.bot.runner.DATABASE_RETRY_S", 0.01)
    move, faults = bot.jobs.move, [DatabaseError("The database cannot be reached.")] * 2

    async def away(job_id, to, **fields):
        if to == "rendered" and faults:
            raise faults.pop()
        return await move(job_id, to, **fields)

    monkeypatch.setattr(bot.jobs, "move", away)
    job = await bot.upscaled()
    assert job.state == "delivered"
    assert len(bot.letters.of(job.id)) == 1


async def test_what_a_cancelled_job_used_of_the_gpu_counts(bot):
    bot.letters.gate.clear()
    job = await bot.service.upscale(wish())
    await bot.letters.sending.wait()
    used = (await bot.jobs.get(job.id)).gpu_ms
    bot.letters.gate.set()
    await bot.service.wait(job.id)
    assert used > 0
    assert await bot.guilds.gpu_seconds_today(GUILD, MEMBER) == pytest.approx(used / 1000)


async def test_progress_that_cannot_be_shown_does_not_harm_the_job(bot, monkeypatch, caplog):
    async def breaks(job, progress):
        raise RuntimeError("no progress")

    monkeypatch.setattr(bot.letters, "show_progress", breaks)
    assert (await bot.upscaled()).state == "delivered"
    assert caplog.at_level(logging.ERROR)


async def test_the_words_of_a_private_job_stay_on_its_own_reply(bot):
    bot.letters.faults.append(Undeliverable("It is too large."))
    reply = Reply(1, "token", expires_at=2e9)
    job = await bot.upscaled(wish(private=True, reply=reply))
    assert bot.letters.ended == [(job.id, "It is too large.")]


async def test_stopping_ends_every_task_and_leaves_the_rows_open(tmp_path):
    bot = SmallBot(tmp_path)
    async with bot:
        await bot.service.start()
        bot.gpu.pause()
        jobs = [await bot.service.upscale(wish(member=n)) for n in range(3)]
        await bot.until(jobs[0], "running")
        before = asyncio.all_tasks()
        await bot.service.stop()
        assert {task for task in before if "tilestep" in task.get_name() and not task.done()} == set()
        open_jobs = await bot.jobs.open_jobs()
        bot.gpu.resume()
    assert [job.id for job in open_jobs] == [job.id for job in jobs]
    assert {job.attempts for job in open_jobs} == {0}
