"""Words that a server does not want in prompts, found also when they are dressed up a little."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable


def first_blocked(text: str, words: Iterable[str]) -> str | None:
    """The first of `words` that stands in the text, as the admins wrote it.

    Case, accents, invisible characters and the kind of space do not matter. A word of letters with capitals (Latin,
    Greek, Cyrillic ...) or digits must stand alone, so that `cat` does not block `category`; scripts without spaces
    between words are searched for anywhere.
    """
    plain = _plain(text)
    return next((word for word in words if (wanted := _plain(word)) and _pattern(wanted).search(plain)), None)


def _plain(text: str) -> str:
    kept = (
        letter for letter in unicodedata.normalize("NFKD", text) if unicodedata.category(letter) not in ("Mn", "Cf")
    )
    return " ".join("".join(kept).casefold().split())


def _pattern(word: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if _stands_alone(word[0]) else ""
    after = r"(?!\w)" if _stands_alone(word[-1]) else ""
    return re.compile(before + re.escape(word) + after)


def _stands_alone(letter: str) -> bool:
    return letter.isdigit() or letter.upper() != letter.lower()
