"""What admins see of each limit: its name for people, how it is written and read, what there is to choose.

One table, `FIELDS`, that the panel, the plain options, the database and the audit use. `parse(show(value))` gives the
value again, and raises OptionError, which says what would do, for what can never be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilestep.bot.guild_limits import QUALITIES, SCALES
from tilestep.upscaler.errors import OptionError

MOST_IDS = 25
MOST_WORDS, MOST_WORD_LETTERS = 100, 50
_YES, _NO = ("yes", "on", "true", "1"), ("no", "off", "false", "0")
_ALL = ("", "all", "everyone", "none", "-")
_ID = re.compile(r"<(?:@&|#)(\d{1,20})>|(\d{1,20})")
_NOTHING = "none"


@dataclass(frozen=True)
class LimitField:
    """`unit` "" where there is none. `choices`: what a select offers, None where any value within bounds will do."""

    label: str
    unit: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str]
    choices: tuple[str, ...] | None = None


def _number(label: str, least: float, most: float, unit: str, whole: bool = False) -> LimitField:
    kind = "a whole number" if whole else "a number"

    def parse(text: str) -> float | int:
        try:
            value = float(text.strip().replace(",", "."))
        except ValueError:
            value = math.nan
        if not least <= value <= most or (whole and value % 1):
            raise OptionError(f'{label}: "{_short(text)}" will not do, give {kind} from {least:g} to {most:g}.')
        return int(value) if whole else value

    return LimitField(label, unit, parse, lambda value: f"{value:.15g}")


def _choice(label: str, choices: Sequence[str], unit: str = "") -> LimitField:
    def parse(text: str) -> str:
        if (chosen := text.strip().casefold()) not in choices:
            raise OptionError(f'{label}: "{_short(text)}" will not do, choose {", ".join(choices)}.')
        return chosen

    return LimitField(label, unit, parse, str, tuple(choices))


def _scale(label: str) -> LimitField:
    field = _choice(label, [f"{scale}x" for scale in SCALES])

    def parse(text: str) -> int:
        plain = text.strip().casefold()
        return int(field.parse(plain if plain.endswith("x") else f"{plain}x").removesuffix("x"))

    return LimitField(label, "", parse, lambda value: f"{value}x", field.choices)


def _yes_or_no(label: str) -> LimitField:
    def parse(text: str) -> bool:
        answer = text.strip().casefold()
        if answer not in _YES + _NO:
            raise OptionError(f'{label}: "{_short(text)}" will not do, say yes or no.')
        return answer in _YES

    return LimitField(label, "", parse, lambda value: "yes" if value else "no", ("yes", "no"))


def _ids(label: str, sign: str, what: str) -> LimitField:
    def parse(text: str) -> frozenset[int]:
        if text.strip().casefold() in _ALL:
            return frozenset()
        parts = text.replace(",", " ").replace("><", "> <").split()
        found = [_ID.fullmatch(part) for part in parts]
        ids = frozenset(int(match[1] or match[2]) for match in found if match)
        if not found or not all(found) or max(ids) >= 2**63:
            raise OptionError(f'{label}: "{_short(text)}" will not do, mention {what} or give their ids, or say all.')
        if len(ids) > MOST_IDS:
            raise OptionError(f"{label}: {len(ids)} are too many, name at most {MOST_IDS}, or say all.")
        return ids

    def show(ids: frozenset[int]) -> str:
        return " ".join(f"<{sign}{number}>" for number in sorted(ids)) or "all"

    return LimitField(label, "", parse, show)


def _words(label: str) -> LimitField:
    def parse(text: str) -> tuple[str, ...]:
        words = (" ".join(word.split()) for word in re.split(r"[,;\n]", text))
        unique = tuple(dict.fromkeys(word for word in words if word))
        if len(unique) > MOST_WORDS or any(len(word) > MOST_WORD_LETTERS for word in unique):
            raise OptionError(
                f"{label}: give at most {MOST_WORDS} words of at most {MOST_WORD_LETTERS} letters, with commas between."
            )
        return () if unique == (_NOTHING,) else unique

    return LimitField(label, "", parse, lambda words: ", ".join(words) or _NOTHING)


def _short(text: str) -> str:
    return text if len(text) <= MOST_WORD_LETTERS else text[: MOST_WORD_LETTERS - 1] + "…"


FIELDS: Mapping[str, LimitField] = {
    "max_input_megapixels": _number("Largest picture taken in", 0.01, 1000, "megapixels"),
    "max_output_megapixels": _number("Largest result", 0.01, 1000, "megapixels"),
    "max_scale": _scale("Largest scale"),
    "best_quality": _choice("Best quality allowed", QUALITIES),
    "default_quality": _choice("Usual quality", QUALITIES),
    "max_steps": _number("Most steps of an enlargement", 0, 50, "steps a tile", whole=True),
    "max_image_steps": _number("Most steps of a new picture", 1, 1000, "steps", whole=True),
    "jobs_at_once": _number("Jobs at once", 1, 100, "a member", whole=True),
    "gpu_seconds_per_day": _number("Computing time a day", 1, 86400, "seconds a member"),
    "allowed_role_ids": _ids("Allowed roles", "@&", "roles"),
    "allowed_channel_ids": _ids("Allowed channels", "#", "channels"),
    "blocked_words": _words("Blocked words"),
    "who_may_click": _choice("Who may enlarge somebody's picture", ("everyone", "owner")),
    "keep_originals": _yes_or_no("Keep originals"),
}
