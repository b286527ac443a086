"""Whether a picture may be upscaled once more: decides if the button under it is enabled, and what it says if not."""

from __future__ import annotations

from dataclasses import dataclass

from tilestep.bot.guild_limits import GuildLimits
from tilestep.bot.limit_checks import of_size_in_brief
from tilestep.bot.limits import largest_scale
from tilestep.bot.settings import Settings

BUTTON_SCALE = 2


@dataclass(frozen=True)
class ButtonOffer:
    """`reason`: why not, short enough for the label of a button; "" where it is enabled."""

    enabled: bool
    reason: str = ""


def offer_for(limits: GuildLimits, settings: Settings, width_px: int, height_px: int) -> ButtonOffer:
    """For a picture of this size in a guild with these limits."""
    largest = largest_scale(limits, settings, width_px, height_px)
    if (largest.scale or 0) >= BUTTON_SCALE:
        return ButtonOffer(True)
    return ButtonOffer(False, of_size_in_brief((width_px, height_px), BUTTON_SCALE, limits.capped(settings)))
