"""Upscaling as members do it: the button, the command, the Apps menu."""

import pytest
from discord_world import buttons, picture_bytes
from PIL import Image

from tilestep.cogs.upscale import UpscaleButton


async def read(message):
    import io

    return Image.open(io.BytesIO(await message.attachments[0].read()))


def upscale_id(message):
    return buttons(message)["Upscale 2x"]["custom_id"]


async def test_the_command_posts_the_picture_twice_as_large_and_tells_only_the_member_that_it_is_accepted(world):
    answered = await world.upscale()
    assert "Accepted" in world.words(answered)
    await world.done()
    message = world.channel.last_message
    assert (await read(message)).size == (48, 32)
    assert message.attachments[0].description
    assert set(buttons(message)) == {"Upscale 2x", "Delete"}


async def test_the_result_carries_the_button_again_and_the_next_result_answers_it(world):
    first = await world.result()
    await world.ben.click(first, custom_id=upscale_id(first))
    await world.done()
    second = world.channel.last_message
    assert (await read(second)).size == (96, 64)
    assert second.reference.message_id == first.id


async def test_old_buttons_work_after_a_restart(world):
    first = await world.result()
    await world.restart()
    first = world.channel.last_message
    await world.alice.click(first, custom_id=upscale_id(first))
    await world.done()
    assert (await read(world.channel.last_message)).size == (96, 64)


async def test_the_button_uses_what_was_posted_once_the_kept_file_is_gone(world):
    first = await world.result()
    (job,) = await world.jobs()
    world.runtime.files.delete(job.id)
    await world.alice.click(first, custom_id=upscale_id(first))
    await world.done()
    assert (await read(world.channel.last_message)).size == (96, 64)


async def test_where_the_limits_end_the_button_is_disabled_and_says_why(world):
    await world.limit(max_output_megapixels=0.01)
    await world.upscale(size=(50, 50))
    await world.done()
    (label, button), *_ = buttons(world.channel.last_message).items()
    assert button["disabled"]
    assert label == "Upscale 2x: makes 0.04 megapixels, up to 0.01 are allowed"


async def test_the_apps_menu_upscales_anybodys_picture(world):
    message = await world.post(by=world.ben)
    answered = await world.alice.context_menu(world.channel, "Upscale", message)
    assert "Accepted" in world.words(answered)
    await world.done()
    result = world.channel.last_message
    assert (await read(result)).size == (48, 32)
    assert result.reference.message_id == message.id


async def test_the_apps_menu_asks_which_of_several_pictures(world):
    message = await world.post(
        ("small.png", picture_bytes(10, 10)), ("notes.txt", b"x"), ("wide.png", picture_bytes(30, 10))
    )
    asked = await world.ben.context_menu(world.channel, "Upscale", message)
    assert "Which picture" in asked.response.content
    await world.ben.select(asked.response, ["1"])
    await world.done()
    assert (await read(world.channel.last_message)).size == (60, 20)


async def test_a_choice_from_before_a_restart_says_so(world):
    message = await world.post(("a.png", picture_bytes()), ("b.png", picture_bytes()))
    asked = await world.ben.context_menu(world.channel, "Upscale", message)
    await world.restart()
    answered = await world.ben.select(asked.response, ["1"])
    assert "too old" in world.words(answered)


async def test_a_message_without_a_picture_is_answered_in_words(world):
    message = await world.post(("notes.txt", b"nothing to see"))
    answered = await world.alice.context_menu(world.channel, "Upscale", message)
    assert "no picture" in world.words(answered)


async def test_a_link_to_a_result_of_ours_upscales_it(world):
    first = await world.result()
    answered = await world.ben.slash(world.channel, "upscale", link=first.jump_url)
    assert "Accepted" in world.words(answered)
    await world.done()
    assert (await read(world.channel.last_message)).size == (96, 64)


async def test_a_link_to_somebody_elses_message_points_to_the_apps_menu(world):
    message = await world.post(by=world.ben)
    answered = await world.alice.slash(world.channel, "upscale", link=message.jump_url)
    assert "Apps > Upscale" in world.words(answered)
    assert not world.fetcher.fetched


