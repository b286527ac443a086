"""New pictures through the service, from a real tiny diffusers model in a folder."""

import io
import re

import pytest
import tiny_pipelines
from PIL import Image
from small_bot import GUILD, MEMBER, SmallBot, image_wish, wish

from tilestep.bot.errors import ModelUnavailable, Refused
from tilestep.bot.images import read_recipe
from tilestep.bot.job import Job, new_job_id
from tilestep.bot.requests import ImagineOptions, SourcePicture
from tilestep.upscaler.errors import OptionError


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "lighthouses"
    tiny_pipelines.FAMILIES["stable diffusion"]().save_pretrained(folder)
    return str(folder)


@pytest.fixture
async def painter(bot, model_folder):
    """A bot with a model."""
    await bot.model.load(model_folder)
    return bot


async def imagined(bot, request):
    return await bot.service.wait((await bot.service.imagine(request)).id)


async def test_pictures_a_grid_and_the_recipe_of_each(painter):
    job = await imagined(painter, image_wish("a lighthouse", count=3, seed=5, guidance=4.0))
    [post] = painter.letters.of(job.id)
    assert (job.state, job.attempts) == ("delivered", 1)
    assert [picture.path.name for picture in post.result.pictures] == [f"imagine-{job.id}-{n}.png" for n in range(4)]
    sizes = [Image.open(io.BytesIO(data)).size for data in post.bytes]
    assert sizes == [(64, 64), (32, 32), (32, 32), (32, 32)]
    recipes = [await read_recipe(painter.files.path(job.id, file.name)) for file in job.result[1:]]
    assert [recipe["seed"] for recipe in recipes] == [5, 6, 7]
    assert {recipe["model"] for recipe in recipes} == {job.recipe["model"]}
    assert re.fullmatch(r"[^/]+/lighthouses", job.recipe["model"])
    assert (job.recipe["prompt"], job.recipe["steps"], job.recipe["guidance"]) == ("a lighthouse", 2, 4.0)
    assert {recipe["scheduler"] for recipe in [*recipes, job.recipe]} == {"EulerAncestralDiscreteScheduler"}
    assert await painter.guilds.gpu_seconds_today(GUILD, MEMBER) == pytest.approx(job.gpu_ms / 1000)


async def test_an_upscale_of_our_own_picture_inherits_its_recipe(painter):
    made = await imagined(painter, image_wish(count=2, seed=9))
    second = made.result[2]
    data = painter.files.path(made.id, second.name).read_bytes()
    source = SourcePicture(data, second.name, author_id=MEMBER, job_id=made.id)
    job = await painter.upscaled(wish(source=source))
    assert job.parent_job_id == made.id
    assert job.recipe == {**made.recipe, "seed": 10}
    recipe = await read_recipe(painter.files.path(job.id, job.result[0].name))
    assert (recipe["prompt"], recipe["upscale"]["scale"]) == ("a lighthouse", 2)
    assert job.result[0].name == f"imagine_2x-{job.id}.png"


async def test_what_has_no_effect_is_said(painter):
    job = await imagined(painter, image_wish(negative_prompt="fog", guidance=0.0))
    assert "negative prompt" in painter.letters.of(job.id)[0].result.note


async def test_what_of_a_long_prompt_is_not_read_is_said_in_the_members_own_words(painter):
    assert painter.model.unread("foxes and boat") == ""
    job = await imagined(painter, image_wish("Foxes and `boat`s BY the sea", guidance=4.0))
    note = painter.letters.of(job.id)[0].result.note
    assert note == "The prompt is longer than this model reads: `s BY the sea` was left out."
    job = await imagined(painter, image_wish("a fox", negative_prompt="x" * 14 + " @everyone `y", guidance=4.0))
    assert "The negative prompt" in job.note
    assert "`@everyone 'y`" in job.note


async def test_without_a_model_it_is_refused_in_words_and_upscaling_goes_on(bot):
    with pytest.raises(ModelUnavailable, match="no text-to-image model"):
        await bot.service.imagine(image_wish())
    assert (await bot.upscaled()).state == "delivered"


async def test_prompts_with_blocked_words_and_limits_are_refused_before_the_gpu(painter):
    await painter.guilds.set_limits(GUILD, {"blocked_words": ("lighthouse",)}, by=1)
    with pytest.raises(Refused, match="lighthouse"):
        await painter.service.imagine(image_wish())
    await imagined(painter, image_wish("a boat", negative_prompt="lighthouse"))
    for options in ({"steps": 101}, {"width_px": 4096}, {"count": 5}):
        with pytest.raises(Refused):
            await painter.service.imagine(image_wish("a boat", **options))
    for options in ({"seed": -1}, {"guidance": float("nan")}, {"guidance": 101.0}):
        with pytest.raises(OptionError):
            await painter.service.imagine(image_wish("a boat", **options))
    with pytest.raises(OptionError, match="empty"):
        await painter.service.imagine(image_wish(" "))


async def test_after_a_restart_a_job_waits_for_the_model(tmp_path, model_folder):
    options = ImagineOptions("a boat", width_px=32, height_px=32, steps=2, guidance=1.0, seed=3)
    job = Job(id=new_job_id(), kind="imagine", channel_id=700, requester_id=MEMBER, guild_id=GUILD, options=options)
    async with SmallBot(tmp_path, model=model_folder) as bot:
        await bot.jobs.add(job)
        await bot.service.start()
        await bot.model.load(model_folder)
        assert (await bot.service.wait(job.id)).state == "delivered"


async def test_after_a_restart_without_the_model_the_member_is_told(bot):
    options = ImagineOptions("a boat", seed=3)
    job = Job(id=new_job_id(), kind="imagine", channel_id=700, requester_id=MEMBER, options=options)
    async with SmallBot(bot.settings.data_dir / "other") as other:
        await other.jobs.add(job)
        await other.service.start()
        assert (await other.service.wait(job.id)).state == "failed"
        assert "no text-to-image model" in other.letters.words_for(job.id)[0]
