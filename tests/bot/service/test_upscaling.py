"""From a wish to a posted picture."""

import io

import numpy as np
import pytest
from PIL import Image
from small_bot import CHANNEL, GUILD, MEMBER, png, wish

from tilestep.bot.requests import SourcePicture, UpscaleOptions
from tilestep.upscaler.errors import InputError


async def test_a_picture_is_enlarged_posted_and_its_row_tells_all_of_it(bot):
    accepted = await bot.service.upscale(wish(options=UpscaleOptions(scale=4)))
    assert (await bot.jobs.get(accepted.id)).source_width_px == 24
    job = await bot.service.wait(accepted.id)
    [post] = bot.letters.of(job.id)
    assert job.state == "delivered"
    assert (job.result_channel_id, job.result_message_id) == (CHANNEL, post.message_id)
    assert (job.requester_id, job.guild_id, job.attempts) == (MEMBER, GUILD, 1)
    assert job.options.quality == "balanced"
    assert job.options.seed is not None
    [file] = job.result
    assert file.name == f"cat_photo_4x-{job.id}.png"
    picture = Image.open(io.BytesIO(post.bytes[0]))
    assert picture.size == (96, 64) == (file.width_px, file.height_px)
    assert len(post.bytes[0]) == file.bytes
    assert file.description == "A picture enlarged 4x to 96 by 64 pixels"


async def test_transparency_stays(bot):
    job = await bot.upscaled(wish(data=png(mode="RGBA")))
    [post] = bot.letters.of(job.id)
    assert Image.open(io.BytesIO(post.bytes[0])).mode == "RGBA"


async def test_the_same_seed_gives_the_same_picture(bot):
    options = UpscaleOptions(quality="balanced", seed=7)
    first, second = [await bot.upscaled(wish(data=png(), options=options)) for _ in range(2)]
    one, two = (np.asarray(Image.open(io.BytesIO(bot.letters.of(job.id)[0].bytes[0]))) for job in (first, second))
    np.testing.assert_array_equal(one, two)


async def test_gpu_time_is_charged_to_the_job_and_to_the_members_day(bot):
    job = await bot.upscaled()
    assert job.gpu_ms > 0
    assert await bot.guilds.gpu_seconds_today(GUILD, MEMBER) == pytest.approx(job.gpu_ms / 1000)


async def test_the_progress_message_is_one_message_that_is_gone_at_the_end(bot):
    job = await bot.upscaled()
    assert {number for number, _ in bot.letters.shown} == {job.id}
    assert bot.letters.ended == [(job.id, "")]
    assert job.progress_message_id is not None


async def test_spoiler_and_alt_text_go_along(bot):
    source = SourcePicture(png(), "SPOILER_x.png", spoiler=True, description="A cat")
    job = await bot.upscaled(wish(source=source))
    [post] = bot.letters.of(job.id)
    assert post.result.spoiler
    assert post.result.pictures[0].description.startswith("A cat (enlarged 2x")


async def test_nothing_is_left_over_but_the_result_and_the_original(bot):
    job = await bot.upscaled()
    names = sorted(path.name for path in bot.files.folder(job.id).iterdir())
    assert names == [f"cat_photo_2x-{job.id}.png", "original-cat_photo.png"]
    assert not list((bot.settings.data_dir / "incoming").iterdir())
    assert not bot.service._runner.lives


async def test_originals_are_not_kept_where_the_guild_does_not_want_it(bot):
    await bot.guilds.set_limits(GUILD, {"keep_originals": False}, by=1)
    job = await bot.upscaled()
    assert [path.name for path in bot.files.folder(job.id).iterdir()] == [job.result[0].name]


async def test_many_members_at_once_all_get_theirs(bot):
    jobs = [await bot.service.upscale(wish(member=n % 3, data=png(seed=n))) for n in range(6)]
    over = [await bot.service.wait(job.id) for job in jobs]
    assert {job.state for job in over} == {"delivered"}
    assert all(len(bot.letters.of(job.id)) == 1 for job in jobs)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(40), b"not a picture", png()[:60]], ids=["empty", "gif", "text", "cut"]
)
async def test_what_is_no_picture_is_refused_before_there_is_a_row(bot, data):
    with pytest.raises(InputError):
        await bot.service.upscale(wish(source=SourcePicture(data, "x.png")))
    assert not await bot.jobs.open_jobs()
    assert not list((bot.settings.data_dir / "incoming").iterdir())
