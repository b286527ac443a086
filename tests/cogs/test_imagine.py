"""/imagine and what hangs under its pictures, with a tiny model."""

import pytest
import pytest_asyncio
from discord_world import World, buttons

from tilestep.cogs.imagine import parse_size, usual_sizes
from tilestep.upscaler.errors import OptionError


@pytest_asyncio.fixture(loop_scope="module")
async def studio(art_town):
    """A server of the test's own, with a bot that has a model."""
    art_town.runtime.gpu.resume()
    world = World(art_town)
    yield world
    await world.cancel_everything()
    assert not world.env.errors


async def imagine(world, prompt="a red fox", **options):
    options = {"steps": 2, "seed": 7, "size": "64x64"} | options
    answered = await world.alice.slash(world.channel, "imagine", prompt=prompt, **options)
    assert "Accepted" in world.words(answered)
    await world.done()
    return world.channel.last_message


async def test_a_picture_comes_with_its_buttons_and_its_recipe(studio):
    message = await imagine(studio, negative_prompt="dogs")
    assert list(buttons(message)) == ["Upscale 2x", "Again", "New seed", "Recipe", "Delete"]
    assert "a red fox" in message.attachments[0].description
    said = studio.words(await studio.ben.click(message, label="Recipe"))
    for part in ("a red fox", "dogs", "Seed: `7`", "64x64"):
        assert part in said


async def test_several_pictures_come_as_a_grid_with_a_button_for_each(studio):
    message = await imagine(studio, count=2)
    assert len(message.attachments) == 3
    assert {"U1", "U2", "Again"} <= set(buttons(message))
    await studio.ben.click(message, label="U2")
    await studio.done()
    upscaled, parent = (await studio.jobs(studio.ben))[0], (await studio.jobs())[0]
    assert upscaled.source_filename == parent.result[2].name
    assert upscaled.recipe["seed"] == 8
    assert set(buttons(studio.channel.last_message)) == {"Upscale 2x", "Recipe", "Delete"}


async def test_new_seed_makes_another_of_the_kind(studio):
    message = await imagine(studio)
    await studio.ben.click(message, label="New seed")
    await studio.done()
    (job,) = await studio.jobs(studio.ben)
    assert job.options.prompt == "a red fox"
    assert job.options.seed != 7


async def test_again_shows_the_recipe_to_be_changed(studio):
    message = await imagine(studio)
    modal = await studio.ben.click(message, label="Again")
    fields = [item["component"] for item in modal.modal["components"]]
    assert [field.get("value") for field in fields] == ["a red fox", None, "7"]
    prompt, _, seed = (field["custom_id"] for field in fields)
    refused = await studio.ben.submit_modal(modal, {prompt: "a blue fox", seed: "many"})
    assert "seed is a whole number" in studio.words(refused)
    modal = await studio.ben.click(message, label="Again")
    prompt, _, seed = (item["component"]["custom_id"] for item in modal.modal["components"])
    accepted = await studio.ben.submit_modal(modal, {prompt: "a blue fox", seed: "9"})
    assert "Accepted" in studio.words(accepted)
    await studio.done()
    (job,) = await studio.jobs(studio.ben)
    assert (job.options.prompt, job.options.seed, job.options.width_px) == ("a blue fox", 9, 64)


async def test_buttons_of_an_old_picture_work_after_a_restart(studio):
    await imagine(studio)
    await studio.restart()
    await studio.model_loaded()
    message = studio.channel.last_message
    assert "a red fox" in studio.words(await studio.ben.click(message, label="Recipe"))
    await studio.ben.click(message, label="Upscale 2x")
    await studio.ben.click(message, label="New seed")
    await studio.done()
    assert [job.state for job in await studio.jobs(studio.ben)] == ["delivered", "delivered"]


async def test_blocked_words_hold_for_prompts_and_for_upscales_of_what_they_made(studio):
    message = await imagine(studio)
    await studio.limit(blocked_words=("fox",))
    refused = await studio.alice.slash(studio.channel, "imagine", prompt="a red fox")
    assert '"fox"' in studio.words(refused)
    assert '"fox"' in studio.words(await studio.alice.click(message, label="Upscale 2x"))
    await imagine(studio, "a red boat")


async def test_without_imagine_loaded_its_buttons_say_so(studio):
    message = await imagine(studio)
    await studio.bot.unload_extension("tilestep.cogs.imagine")
    assert "switched off" in studio.words(await studio.alice.click(message, label="Again"))
    await studio.bot.load_extension("tilestep.cogs.imagine")
    assert "a red fox" in studio.words(await studio.alice.click(message, label="Recipe"))


async def test_without_a_model_there_is_a_word(world):
    answered = await world.alice.slash(world.channel, "imagine", prompt="a red fox")
    assert "no text-to-image model" in world.words(answered)


async def test_the_operator_loads_a_model_while_the_bot_runs(alone, image_model):
    async with alone() as world:
        world.bot.owner_id = world.admin.id
        said = world.words(await world.admin.slash(world.channel, "tilestep model", name=str(image_model)))
        assert "is being loaded" in said
        await world.model_loaded()
        said = world.words(await world.admin.slash(world.channel, "tilestep model"))
        assert "Pictures come from" in said


async def test_sizes_are_offered_within_the_operators_bound(alone):
    async with alone(max_image_side_px=768) as world:
        offered = await world.alice.autocomplete(world.channel, "imagine", "size", "768", prompt="x")
        assert [choice["value"] for choice in offered] == ["768x512", "768x768"]


def test_sizes_are_offered_as_large_as_the_model_was_made_for():
    assert usual_sizes((256, 256)) == ["256x256"]
    assert max(usual_sizes((512, 512))) == "896x512"
    assert "1024x1024" in usual_sizes((1024, 1024))


def test_sizes_are_understood_as_people_write_them():
    assert parse_size("768 x 512") == parse_size("768×512") == (768, 512)
    assert parse_size(None) == (None, None)
    assert "1024x1024" in usual_sizes()
    with pytest.raises(OptionError, match="768x512"):
        parse_size("large")