@pytest.mark.parametrize(
    ("link", "word"),
    [
        ("https://example.com/picture.png", "no link to a message"),
        ("https://discord.com/channels/1/2/3", "another server"),
        ("https://discord.com/channels/@me/2/3", "another server"),
        ("https://discord.com/channels/{guild}/{channel}/99", "no such message"),
        ("https://discord.com/channels/{guild}/99/99", "no such message"),
        ("https://discord.com.evil.example/channels/{guild}/{channel}/99", "no link to a message"),
    ],
)
async def test_links_that_lead_nowhere_are_answered_in_words(world, link, word):
    link = link.format(guild=world.guild.id, channel=world.channel.id)
    assert word in world.words(await world.alice.slash(world.channel, "upscale", link=link))


async def test_a_link_into_a_channel_that_the_member_may_not_see_reveals_nothing(world):
    import discord

    hide, show = (discord.PermissionOverwrite(view_channel=seen) for seen in (False, True))
    overwrites = {world.guild.default_role: hide, world.guild.me: show}
    hidden = world.guild.create_text_channel("hidden", overwrites=overwrites)
    posted = await world.bot.get_channel(hidden.id).send("secret", file=discord.File(__file__, "in.png"))
    answered = await world.alice.slash(world.channel, "upscale", link=posted.jump_url)
    assert "may not see" in world.words(answered)


async def test_the_command_wants_either_a_picture_or_a_link(world):
    assert "Attach a picture" in world.words(await world.alice.slash(world.channel, "upscale"))
    both = await world.upscale(link="https://discord.com/channels/1/2/3")
    assert "not both" in world.words(both)


async def test_a_spoiler_stays_a_spoiler(world):
    message = await world.post(("SPOILER_end.png", picture_bytes()))
    await world.alice.context_menu(world.channel, "Upscale", message)
    await world.done()
    assert world.channel.last_message.attachments[0].is_spoiler()


async def test_only_the_requester_and_moderators_delete_a_result(world):
    first, second = await world.result(), await world.result()
    refused = await world.ben.click(first, label="Delete")
    assert world.words(refused)
    for who, message in ((world.alice, first), (world.mod, second)):
        assert "Deleted" in world.words(await who.click(message, label="Delete"))
    await world.done()
    assert not [message for message in world.channel.history() if message.attachments]


async def test_a_private_result_is_seen_by_the_member_alone(world):
    answered = await world.upscale(private=True)
    await world.done()
    assert answered.response.ephemeral
    assert answered.response.attachments
    assert not world.channel.history(viewer=world.ben)
    again = await world.alice.click(answered.response, label="Upscale 2x")
    await world.done()
    assert again.response.attachments
    assert not world.channel.history(viewer=world.ben)


async def test_a_private_result_can_be_deleted_where_the_bot_may_not_see_the_channel(world):
    answered = await world.upscale(private=True)
    await world.done()
    await world.take_from_bot("view_channel")
    await world.alice.click(answered.response, label="Delete")
    (job,) = await world.jobs()
    assert job.result == ()
    assert not world.channel.history(viewer=world.alice)


async def test_the_hosts_own_message_gets_the_button(world):
    import io

    import discord

    channel = world.bot.get_channel(world.channel.id)
    view = discord.ui.View().add_item(UpscaleButton.for_message(1))
    files = [discord.File(io.BytesIO(picture_bytes(n, 10)), f"{n}.png") for n in (10, 20)]
    await channel.send(files=files, view=view)
    message = world.channel.last_message
    view.stop()
    await world.alice.click(message, label="Upscale 2x")
    await world.done()
    assert (await read(world.channel.last_message)).size == (40, 20)


async def test_permissions_that_the_bot_lacks_are_named_before_anything_is_fetched(world):
    result, posted = await world.result(), await world.post()
    world.fetcher.fetched.clear()
    await world.take_from_bot("attach_files")
    for action in (
        world.upscale(),
        world.alice.click(result, label="Upscale 2x"),
        world.alice.context_menu(world.channel, "Upscale", posted),
    ):
        assert "Attach Files" in await world.told(action)
    assert not world.fetcher.fetched
    await world.take_from_bot()
    assert not await world.told(world.upscale())


async def test_commands_are_named_as_the_operator_wants(alone):
    async with alone(command_names={"upscale": "enlarge", "tilestep": "tiles"}) as world:
        await world.alice.slash(world.channel, "enlarge", image=("in.png", picture_bytes()))
        message = await world.post(by=world.ben)
        await world.alice.context_menu(world.channel, "Enlarge", message)
        await world.done()
        assert len(await world.jobs()) == 2
        assert "/enlarge" in world.words(await world.alice.slash(world.channel, "tiles help"))
