"""What is allowed when a job is accepted and no longer when its turn comes: told in words, and nothing stays behind."""

import asyncio

import pytest
from plain_words import check_words
from small_bot import GUILD, MEMBER, OTHER, flat, wish

from tilestep.bot.errors import NoSuchJob
from tilestep.bot.requests import SourcePicture, UpscaleOptions

REVOKED = {
    "the member": ({}, "blocked"),
    "the channel": ({"allowed_channel_ids": frozenset({9})}, "go to <#9>"),
    "the member's roles": ({"allowed_role_ids": frozenset({9})}, "you need <@&9>"),
    "the size": ({"max_input_megapixels": 0.01}, "up to 0.01 are allowed"),
    "the size of the result": ({"max_output_megapixels": 0.01}, "up to 0.01 are allowed"),
    "the scale": ({"max_scale": 2}, "choose 2x"),
    "the quality": ({"best_quality": "fast"}, "choose fast"),
    "the steps": ({"max_steps": 0}, "choose 0 to 0"),
    "the time": ({"gpu_seconds_per_day": 1}, "computing time"),
    "the prompt": ({"blocked_words": ("fox",)}, '"fox"'),
    "somebody else's picture": ({"who_may_click": "owner"}, f"<@{OTHER}>"),
}


async def a_foxs_picture(bot):
    """Drawn for somebody else."""
    drawn = await bot.upscaled(wish(member=OTHER))
    await bot.jobs.update(drawn.id, recipe={"prompt": "a red fox"})
    return SourcePicture(flat(120, 100), "fox.png", author_id=OTHER, job_id=drawn.id)


@pytest.mark.parametrize(
    "told_at_once",
    [
        pytest.param(True, id="told at once"),
        pytest.param(False, id="found when its turn comes", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("revoked", REVOKED)
async def test_a_right_that_is_revoked_in_flight_ends_in_words(one_at_a_time, revoked, told_at_once):
    bot, (changes, words) = one_at_a_time, REVOKED[revoked]
    source = await a_foxs_picture(bot)
    tasks = asyncio.all_tasks()
    with bot.held():
        holder = await bot.service.upscale(wish(member=OTHER))
        await bot.until(holder, "running")
        options = UpscaleOptions(scale=4, quality="balanced", steps=1)
        job = await bot.service.upscale(wish(source=source, options=options))
        await bot.jobs.charge(job.id, 2000)
        await bot.guilds.set_limits(GUILD, changes, by=1)
        if revoked == "the member":
            await bot.guilds.block(GUILD, MEMBER, by=1)
        if told_at_once:
            assert [ended.id for ended in await bot.service.limits_changed(GUILD)] == [job.id]
    over = await bot.service.wait(job.id)
    assert (await bot.service.wait(holder.id)).state == "delivered"
    assert (over.state, over.attempts, over.gpu_ms) == ("cancelled", 0, 2000)
    assert bot.letters.words_for(job.id) == [over.error]
    check_words(over.error)
    assert words in over.error
    assert not bot.letters.of(job.id)
    with pytest.raises(NoSuchJob):
        await bot.jobs.source(job.id)
    assert not list((bot.settings.data_dir / "results").glob(f"{job.id}/*"))
    assert not list((bot.settings.data_dir / "incoming").iterdir())
    assert asyncio.all_tasks() <= tasks
