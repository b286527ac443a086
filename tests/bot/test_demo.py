"""The demo: the real bot in an in-memory Discord greets, upscales, and goes on after a restart."""

import asyncio
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def demo(tmp_path):
    from tiny_tiles import SMALL, small_model

    from tilestep.bot.demo import Demo
    from tilestep.bot.settings import load_settings
    from tilestep.upscaler.model.checkpoint import save_checkpoint
    from tilestep.upscaler.model.descriptor import ModelDescriptor

    checkpoint = tmp_path / "tiny.safetensors"
    save_checkpoint(checkpoint, small_model().network, ModelDescriptor(SMALL))
    settings = load_settings(
        data_dir=tmp_path / "data", checkpoint=checkpoint, device="cpu", min_free_disk_mib=0, sync_commands="global"
    )
    async with Demo(settings) as demo:
        yield demo


def button(message, word):
    return next(b for row in message.components for b in row.children if b.custom_id.startswith(f"tilestep:{word}:"))


async def upscaled(demo, member, message):
    """Clicks the message's Upscale button and waits for the job's result."""
    known = {job.id for job in await demo.runtime.jobs.history(member.id, demo.channel.guild.id, 50)}
    await member.click(message, custom_id=button(message, "up").custom_id)
    jobs = await demo.runtime.jobs.history(member.id, demo.channel.guild.id, 50)
    (new,) = [job for job in jobs if job.id not in known]
    done = await asyncio.wait_for(demo.runtime.service.wait(new.id), 100)
    assert done.state == "delivered", done.error
    result = demo.channel.last_message
    assert result.id == done.result_message_id, demo.env.transcript()
    return result


async def test_the_channel_greets_with_a_picture_a_button_and_words(demo):
    greeting, sample = demo.channel.history()
    for word in ("/upscale", "/imagine", "/tilestep limits", "Apps", "Ben"):
        assert word in greeting.content
    assert button(sample, "up").label == "Upscale 2x"
    assert sample.attachments[0].filename == "sample.png"


async def test_a_click_makes_the_picture_twice_as_large_also_after_a_restart(demo):
    sample = demo.channel.last_message
    await demo.restart()
    result = await upscaled(demo, demo.ben, sample)
    picture = Image.open(io.BytesIO(await result.attachments[0].read()))
    assert picture.size == (960, 640)
    assert not button(result, "up").disabled


async def test_the_page_shows_the_channel(demo):
    import aiohttp

    async with demo.page(0) as page, aiohttp.ClientSession() as session:
        async with session.get(page.url) as answer:
            assert answer.status == 200
        seen = await page.snapshot()
        assert "Upscale 2x" in str(seen["messages"])


async def test_what_is_done_on_an_older_state_of_the_page_counts_and_a_reply_opens_the_menu(demo):
    async with demo.page(0) as page:
        opened = page._open_page()
        seen, bot_seen = opened.revision, demo.env._generation
        await demo.restart()
        reply = {
            "protocol_version": 3,
            "kind": "send_message",
            "sequence": 1,
            "request_id": "one",
            "generation": opened.generation,
            "bot_generation": bot_seen,
            "published_revision": seen,
            "content": "Apps > Upscale",
            "reply_to_id": str(demo.channel.last_message.id),
        }
        done = await page._action(opened.id, reply)
        assert not done["rejected"], done["diagnostics"]
        (job,) = await demo.runtime.jobs.history(demo.ada.id, demo.channel.guild.id, 50)
        assert job.kind == "upscale"


def test_the_demo_leaves_the_operators_database_and_token_alone(tmp_path, monkeypatch):
    from tilestep.bot.demo import demo_settings

    monkeypatch.setenv("TILESTEP_DATABASE_URL", "postgresql+asyncpg://bot:secret@db/production")
    monkeypatch.setenv("TILESTEP_TOKEN", "a.b.c")
    monkeypatch.setenv("TILESTEP_HTTP_PORT", "9000")
    monkeypatch.setenv("TILESTEP_MAX_SCALE", "4")
    settings = demo_settings(tmp_path)
    assert settings.sqlalchemy_url.startswith("sqlite")
    assert str(tmp_path) in settings.sqlalchemy_url
    assert (settings.token, settings.http_port, settings.max_scale) == (None, None, 4)
