"""What admins set is kept, holds for their guild alone, and is written down with who and when."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest

from tilestep.bot.guilds import AuditEntry, GuildStore
from tilestep.bot.limits import GuildLimits
from tilestep.upscaler.errors import OptionError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OTHERS = {
    "max_input_megapixels": 1.5,
    "max_output_megapixels": 6.25,
    "max_scale": 2,
    "best_quality": "balanced",
    "default_quality": "fast",
    "max_steps": 3,
    "max_image_steps": 20,
    "jobs_at_once": 1,
    "gpu_seconds_per_day": 60.0,
    "allowed_role_ids": frozenset({2**62, 5}),
    "allowed_channel_ids": frozenset({9}),
    "blocked_words": ("Blood", "käse"),
    "who_may_click": "owner",
    "keep_originals": False,
}


async def test_a_guild_begins_with_the_defaults(guilds: GuildStore) -> None:
    assert await guilds.limits(3) == await guilds.limits(None) == GuildLimits()


async def test_every_limit_can_be_set_and_holds_for_that_guild_alone(guilds: GuildStore) -> None:
    assert OTHERS.keys() == {field.name for field in fields(GuildLimits)}
    wanted = GuildLimits(**OTHERS)
    assert await guilds.set_limits(3, OTHERS, by=1) == wanted
    assert await guilds.limits(3) == wanted
    assert await guilds.limits(4) == GuildLimits()


async def test_a_change_leaves_the_other_limits_alone(guilds: GuildStore) -> None:
    await guilds.set_limits(3, {"max_steps": 2}, by=1)
    assert await guilds.set_limits(3, {"max_scale": 8}, by=1) == replace(GuildLimits(), max_steps=2, max_scale=8)


async def test_every_change_is_written_down_with_who_and_when(guilds: GuildStore) -> None:
    await guilds.set_limits(3, {"max_scale": 8}, by=1, at=NOON)
    await guilds.set_limits(3, {"max_scale": 8, "blocked_words": ("blood", "gore")}, by=2, at=NOON)
    await guilds.reset(3, by=4, at=NOON)
    await guilds.block(3, 99, by=5, at=NOON)
    await guilds.unblock(3, 99, by=6, at=NOON)
    assert await guilds.audit(3) == [
        AuditEntry(NOON, 6, "blocked member", "99", ""),
        AuditEntry(NOON, 5, "blocked member", "", "99"),
        AuditEntry(NOON, 4, "blocked_words", "blood, gore", "none"),
        AuditEntry(NOON, 4, "max_scale", "8x", "4x"),
        AuditEntry(NOON, 2, "blocked_words", "none", "blood, gore"),
        AuditEntry(NOON, 1, "max_scale", "4x", "8x"),
    ]
    assert [entry.by for entry in await guilds.audit(3, limit=2)] == [6, 5]
    assert await guilds.audit(4) == []


async def test_what_changes_nothing_is_not_written_down(guilds: GuildStore) -> None:
    await guilds.set_limits(3, {"max_scale": 4}, by=1)
    await guilds.reset(3, by=1)
    assert not await guilds.unblock(3, 9, by=1)
    assert await guilds.audit(3) == []


async def test_resetting_brings_the_defaults_back_and_keeps_the_blocks(guilds: GuildStore) -> None:
    await guilds.set_limits(3, OTHERS, by=1)
    await guilds.block(3, 9, by=1)
    assert await guilds.reset(3, by=1) == await guilds.limits(3) == GuildLimits()
    assert await guilds.blocked(3) == [9]


async def test_a_value_that_cannot_be_changes_nothing_at_all(guilds: GuildStore) -> None:
    bad = (
        ("max_scale", 3, "Largest scale"),
        ("max_scale", 2.5, "Largest scale"),
        ("max_steps", -1, "from 0 to 50"),
        ("jobs_at_once", 0, "from 1 to 100"),
        ("gpu_seconds_per_day", float("nan"), "from 1 to 86400"),
        ("max_input_megapixels", float("inf"), "from 0.01 to 1000"),
        ("best_quality", "superb", "choose fast, faithful, balanced, best"),
        ("who_may_click", "nobody", "choose everyone, owner"),
        ("colour", 1, 'There is no limit "colour"'),
    )
    for name, value, words in bad:
        with pytest.raises(OptionError, match=words):
            await guilds.set_limits(3, {"jobs_at_once": 7, name: value}, by=1)
    assert (await guilds.limits(3), await guilds.audit(3)) == (GuildLimits(), [])


async def test_members_are_blocked_guild_by_guild(guilds: GuildStore) -> None:
    assert await guilds.block(3, 8, by=1)
    assert await guilds.block(3, 7, by=1)
    assert not await guilds.block(3, 8, by=1)
    assert await guilds.blocked(3) == [7, 8]
    assert [await guilds.is_blocked(place, 8) for place in (3, 4, None)] == [True, False, False]
    assert await guilds.unblock(3, 8, by=1)
    assert await guilds.blocked(3) == [7]
