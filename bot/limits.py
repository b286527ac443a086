"""What a member may do here and now: the one place where that is decided.

Pure: it knows neither database nor clock nor Discord. Whoever asks puts all facts into an `Ask`, and gets None or a
`Refused` whose text names the limit, what was asked for, and what would pass.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

from tilestep.bot.errors import Refused
from tilestep.bot.guild_limits import QUALITIES, SCALES, Ask, GuildLimits, Size, WhoMayClick
from tilestep.bot.limit_checks import of_load, of_people, of_size, of_work
from tilestep.bot.settings import Settings

__all__ = [
    "QUALITIES",
    "SCALES",
    "Ask",
    "GuildLimits",
    "LargestScale",
    "Size",
    "WhoMayClick",
    "largest_scale",
    "refusal",
]


class LargestScale(NamedTuple):
    """`scale` None: not even 2x. `reason`: why it is not more, "" at 8x."""

    scale: int | None
    reason: str


def refusal(ask: Ask, limits: GuildLimits, settings: Settings) -> Refused | None:
    """Why this may not be done, or None. `limits` are the guild's; the operator's cap them here."""
    capped = limits.capped(settings)
    reasons = chain(of_people(ask, capped), of_work(ask, capped, settings), of_load(ask, capped, settings))
    return next((Refused(code, text) for code, text in reasons), None)


def largest_scale(limits: GuildLimits, settings: Settings, width_px: int, height_px: int) -> LargestScale:
    """The largest enlargement of a picture of this size, for a button that is to say why it is disabled."""
    capped, largest = limits.capped(settings), None
    for scale in SCALES:
        reason = next((text for _, text in of_size((width_px, height_px), scale, capped)), "")
        if reason:
            return LargestScale(largest, reason)
        largest = scale
    return LargestScale(largest, "")
