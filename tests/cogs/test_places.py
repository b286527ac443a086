"""Where things are asked and where results go: age-restricted channels, threads, direct messages, deleted sources."""

import asyncio
import io
from datetime import timedelta

import discord
import pytest
from discord_world import picture_bytes

from tilestep.bot.jobs import utc_now
from tilestep.cogs.upscale import UpscaleButton

THREAD_IS_LOCKED = 160005
RESTRICTED = "from an age-restricted channel"


@pytest.fixture
async def cellar(world):
    """An age-restricted channel."""
    channel = world.guild.create_text_channel("cellar")
    await world.env.settle()
    restrict(world, channel)
    return channel


def restrict(world, channel, restricted=True):
    """As the bot hears of it from Discord; SimCord knows no age restriction."""
    world.bot.get_channel(channel.id).nsfw = restricted


async def restricted_result(world, cellar, **options):
    await world.alice.slash(cellar, "upscale", image=("in.png", picture_bytes()), **options)
    await world.done()
    return cellar.last_message


async def test_a_result_of_an_age_restricted_channel_is_upscaled_there_and_by_no_link_elsewhere(world, cellar):
    first = await restricted_result(world, cellar)
    for private in (False, True):
        action = world.alice.slash(world.channel, "upscale", link=first.jump_url, private=private)
        assert RESTRICTED in await world.told(action)
    await world.alice.click(first, label="Upscale 2x")
    await world.done()
    assert len([message for message in cellar.history() if message.attachments]) == 2
    assert not world.channel.history()


async def test_what_was_made_in_an_age_restricted_channel_never_comes_to_one_that_is_open_meanwhile(world, cellar):
    async with world.busy():
        await world.alice.slash(cellar, "upscale", image=("in.png", picture_bytes()))
        restrict(world, cellar, False)
    assert not [message for message in cellar.history() if message.attachments]
    direct = world.alice.user.dm_channel.last_message
    assert direct.attachments
    assert "no longer age-restricted" in direct.content


async def test_once_the_channel_is_open_its_old_pictures_are_not_upscaled_there(world, cellar):
    first = await restricted_result(world, cellar)
    restrict(world, cellar, False)
    assert RESTRICTED in await world.told(world.alice.click(first, label="Upscale 2x"))
    assert RESTRICTED in await world.told(world.alice.context_menu(cellar, "Upscale", first))


async def test_queue_shows_nothing_from_an_age_restricted_channel_elsewhere(world, cellar):
    async with world.busy():
        await world.alice.slash(cellar, "upscale", image=("secret.png", picture_bytes()))
        for channel, shown in ((world.channel, False), (cellar, True)):
            queue = (await world.alice.slash(channel, "queue")).response
            assert ("secret" in queue.embeds[0].description) is shown
            assert "Upscale 2x" in queue.embeds[0].description


async def thread_in(world):
    """A public thread of the channel, as the bot and as its members see it."""
    channel = world.bot.get_channel(world.channel.id)
    made = await channel.create_thread(name="boats", type=discord.ChannelType.public_thread)
    await world.env.settle()
    (seen,) = [thread for thread in world.channel.threads if thread.id == made.id]
    return made, seen


async def test_a_thread_counts_as_its_channel_and_gets_its_results(world):
    await world.limit(allowed_channel_ids=frozenset({world.channel.id}))
    _, thread = await thread_in(world)
    await world.alice.slash(thread, "upscale", image=("in.png", picture_bytes()))
    await world.done()
    assert thread.last_message.attachments
    await world.limit(allowed_channel_ids=frozenset({world.other_channel.id}))
    action = world.alice.slash(thread, "upscale", image=("in.png", picture_bytes()))
    assert f"go to <#{world.other_channel.id}>" in await world.told(action)


async def test_an_archived_thread_is_opened_again_by_its_result(world):
    made, thread = await thread_in(world)
    async with world.busy():
        await world.alice.slash(thread, "upscale", image=("in.png", picture_bytes()))
        await made.edit(archived=True)
    assert thread.last_message.attachments


