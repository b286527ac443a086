"""Changing a server's limits: the right is checked, the change is audited, and what waits is measured by it at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tilestep.bot.errors import Refused
from tilestep.bot.guild_limits import GuildLimits
from tilestep.bot.limit_fields import FIELDS
from tilestep.bot.progress import as_code
from tilestep.bot.settings import Settings
from tilestep.cogs import words
from tilestep.cogs.context import Interaction, runtime_of
from tilestep.upscaler.errors import OptionError

MOST_SHOWN = 300


def admin_guild_id(interaction: Interaction) -> int:
    """The server, if this member manages it at this moment. Raises Refused.

    `default_member_permissions` are only a default, and cover whole command groups: so every handler asks.
    """
    if interaction.guild_id is None:
        raise Refused("guild", words.GUILD_ONLY)
    if not interaction.permissions.manage_guild:
        raise Refused("permission", words.NEEDS_MANAGE_SERVER)
    return interaction.guild_id


async def change(interaction: Interaction, changes: Mapping[str, Any]) -> str:
    """Sets limits; gives what to tell the admin. Raises Refused and OptionError."""
    guild_id = admin_guild_id(interaction)
    runtime = runtime_of(interaction)
    limits = await runtime.guilds.set_limits(guild_id, changes, by=interaction.user.id)
    return await _told(
        interaction, guild_id, [f"{label(name)}: {_brief(limits, name, runtime.settings)}." for name in changes]
    )


async def reset(interaction: Interaction, name: str | None = None) -> str:
    """Puts one limit, or all, back to the default; gives what to tell the admin."""
    if name is not None:
        return await change(interaction, {known(name): getattr(GuildLimits(), name)})
    guild_id = admin_guild_id(interaction)
    await runtime_of(interaction).guilds.reset(guild_id, by=interaction.user.id)
    return await _told(interaction, guild_id, [words.ALL_RESET])


async def set_text(interaction: Interaction, name: str, text: str) -> str:
    """As `change`, from what an admin typed."""
    return await change(interaction, {known(name): FIELDS[known(name)].parse(text)})


def known(name: str) -> str:
    """The name of a limit. Raises OptionError for anything else."""
    if name not in FIELDS:
        raise OptionError(f"There is no limit {as_code(name, 60)}: choose one of the list.")
    return name


def label(name: str) -> str:
    """As people call it."""
    return FIELDS[name].label


def shown(limits: GuildLimits, name: str, settings: Settings | None = None) -> str:
    """Its value with the unit: '17 megapixels'; with `settings` also the operator's lower one, which holds then."""
    field = FIELDS[name]
    text = f"{field.show(getattr(limits, name))} {field.unit}".strip()
    if settings is None or getattr(capped := limits.capped(settings), name) == getattr(limits, name):
        return text
    return f"{text} (the bot's operator allows {field.show(getattr(capped, name))})"


def _brief(limits: GuildLimits, name: str, settings: Settings) -> str:
    return words.clip(shown(limits, name, settings), MOST_SHOWN)


async def _told(interaction: Interaction, guild_id: int, lines: list[str]) -> str:
    cancelled = await runtime_of(interaction).service.limits_changed(guild_id)
    if cancelled:
        lines.append(words.cancelled_by_limits(len(cancelled)))
    return words.clip(" ".join(lines))
