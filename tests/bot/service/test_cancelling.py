"""Jobs that people end: at any point, any number of times, and nothing is left over."""

import asyncio

import pytest
from small_bot import GUILD, MEMBER, OTHER, flat, moderator, wish

from tilestep.bot.errors import NoSuchJob, Undeliverable
from tilestep.bot.requests import Actor, SourcePicture

ME = Actor(MEMBER, guild_id=GUILD)


def leftovers(bot, job):
    folder = bot.settings.data_dir / "results" / job.id
    return list(folder.iterdir()) if folder.exists() else []


async def ended(bot, job):
    over = await bot.service.wait(job.id)
    assert over.state == "cancelled"
    assert not bot.letters.of(job.id)
    assert not leftovers(bot, job)
    with pytest.raises(NoSuchJob):
        await bot.jobs.source(job.id)
    assert bot.gpu.statistics().jobs == ()
    return over


@pytest.mark.parametrize("state", ["accepted", "queued", "running"])
async def test_a_job_is_cancelled_whatever_its_state(one_at_a_time, state):
    bot = one_at_a_time
    with bot.held():
        if state == "queued":
            first = await bot.service.upscale(wish(member=OTHER))
            await bot.until(first, "running")
        job = await bot.service.upscale(wish())
        if state != "accepted":
            await bot.until(job, state)
        cancelling = asyncio.create_task(bot.service.cancel(job.id, ME))
        await asyncio.sleep(0)
    assert (await cancelling).state == "cancelled"
    if state == "queued":
        await bot.service.wait(first.id)
    await ended(bot, job)


async def test_cancelling_again_changes_nothing(bot):
    with bot.held():
        job = await bot.service.upscale(wish())
        await bot.service.cancel(job.id, ME)
    first = await ended(bot, job)
    assert await bot.service.cancel(job.id, ME) == first
    done = await bot.upscaled()
    assert (await bot.service.cancel(done.id, ME)).state == "delivered"
    assert bot.letters.of(done.id)


async def test_a_result_that_is_being_posted_is_taken_back(bot):
    bot.letters.gate.clear()
    job = await bot.service.upscale(wish())
    await bot.letters.sending.wait()
    cancelling = asyncio.create_task(bot.service.cancel(job.id, ME))
    while (await bot.jobs.get(job.id)).state != "cancelled":
        await asyncio.sleep(0.01)
    bot.letters.gate.set()
    await cancelling
    await ended(bot, job)
    assert len(bot.letters.deleted) == 1


async def test_a_moderator_of_the_guild_may_cancel_and_the_member_hears_of_it(bot):
    with bot.held():
        job = await bot.service.upscale(wish())
        await bot.service.cancel(job.id, moderator())
    await ended(bot, job)
    assert bot.letters.words_for(job.id) == ["Your job was cancelled by a moderator."]


@pytest.mark.parametrize(
    "actor", [Actor(OTHER, guild_id=GUILD), moderator(OTHER, guild_id=78), moderator(OTHER, guild_id=None)]
)
async def test_nobody_else_may(bot, actor):
    job = await bot.service.upscale(wish())
    for forbidden in (bot.service.cancel, bot.service.delete_result):
        with pytest.raises(NoSuchJob):
            await forbidden(job.id, actor)
    assert (await bot.service.wait(job.id)).state == "delivered"


async def test_a_deleted_result_is_gone_from_channel_and_disk(bot):
    job = await bot.upscaled()
    await bot.service.delete_result(job.id, ME)
    assert bot.letters.deleted == [(job.result_channel_id, job.result_message_id)]
    assert not leftovers(bot, job)
    assert (await bot.jobs.get(job.id)).result == ()
    await bot.service.delete_result(job.id, ME)


async def test_a_message_that_cannot_be_deleted_is_said(bot, monkeypatch):
    job = await bot.upscaled()

    async def refuses(channel_id, message_id):
        return False

    monkeypatch.setattr(bot.letters, "delete_message", refuses)
    with pytest.raises(Undeliverable, match="delete it there"):
        await bot.service.delete_result(job.id, ME)
    assert leftovers(bot, job)


async def test_a_member_who_is_forgotten_leaves_no_row_and_no_file(bot):
    done = await bot.upscaled()
    with bot.held():
        running = await bot.service.upscale(wish())
        others = await bot.service.upscale(wish(member=OTHER))
        await bot.service.forget_member(MEMBER)
    for job in (done, running):
        with pytest.raises(NoSuchJob):
            await bot.jobs.get(job.id)
        assert not leftovers(bot, job)
    assert (await bot.service.wait(others.id)).state == "delivered"
    assert not bot.letters.of(running.id)


async def test_copies_of_what_others_made_of_a_forgotten_members_picture_go_and_their_rows_stay(bot):
    mine = SourcePicture(flat(24, 16), "my secret cat.png", author_id=MEMBER)
    theirs = await bot.upscaled(wish(member=OTHER, source=mine))
    assert any("secret" in file.name for file in leftovers(bot, theirs))
    await bot.service.forget_member(MEMBER)
    assert not leftovers(bot, theirs)
    row = await bot.jobs.get(theirs.id)
    assert (row.state, row.source_filename, row.source_author_id) == ("delivered", None, None)
    assert [file.name for file in row.result] == [f"picture-{theirs.id}.png"]


async def test_a_guild_that_is_left_is_erased_with_its_jobs(bot):
    done = await bot.upscaled()
    await bot.guilds.set_limits(GUILD, {"max_scale": 2}, by=1)
    with bot.held():
        running = await bot.service.upscale(wish())
        await bot.service.guild_removed(GUILD)
    for job in (done, running):
        assert not leftovers(bot, job)
        with pytest.raises(NoSuchJob):
            await bot.jobs.get(job.id)
    assert not await bot.guilds.audit(GUILD)
    assert not bot.letters.told