async def test_from_a_locked_thread_the_result_goes_to_its_channel_and_says_where_from_and_why(world):
    _, thread = await thread_in(world)
    async with world.busy():
        await world.alice.slash(thread, "upscale", image=("in.png", picture_bytes()))
        (job,) = await world.jobs()
        while not (await world.runtime.jobs.get(job.id)).progress_message_id:
            await asyncio.sleep(0.02)
        world.env.inject_error("POST", f"/channels/{thread.id}/messages", status=400, code=THREAD_IS_LOCKED, times=9)
    result = world.channel.last_message
    assert result.attachments
    said = f"asked for in <#{thread.id}>. It is here, in the channel that the thread belongs to, because"
    assert f"{said} that thread is locked" in result.content
    assert not [message for message in thread.history() if message.attachments]


async def test_a_result_answers_no_source_that_was_deleted_and_comes_all_the_same(world):
    source = await world.post(by=world.ben)
    async with world.busy():
        await world.alice.context_menu(world.channel, "Upscale", source)
        await world.ben.delete(source)
    result = world.channel.last_message
    assert result.attachments
    assert result.reference is None or result.reference.resolved is None


async def test_alt_text_and_spoiler_go_along_with_every_step(world):
    file = discord.File(io.BytesIO(picture_bytes()), "boat.png", spoiler=True, description="A boat at anchor")
    view = discord.ui.View(timeout=None).add_item(UpscaleButton.for_message())
    view.stop()
    posted = await world.bot.get_channel(world.channel.id).send(file=file, view=view)
    await world.ben.click(posted, label="Upscale 2x")
    await world.done()
    for scale in ("48", "96"):
        (picture,) = world.channel.last_message.attachments
        assert picture.is_spoiler()
        assert "A boat at anchor" in picture.description
        assert scale in picture.description
        await world.ben.click(world.channel.last_message, label="Upscale 2x")
        await world.done()


IN_DIRECT_MESSAGES = {
    "tilestep help": "Upscale",
    "tilestep privacy": "forget-me",
    "tilestep forget-me": "erases",
    "tilestep limits": "in a server only",
    "tilestep audit": "in a server only",
    "tilestep pause": "owner",
    "tilestep resume": "owner",
    "tilestep model": "owner",
    "imagine": "no text-to-image model",
    "queue": "no jobs under way",
    "upscale": "Attach a picture",
}


async def test_every_command_answers_in_direct_messages(world):
    for command, said in IN_DIRECT_MESSAGES.items():
        options = {"prompt": "a fox"} if command == "imagine" else {}
        answered = await world.alice.user.slash(command, **options)
        shown = answered.response
        text = shown.content or shown.embeds[0].description
        assert said in text, command


async def test_a_picture_is_upscaled_in_direct_messages_with_the_default_limits(world):
    user = world.alice.user
    image = ("in.png", picture_bytes())
    assert "A scale of 8x" in world.words(await user.slash("upscale", image=image, scale=8))
    await user.slash("upscale", image=image)
    await world.done()
    result = user.dm_channel.last_message
    assert result.attachments
    await user.click(result, label="Upscale 2x")
    await world.done()
    assert user.dm_channel.last_message.id != result.id
    await user.click(user.dm_channel.last_message, label="Delete")
    assert user.dm_channel.last_message.id == result.id


async def test_pictures_whose_record_is_gone_are_still_upscaled_and_deleted_by_who_asked_for_them(world):
    first, second = await world.result(), await world.result()
    await world.runtime.jobs.prune(utc_now() + timedelta(days=1))
    assert not await world.jobs()
    await world.limit(who_may_click="owner")
    refused = await world.told(world.ben.click(second, label="Upscale 2x"))
    assert f"<@{world.alice.id}> can do it" in refused
    await world.alice.click(second, label="Upscale 2x")
    await world.done()
    assert world.channel.last_message.reference.message_id == second.id
    assert world.words(await world.ben.click(first, label="Delete"))
    await world.alice.click(first, label="Delete")
    assert first.id not in [message.id for message in world.channel.history()]


async def test_the_apps_menu_on_a_result_of_ours_knows_whose_it_is(world):
    first = await world.result()
    await world.limit(who_may_click="owner")
    assert f"<@{world.alice.id}> can do it" in await world.told(world.ben.context_menu(world.channel, "Upscale", first))
    assert not await world.told(world.alice.context_menu(world.channel, "Upscale", first))
    await world.done()
    newest, oldest = await world.jobs()
    assert newest.parent_job_id == oldest.id
