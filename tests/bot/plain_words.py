"""What every text for a person must be like, and that nothing stays behind when something was refused."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

from tilestep.bot.threads import NAME

ADVICE = re.compile(
    r"\b(save|send|give|try|make|upload|use|ask|remove|choose|pick|download|reduce|free|go|need|leave|again|can)\b",
    re.IGNORECASE,
)
INTERNAL = re.compile(r"Traceback|Exception|Error\b|--[a-z]|/tmp|tilestep-|\.py\b|None\b")


def check_words(text: str) -> None:
    """One line, a sentence, not too long, says what to do, and nothing of our insides."""
    assert "\n" not in text
    assert "\r" not in text
    assert 20 <= len(text) <= 300, text
    assert text.endswith("."), text
    assert re.match(r"[A-Z]|-?\d", text), text
    assert ADVICE.search(text), text
    assert not INTERNAL.search(text), text


async def check_nothing_left(folder: Path) -> None:
    """No temporary file, no thread of ours once it had its time, no task but the test's own."""
    await asyncio.to_thread(join_threads)
    assert [path.name for path in folder.iterdir()] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


def join_threads() -> None:
    """Waits for the threads that look at pictures."""
    for thread in threading.enumerate():
        if thread.name.startswith(NAME):
            thread.join(60)
            assert not thread.is_alive()
