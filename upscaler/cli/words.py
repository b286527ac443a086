"""Names and texts of strangers, made fit to be shown: a picture may be called anything."""

from __future__ import annotations

import re

LONGEST_WORD = 60


def printable(text: str) -> str:
    """The text with everything that moves a terminal's cursor, colours it or breaks the line as an escape (`\\x1b`)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def brief(text: str) -> str:
    """The text on a short line: printable, and the middle of its longest words left out."""
    return re.sub(rf"\S{{{LONGEST_WORD + 1},}}", _without_middle, printable(text))


def _without_middle(word: re.Match[str]) -> str:
    kept = LONGEST_WORD // 2
    return f"{word[0][:kept]}…{word[0][-kept:]}"
