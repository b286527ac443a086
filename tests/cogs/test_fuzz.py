"""Custom ids from outside: whatever they say, the answer is a clear word, and nothing else happens."""

import random
import string

import discord
import pytest
from discord_world import buttons, picture_bytes

KINDS = ("up", "cancel", "delete", "recipe", "again", "vary", "queue", "limits", "forget", "pick", "nothing")
A_JOB = "0" * 20


def rests():
    """20 of them: empty, cut, too long, foreign letters, numbers beyond 64 bits, rubbish."""
    rng = random.Random(4)
    rubbish = ["".join(rng.choices(string.printable.strip(), k=rng.randint(1, 70))) for _ in range(7)]
    return [
        "", ":", "-", "-:", "-:9", "-:0:99999999999999999999", "0", A_JOB, f"{A_JOB}:0", f"{A_JOB}:99", A_JOB[:-1],
        A_JOB.replace("0", "é"), "menu", "set:max_scale", "set:__class__", "type:no_such", "' OR 1=1 --", "😀" * 10,
        "\n", *rubbish,
    ]  # fmt: skip


async def click(world, who, *custom_ids):
    """On buttons of the bot's own with these custom ids; gives what was answered to each."""
    said = []
    channel = world.bot.get_channel(world.channel.id)
    for custom_id in custom_ids:
        view = discord.ui.View(timeout=None).add_item(discord.ui.Button(label="x", custom_id=custom_id))
        view.stop()
        message = await channel.send("fuzz", view=view)
        answered = await who.click(message, custom_id=custom_id)
        said.append(world.words(answered))
    return said


@pytest.mark.parametrize("kind", KINDS)
async def test_fuzzed_custom_ids_end_in_a_clear_word(world, kind):
    for text in await click(world, world.alice, *(f"tilestep:{kind}:{rest}"[:100] for rest in rests())):
        assert text, kind
        assert "Something went wrong" not in text
        assert "Traceback" not in text
    assert not await world.jobs()
    assert not world.env.errors


async def test_buttons_of_a_job_work_on_its_own_message_only(world):
    first = await world.result()
    found = buttons(first)
    up, delete = found["Upscale 2x"]["custom_id"], found["Delete"]["custom_id"]
    for text in await click(world, world.alice, up, delete):
        assert "does not belong" in text
    assert len(await world.jobs()) == 1


async def test_a_job_of_another_server_is_out_of_reach(world):
    await world.result()
    (job,) = await world.jobs()
    guild = world.env.create_guild("Inland")
    channel = guild.create_text_channel("pictures")
    mallory = guild.add_member(world.env.create_user("mallory"))
    view = discord.ui.View(timeout=None)
    for kind, rest in (("up", f"{job.id}:0"), ("delete", job.id), ("cancel", job.id), ("recipe", job.id)):
        view.add_item(discord.ui.Button(label=kind, custom_id=f"tilestep:{kind}:{rest}"))
    view.stop()
    message = await world.bot.get_channel(channel.id).send("fuzz", view=view)
    for label in ("up", "delete", "cancel", "recipe"):
        assert world.words(await mallory.click(message, label=label))
    assert (await world.runtime.jobs.get(job.id)).state == "delivered"
    assert world.channel.last_message.attachments


async def test_nobody_uses_the_ephemeral_controls_of_somebody_else(world):
    asked = await world.alice.slash(world.channel, "tilestep forget-me")
    (forget,) = (item["custom_id"] for item in buttons(asked.response).values())
    await world.result()
    (text,) = await click(world, world.ben, forget)
    assert text
    assert len(await world.jobs()) == 1


async def test_a_right_that_is_revoked_while_the_job_runs_is_told_and_the_result_goes_to_the_member(world):
    async with world.busy():
        await world.upscale()
        await world.take_from_bot("attach_files", "send_messages")
    (job,) = await world.jobs()
    assert job.state == "delivered"
    dm = world.alice.user.dm_channel.last_message
    assert dm.attachments
    assert f"<#{world.channel.id}>" in dm.content


async def test_names_and_prompts_of_strangers_mention_nobody(world):
    message = await world.post(("@everyone ` <@1> .png", picture_bytes()))
    async with world.busy():
        await world.alice.context_menu(world.channel, "Upscale", message)
        shown = (await world.alice.slash(world.channel, "queue")).response
        text = shown.embeds[0].description
        assert text.count("`") == 2
    for said in world.channel.history():
        assert not said.mention_everyone


async def test_what_breaks_on_our_side_is_one_sentence_with_a_number_that_is_in_the_log(world, caplog, monkeypatch):
    async def broken(*args, **kwargs):
        raise RuntimeError("a secret path")

    monkeypatch.setattr(world.runtime.service, "queue", broken)
    text = world.words(await world.alice.slash(world.channel, "queue"))
    assert "secret" not in text
    number = text.split("`")[1]
    assert number in caplog.text
