"""A small bot in a folder of the test's own."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from small_bot import SmallBot


@pytest.fixture
async def bot(tmp_path):
    """Started, and stopped at the end."""
    async with SmallBot(tmp_path) as bot:
        await bot.service.start()
        yield bot
