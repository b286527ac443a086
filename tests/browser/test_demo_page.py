"""The demo's page in a real browser: a command with a file, progress without a click, results, a restart.

`make browser` runs it and takes the README's pictures; TILESTEP_BROWSER is the browser's path.
"""

import io
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

BROWSER = os.environ.get("TILESTEP_BROWSER", "")
PICTURES = os.environ.get("TILESTEP_PICTURES", "")
pytestmark = [
    pytest.mark.skipif(not BROWSER, reason="run by `make browser`, which needs Chromium"),
    pytest.mark.timeout(1800),
]


@pytest.fixture
async def demo(tmp_path):
    from tilestep.bot.demo import Demo, demo_settings

    settings = demo_settings(tmp_path / "data").model_copy(update={"progress_seconds": 1.0, "min_free_disk_mib": 0})
    async with Demo(settings) as demo:
        yield demo


@pytest.fixture
async def discord_page(demo):
    from discord_page import FLAGS, DiscordPage
    from playwright.async_api import async_playwright

    async with demo.page(0) as served, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        try:
            page = DiscordPage(await browser.new_page(viewport={"width": 1280, "height": 900}))
            await page.open(served.url)
            yield page
        finally:
            await browser.close()


def small_picture(path):
    from tilestep.bot.sample import sample_picture

    Image.open(io.BytesIO(sample_picture())).crop((200, 40, 360, 160)).save(path)
    return path


async def test_a_newcomer_upscales_a_file_and_its_result_also_after_a_restart(demo, discord_page, tmp_path):
    page = discord_page
    await page.command("upscale", image=small_picture(tmp_path / "mine.png"))
    first = page.upscaled(320, 240)
    await page.wait_for(first)
    assert await page.size_of_picture(first) == (320, 240)

    await page.press("Upscale 2x", first)
    running = page.messages.filter(has_text="Upscaling 2x")
    await running.wait_for()
    await page.until_it_moves(running)
    second = page.upscaled(640, 480)
    await page.wait_for(second)
    assert await page.size_of_picture(second) == (640, 480)

    await demo.restart()
    await page.press("Upscale 2x", first)
    await page.wait_for(second.nth(1))
    assert await page.size_of_picture(second.nth(1)) == (640, 480)


async def test_only_who_manages_the_server_sees_its_limits_and_a_reply_opens_the_menu(demo, discord_page):
    page = discord_page
    await page.command("tilestep limits")
    panel = page.messages.filter(has_text="Limits of this server")
    await panel.wait_for()

    await page.page.locator("#viewer-picker").select_option(label="Ben")
    await panel.wait_for(state="detached")
    await page.command("tilestep limits")
    await page.messages.filter(has_text="Manage Server").wait_for()

    sample = page.messages.filter(has_text="lighthouse").first
    await sample.hover()
    await sample.get_by_role("button", name="Reply").click()
    await page.page.keyboard.type("Apps > Upscale")
    await page.page.keyboard.press("Enter")
    accepted = page.messages.filter(has_text="Ben used Upscale")
    await page.press("Cancel", accepted)
    await accepted.filter(has_text="Cancelled").wait_for()


@pytest.mark.skipif(not PICTURES, reason="run by `make browser PICTURES=docs`")
async def test_the_pictures_of_the_readme_are_taken(demo, discord_page):
    page = discord_page
    await page.page.set_viewport_size({"width": 1000, "height": 1180})
    await page.press("Upscale 2x", page.messages.filter(has_text="lighthouse"))
    await page.wait_for(page.upscaled(960, 640))
    await page.page.mouse.move(0, 0)
    save(await page.page.screenshot(), "demo.png")

    await page.page.set_viewport_size({"width": 700, "height": 900})
    await page.command("tilestep limits")
    panel = page.messages.filter(has_text="Limits of this server")
    await panel.wait_for()
    save(await panel.screenshot(), "limits.png")


def save(screenshot, name):
    Image.open(io.BytesIO(screenshot)).convert("RGB").quantize(256).save(Path(PICTURES) / name, optimize=True)
