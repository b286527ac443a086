"""Limits hold when a job is accepted, when it starts, and when they change."""

import asyncio

import pytest
from plain_words import check_words
from small_bot import CHANNEL, GUILD, HERE, MEMBER, OTHER, SmallBot, flat, png, wish

from tilestep.bot.errors import Refused
from tilestep.bot.requests import Actor, Place, UpscaleOptions
from tilestep.upscaler.errors import InputError, OptionError


async def refused(bot, request):
    with pytest.raises(Refused) as caught:
        await bot.service.upscale(request)
    return caught.value


async def test_a_refusal_names_its_limit_and_leaves_no_row(bot):
    await bot.guilds.set_limits(GUILD, {"max_scale": 2}, by=1)
    error = await refused(bot, wish(options=UpscaleOptions(scale=4)))
    assert error.code == "max_scale"
    assert "choose 2x" in str(error)
    assert not await bot.jobs.open_jobs()
    assert bot.gpu.statistics().served_ms == 0


async def test_the_early_check_needs_no_picture(bot):
    await bot.guilds.block(GUILD, MEMBER, by=1)
    with pytest.raises(Refused, match="blocked"):
        await bot.service.check_upscale(Actor(MEMBER), HERE, via="button")
    await bot.service.check_upscale(Actor(OTHER), HERE, via="button", size=(64, 64))


async def test_the_size_of_the_picture_counts_and_not_what_was_said_of_it(bot):
    await bot.guilds.set_limits(GUILD, {"max_input_megapixels": 0.01}, by=1)
    await bot.service.check_upscale(Actor(MEMBER), HERE, via="button", size=(8, 8))
    assert (await refused(bot, wish(data=flat(101, 100)))).code == "max_input_megapixels"
    job = await bot.service.upscale(wish(data=flat(100, 100)))
    assert (job.source_width_px, job.source_height_px) == (100, 100)
    await bot.service.cancel(job.id, Actor(MEMBER))


async def test_of_two_clicks_at_once_for_the_last_place_one_is_refused(bot):
    await bot.guilds.set_limits(GUILD, {"jobs_at_once": 1}, by=1)
    with bot.held():
        both = await asyncio.gather(*(bot.service.upscale(wish()) for _ in range(2)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in both) == ["Job", "Refused"]
    for job in await bot.jobs.open_jobs():
        await bot.service.wait(job.id)
    assert (await bot.upscaled()).state == "delivered"


async def test_the_gpu_seconds_of_a_day_are_counted_again_before_a_job_starts(one_at_a_time):
    bot = one_at_a_time
    await bot.guilds.set_limits(GUILD, {"gpu_seconds_per_day": 1}, by=1)
    with bot.held():
        first, second = [await bot.service.upscale(wish()) for _ in range(2)]
        await bot.jobs.charge(first.id, 1000)
    first, second = [await bot.service.wait(job.id) for job in (first, second)]
    assert (first.state, second.state) == ("delivered", "cancelled")
    [words] = bot.letters.words_for(second.id)
    assert "computing time" in words
    assert second.error == words
    assert second.gpu_ms == 0


async def test_when_limits_change_what_waits_is_looked_at_again_and_what_runs_goes_on(one_at_a_time):
    bot = one_at_a_time
    with bot.held():
        scales = (4, 4, 2)
        wishes = [wish(options=UpscaleOptions(scale=scale, quality="fast")) for scale in scales]
        first, large, small = [await bot.service.upscale(one) for one in wishes]
        await bot.until(first, "running")
        await bot.guilds.set_limits(GUILD, {"max_scale": 2}, by=1)
        assert [job.id for job in await bot.service.limits_changed(GUILD)] == [large.id]
    assert (await bot.service.wait(large.id)).state == "cancelled"
    assert "4x" in bot.letters.words_for(large.id)[0]
    assert (await bot.service.wait(first.id)).state == "delivered"
    assert (await bot.service.wait(small.id)).state == "delivered"


async def test_a_member_who_is_blocked_loses_what_is_under_way_there_and_nothing_else(bot):
    with bot.held():
        here, elsewhere, others = [
            await bot.service.upscale(request)
            for request in (wish(), wish(place=Place(78, CHANNEL)), wish(member=OTHER))
        ]
        await bot.guilds.block(GUILD, MEMBER, by=1)
        assert [job.id for job in await bot.service.member_blocked(GUILD, MEMBER)] == [here.id]
    assert "blocked" in bot.letters.words_for(here.id)[0]
    assert (await bot.service.wait(elsewhere.id)).state == "delivered"
    assert (await bot.service.wait(others.id)).state == "delivered"


async def test_steps_of_a_preset_are_capped_by_the_limits(bot):
    await bot.guilds.set_limits(GUILD, {"max_steps": 0}, by=1)
    options = UpscaleOptions(quality="balanced", seed=1)
    capped = await bot.upscaled(wish(data=png(), options=options))
    faithful = await bot.upscaled(wish(data=png(), options=UpscaleOptions(quality="faithful", seed=1)))
    assert bot.letters.of(capped.id)[0].bytes == bot.letters.of(faithful.id)[0].bytes


@pytest.mark.parametrize(
    ("options", "error"),
    [
        *((UpscaleOptions(scale=scale), Refused) for scale in (1, 5, 16, 2**31, -(2**31), 2**64)),
        *((UpscaleOptions(quality=quality), Refused) for quality in ("BEST", "best ", "../best", "__class__")),
        *((UpscaleOptions(steps=steps), Refused) for steps in (9, 2**31, -(2**63))),
        *((UpscaleOptions(seed=seed), OptionError) for seed in (2**63, 2**64, -(2**63))),
        *((UpscaleOptions(format=kind), OptionError) for kind in ("", "PNG", "svg", "../../x")),
        (UpscaleOptions(scale=3), Refused),
        (UpscaleOptions(scale=0), Refused),
        (UpscaleOptions(scale=-2), Refused),
        (UpscaleOptions(scale=8), Refused),
        (UpscaleOptions(quality="superb"), Refused),
        (UpscaleOptions(steps=-1), Refused),
        (UpscaleOptions(steps=51), Refused),
        (UpscaleOptions(seed=-1), OptionError),
        (UpscaleOptions(seed=2**32), OptionError),
        (UpscaleOptions(format="gif"), OptionError),
    ],
)
async def test_options_out_of_range_are_refused_in_a_line(bot, options, error):
    with pytest.raises(error) as caught:
        await bot.service.upscale(wish(options=options))
    assert "choose" in str(caught.value)
    check_words(str(caught.value))
    assert not await bot.jobs.open_jobs()
    assert not list((bot.settings.data_dir / "incoming").iterdir())


async def test_a_file_that_is_too_large_is_refused(tmp_path):
    async with SmallBot(tmp_path, max_source_mib=1) as bot:
        with pytest.raises(InputError, match="1 are taken at most"):
            await bot.service.upscale(wish(data=png() + bytes(1 << 20)))


async def test_a_full_disk_refuses_new_jobs_with_a_word(tmp_path):
    async with SmallBot(tmp_path, min_free_disk_mib=1 << 40) as bot:
        assert (await refused(bot, wish())).code == "disk"
        assert any("disk" in problem for problem in (await bot.service.health()).problems)


async def test_while_paused_nothing_is_accepted_and_afterwards_all_goes_on(bot):
    with bot.held():
        job = await bot.service.upscale(wish())
        bot.service.pause()
        assert (await refused(bot, wish())).code == "paused"
        assert not (await bot.service.health()).ready
        bot.service.resume()
    assert (await bot.service.wait(job.id)).state == "delivered"
    assert (await bot.service.health()).ready
