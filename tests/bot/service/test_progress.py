"""The progress message: what is shown, and how seldom."""

import asyncio
import io
from dataclasses import replace
from itertools import pairwise

from PIL import Image
from small_bot import MEMBER, OTHER, SmallBot, flat, wish

from tilestep.bot.requests import Actor, UpscaleOptions


async def test_a_waiting_job_tells_its_place_and_a_working_one_how_far_it_is(one_at_a_time):
    bot = one_at_a_time
    with bot.held():
        first = await bot.service.upscale(wish())
        await bot.until(first, "running")
        second = await bot.service.upscale(wish(member=OTHER))
        await bot.until(second, "queued")
        assert bot.service.progress(first.id).stage == "working"
        assert bot.service.progress(second.id).stage == "waiting"
    for job in (first, second):
        await bot.service.wait(job.id)
    stages = [progress.stage for number, progress in bot.letters.shown if number == second.id]
    assert stages[0] == "waiting"


async def test_a_preview_shows_what_there_is_so_far(tmp_path, monkeypatch):
    monkeypatch.setattr("tilestep.bot.live.LOOK_AGAIN_S", 0)
    bot = SmallBot(tmp_path)
    bot.settings = bot.settings.model_copy(update={"progress_seconds": 0.01})
    async with bot:
        job = await bot.service.upscale(wish(data=flat(400, 400), options=UpscaleOptions(quality="fast")))
        while not bot.service.progress(job.id).done:
            await asyncio.sleep(0.001)
        with bot.held():
            while not (previews := [progress.preview for _, progress in bot.letters.shown if progress.preview]):
                await asyncio.sleep(0.01)
            cancelling = asyncio.create_task(bot.service.cancel(job.id, Actor(MEMBER)))
        await cancelling
    assert previews[0].startswith(b"\xff\xd8")
    assert Image.open(io.BytesIO(previews[0])).size == (400, 400)


async def test_what_has_not_changed_is_not_shown_again(tmp_path):
    bot = SmallBot(tmp_path)
    bot.settings = bot.settings.model_copy(update={"progress_seconds": 0.01})
    async with bot:
        await bot.upscaled(wish(data=flat(48, 200)))
    shown = [replace(progress, seconds_left=None, preview=None) for _, progress in bot.letters.shown]
    assert all(one != other for one, other in pairwise(shown))
