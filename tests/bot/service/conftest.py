"""A small bot in a folder of the test's own."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bad_input")]


@pytest.fixture
async def bot(tmp_path):
    """Started, and stopped at the end."""
    from small_bot import SmallBot

    async with SmallBot(tmp_path) as bot:
        await bot.service.start()
        yield bot


@pytest.fixture
async def one_at_a_time(tmp_path):
    """The same, with a GPU that takes one upscale at a time."""
    from small_bot import SmallBot

    bot = SmallBot(tmp_path)
    bot.gpu_options = {"at_once": {"upscale": 1}}
    async with bot:
        await bot.service.start()
        yield bot
