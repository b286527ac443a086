"""What members see of the queue, and whether a button is offered."""

from small_bot import GUILD, HERE, MEMBER, OTHER, wish

from tilestep.bot.requests import Place


async def test_a_member_sees_their_jobs_here_and_what_they_have_used(one_at_a_time):
    bot = one_at_a_time
    await bot.upscaled()
    with bot.held():
        jobs = [await bot.service.upscale(wish()) for _ in range(2)]
        await bot.service.upscale(wish(member=OTHER))
        elsewhere = await bot.service.upscale(wish(place=Place(78, 700)))
        await bot.until(elsewhere, "queued")
        view = await bot.service.queue(GUILD, MEMBER)
        assert [queued.job.id for queued in view.jobs] == [job.id for job in jobs]
        assert [queued.progress.stage for queued in view.jobs] == ["working", "waiting"]
        assert (view.guild_jobs, view.waiting, view.running) == (3, 3, 1)
        assert view.jobs_at_once == 3
        assert 0 < view.gpu_seconds_today < view.gpu_seconds_per_day == 600
        assert (view.resets_at.hour, view.resets_at.minute) == (0, 0)
        assert not view.paused
    for job in await bot.jobs.open_jobs():
        await bot.service.wait(job.id)
    assert (await bot.service.queue(GUILD, MEMBER)).jobs == ()
    assert bot.service.progress(jobs[0].id) is None


async def test_a_button_is_offered_as_long_as_the_limits_allow_it(bot):
    assert (await bot.service.offers(None, HERE, 2048, 1024)).enabled
    offer = await bot.service.offers(None, HERE, 4096, 4096)
    assert not offer.enabled
    assert "megapixels" in offer.reason
