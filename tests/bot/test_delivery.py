"""Delivery in a Discord with members, roles and commands: what people see of a result."""

import time
from dataclasses import replace

import discord
import pytest
import simcord
from deliveries import AT_ONCE, a_job, a_result
from discord.ext import commands

from tilestep.bot.delivery import Delivery
from tilestep.bot.errors import Undeliverable
from tilestep.bot.ports import JobProgress
from tilestep.bot.requests import ImagineOptions, Reply


class Buttons:
    """One button a message, already stopped, as those that are known by their ids are."""

    async def result(self, job, result):
        return self._view(f"up:{job.id}:{len(result.pictures)}")

    async def progress(self, job):
        return self._view(f"cancel:{job.id}")

    def _view(self, custom_id):
        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label="x", custom_id=custom_id))
        view.stop()
        return view


class Hidden(commands.Bot):
    """Has one command, whose answer only the member sees, and which stays open."""

    reply = None

    async def setup_hook(self):
        @self.tree.command(description="Hides its answer")
        async def hide(interaction: discord.Interaction) -> None:
            await interaction.response.send_message("Accepted.", ephemeral=True)
            self.reply = Reply(interaction.application_id, interaction.token, time.time() + 900)

        await self.tree.sync()


@pytest.fixture
async def env():
    bot = Hidden("!", intents=discord.Intents(guilds=True), help_command=None)
    env = simcord.Env(bot, settle_timeout=1.0)
    await env.start()
    yield env
    await env.shutdown()


@pytest.fixture
def delivery(env):
    return Delivery(env.bot, views=Buttons(), retry=AT_ONCE)


@pytest.fixture
def world(env):
    """A channel and a member."""
    guild = env.create_guild()
    return guild.create_text_channel("art"), guild.add_member(env.create_user("alice"))


def asked(env, world, **facts):
    channel, alice = world
    known = {"guild_id": channel.guild.id, "created_at": env.now(), "requester_id": alice.id}
    return a_job(channel.id, **known | facts)


async def test_a_result_has_its_button_its_alt_text_and_the_facts(env, world, delivery, tmp_path):
    channel, _ = world
    job = asked(env, world)
    await delivery.post(job, a_result(tmp_path))
    message = channel.last_message
    [file] = message.attachments
    assert (file.description, file.is_spoiler()) == ("Noise 0", False)
    assert "8x8 to 16x16 · quality best · seed 7" in message.content
    [row] = message.components
    assert row.children[0].custom_id == f"up:{job.id}:1"
    assert await file.read() == (tmp_path / "picture-0.png").read_bytes()


async def test_a_spoiler_stays_one(env, world, delivery, tmp_path):
    channel, _ = world
    await delivery.show_progress(asked(env, world, spoiler=True), JobProgress("working", 1, 2, preview=b"\xff\xd8"))
    assert channel.last_message.attachments[0].is_spoiler()
    await delivery.post(asked(env, world, spoiler=True), a_result(tmp_path, count=3))
    assert [file.is_spoiler() for file in channel.last_message.attachments] == [True] * 3


async def test_a_prompt_mentions_and_links_nobody(env, world, delivery, tmp_path):
    channel, alice = world
    prompt = f"@everyone {alice.mention} https://b.example ` # big"
    job = asked(env, world, options=ImagineOptions(prompt))
    await delivery.post(job, a_result(tmp_path))
    message = channel.last_message
    assert "`@everyone" in message.content
    assert not message.mention_everyone
    assert message.flags.suppress_embeds
    sent = [entry for entry in env.http_requests if entry.method == "POST" and entry.path.endswith("/messages")]
    assert sent[-1].json["allowed_mentions"] == {"parse": []}


async def test_a_deleted_source_is_replied_to_all_the_same(env, world, delivery, tmp_path):
    channel, alice = world
    source = await alice.send(channel, "look")
    facts = {"source_channel_id": channel.id, "source_message_id": source.id}
    await delivery.post(asked(env, world, **facts), a_result(tmp_path))
    assert channel.last_message.reference.message_id == source.id
    await alice.delete(source)
    await delivery.post(asked(env, world, **facts), a_result(tmp_path))
    assert channel.last_message.attachments


async def test_progress_has_its_button_and_loses_it_at_the_end(env, world, delivery):
    channel, _ = world
    job = asked(env, world)
    await delivery.show_progress(job, JobProgress("waiting"))
    assert channel.last_message.components[0].children[0].custom_id == f"cancel:{job.id}"
    await delivery.end_progress(job, "Cancelled.")
    assert channel.last_message.components == []


async def test_a_permission_that_was_taken_away_is_named(env, world, delivery, tmp_path):
    channel, _ = world
    me = discord.PermissionOverwrite(send_messages=False, attach_files=False)
    closed = channel.guild.create_text_channel("closed", overwrites={channel.guild.default_role: me})
    job = replace(asked(env, world), channel_id=closed.id)
    posted = await delivery.post(job, a_result(tmp_path))
    assert "missing permission: Send Messages, Attach Files" in posted.elsewhere
    assert closed.history() == []
    env.inject_error("POST", f"/channels/{posted.channel_id}/messages", status=403, code=50007)
    with pytest.raises(Undeliverable, match=r"Attach Files\); you take no direct messages") as caught:
        await delivery.post(job, a_result(tmp_path))
    assert caught.value.again_later


async def test_what_is_private_is_seen_by_the_member_alone(env, world, delivery, tmp_path):
    channel, alice = world
    result = await alice.slash(channel, "hide")
    job = asked(env, world, private=True, reply=env.bot.reply)
    await delivery.show_progress(job, JobProgress("working", 1, 2, preview=b"\xff\xd8"))
    await delivery.post(job, a_result(tmp_path))
    assert [m.id for m in channel.history(viewer=alice)] == [result.response.id]
    [file] = channel.history(viewer=alice)[0].attachments
    assert job.id in file.filename
    bob = channel.guild.add_member(env.create_user("bob"))
    assert channel.history(viewer=bob) == []


async def test_what_is_private_and_late_is_a_direct_message(env, world, delivery, tmp_path):
    channel, alice = world
    await alice.slash(channel, "hide")
    job = asked(env, world, private=True, reply=env.bot.reply)
    await env.advance_time(16 * 60)
    posted = await delivery.post(job, a_result(tmp_path))
    assert posted.channel_id not in (channel.id, None)
    assert "15 minutes" in posted.elsewhere
    assert not [m for m in channel.history() if m.attachments]
