"""GPU time of members by day (UTC): what limits count. Days that are over have no use and are removed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tilestep.bot.schema import Tables

DIRECT = 0
"""Stands for direct messages, where there is no guild."""


async def charge_member(
    connection: AsyncConnection, tables: Tables, member_id: int, guild_id: int | None, gpu_ms: float, at: datetime
) -> None:
    """Adds to the day of `at`, in the caller's transaction."""
    usage = tables.usage
    key = {"day": at.astimezone(UTC).date(), "member_id": member_id, "guild_id": guild_id or DIRECT}
    insert: Any = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(usage)
    insert = insert.values(**key, gpu_ms=gpu_ms)
    more = usage.c.gpu_ms + insert.excluded.gpu_ms
    await connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_={"gpu_ms": more}))


async def gpu_seconds(
    connection: AsyncConnection, tables: Tables, member_id: int, guild_id: int | None, at: datetime
) -> tuple[float, float]:
    """What the member has used on the day of `at`: in this guild, and everywhere."""
    usage = tables.usage
    here = sa.func.sum(usage.c.gpu_ms).filter(usage.c.guild_id == (guild_id or DIRECT))
    chosen = sa.select(here, sa.func.sum(usage.c.gpu_ms)).where(
        usage.c.member_id == member_id, usage.c.day == at.astimezone(UTC).date()
    )
    row = (await connection.execute(chosen)).one()
    return (row[0] or 0.0) / 1000, (row[1] or 0.0) / 1000


async def drop_past_days(connection: AsyncConnection, tables: Tables, at: datetime) -> None:
    """Removes what was used before the day of `at`."""
    await connection.execute(sa.delete(tables.usage).where(tables.usage.c.day < at.astimezone(UTC).date()))


async def drop_past_days_of(connection: AsyncConnection, tables: Tables, member_id: int, at: datetime) -> None:
    """Removes what one member used before the day of `at`."""
    past = tables.usage.c.day < at.astimezone(UTC).date()
    await connection.execute(sa.delete(tables.usage).where(past, tables.usage.c.member_id == member_id))


async def drop_guild(connection: AsyncConnection, tables: Tables, guild_id: int) -> None:
    """Removes what was used in one guild."""
    await connection.execute(sa.delete(tables.usage).where(tables.usage.c.guild_id == guild_id))
