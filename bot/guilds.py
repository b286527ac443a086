"""What the admins of a guild have set: limits, with an audit of every change, and who is blocked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tilestep.bot.database import Database
from tilestep.bot.guild_limits import GuildLimits
from tilestep.bot.job import utc_now
from tilestep.bot.limit_fields import FIELDS
from tilestep.bot.usage import drop_guild, drop_past_days_of, gpu_seconds
from tilestep.upscaler.errors import OptionError

BLOCKED = "blocked member"


@dataclass(frozen=True)
class AuditEntry:
    """One change. `by`: a member's id. `before` and `after` as people read them, "" for nothing."""

    at: datetime
    by: int
    setting: str
    before: str
    after: str


class GuildStore:
    """Limits, audit, blocked members and GPU time of all guilds; direct messages have the default limits."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database, self._clock = database, clock
        self._tables = database.tables

    async def limits(self, guild_id: int | None) -> GuildLimits:
        """The defaults, and what the guild has set; not capped yet."""
        if guild_id is None:
            return GuildLimits()
        async with self._database.read() as connection:
            return await self._limits(connection, guild_id)

    async def set_limits(
        self, guild_id: int, changes: Mapping[str, Any], by: int, at: datetime | None = None
    ) -> GuildLimits:
        """All changes or none; gives the limits as they are now. Raises OptionError for a value that cannot be."""
        valid = {name: _valid(name, value) for name, value in changes.items()}
        async with self._database.write() as connection:
            await self._database.one_at_a_time(connection)
            before = await self._limits(connection, guild_id)
            changed = {name: value for name, value in valid.items() if getattr(before, name) != value}
            for name, value in changed.items():
                await self._delete_limits(connection, guild_id, name)
                row = {"guild_id": guild_id, "name": name, "value": _to_json(value)}
                await connection.execute(sa.insert(self._tables.guild_limits).values(row))
            after = await self._limits(connection, guild_id)
            await self._note_changes(connection, guild_id, by, at, before, after)
            return after

    async def reset(self, guild_id: int, by: int, at: datetime | None = None) -> GuildLimits:
        """Everything as it was at first, blocked members aside; gives the limits as they are now."""
        async with self._database.write() as connection:
            await self._database.one_at_a_time(connection)
            before = await self._limits(connection, guild_id)
            await self._delete_limits(connection, guild_id)
            await self._note_changes(connection, guild_id, by, at, before, GuildLimits())
            return GuildLimits()

    async def audit(self, guild_id: int, limit: int = 20) -> list[AuditEntry]:
        """The latest changes, newest first."""
        audit = self._tables.audit
        chosen = sa.select(audit).where(audit.c.guild_id == guild_id).order_by(audit.c.id.desc()).limit(limit)
        async with self._database.read() as connection:
            rows = await connection.execute(chosen)
            return [AuditEntry(row.at, row.by, row.setting, row.before, row.after) for row in rows]

    async def block(self, guild_id: int, member_id: int, by: int, at: datetime | None = None) -> bool:
        """False if the member was blocked already."""
        async with self._database.write() as connection:
            await self._database.one_at_a_time(connection)
            if await self._is_blocked(connection, guild_id, member_id):
                return False
            row = {"guild_id": guild_id, "member_id": member_id}
            await connection.execute(sa.insert(self._tables.blocked_members).values(row))
            await self._note(connection, guild_id, by, at, BLOCKED, "", str(member_id))
            return True

    async def unblock(self, guild_id: int, member_id: int, by: int, at: datetime | None = None) -> bool:
        """False if the member was not blocked."""
        blocked = self._tables.blocked_members
        this = (blocked.c.guild_id == guild_id) & (blocked.c.member_id == member_id)
        async with self._database.write() as connection:
            removed = (await connection.execute(sa.delete(blocked).where(this))).rowcount > 0
            if removed:
                await self._note(connection, guild_id, by, at, BLOCKED, str(member_id), "")
            return removed

    async def is_blocked(self, guild_id: int | None, member_id: int) -> bool:
        """Never in direct messages, where there is nobody to block."""
        if guild_id is None:
            return False
        async with self._database.read() as connection:
            return await self._is_blocked(connection, guild_id, member_id)

    async def blocked(self, guild_id: int) -> list[int]:
        """Ids of the blocked members, ascending."""
        blocked = self._tables.blocked_members.c
        chosen = sa.select(blocked.member_id).where(blocked.guild_id == guild_id).order_by(blocked.member_id)
        async with self._database.read() as connection:
            return list((await connection.execute(chosen)).scalars())

    async def gpu_seconds_today(self, guild_id: int | None, member_id: int) -> float:
        """What the member has used in this guild (None: in direct messages) since 0:00 UTC."""
        return (await self.gpu_seconds(guild_id, member_id))[0]

    async def gpu_seconds(self, guild_id: int | None, member_id: int) -> tuple[float, float]:
        """What the member has used since 0:00 UTC: in this guild, and in all places."""
        async with self._database.read() as connection:
            return await gpu_seconds(connection, self._tables, member_id, guild_id, self._clock())

    async def forget_member(self, member_id: int) -> None:
        """Removes what is kept of a member's GPU time, but for today's, which still counts.

        That a member is blocked, and what an admin has changed, is the guild's record and stays.
        """
        async with self._database.write() as connection:
            await drop_past_days_of(connection, self._tables, member_id, self._clock())

    async def guild_ids(self) -> set[int]:
        """Guilds of which anything is kept here."""
        columns = [table.c.guild_id for table in (*self._of_guilds, self._tables.usage)]
        async with self._database.read() as connection:
            found = await connection.execute(sa.union(*(sa.select(column) for column in columns)))
            return {guild_id for guild_id in found.scalars() if guild_id}

    async def forget_guild(self, guild_id: int) -> None:
        """Removes everything: limits, audit, blocked members and GPU time."""
        async with self._database.write() as connection:
            for table in self._of_guilds:
                await connection.execute(sa.delete(table).where(table.c.guild_id == guild_id))
            await drop_guild(connection, self._tables, guild_id)

    @property
    def _of_guilds(self) -> tuple[sa.Table, ...]:
        return self._tables.guild_limits, self._tables.audit, self._tables.blocked_members

    async def _limits(self, connection: AsyncConnection, guild_id: int) -> GuildLimits:
        table = self._tables.guild_limits
        rows = await connection.execute(sa.select(table.c.name, table.c.value).where(table.c.guild_id == guild_id))
        return GuildLimits(**{row.name: _from_json(row.name, row.value) for row in rows if row.name in FIELDS})

    async def _delete_limits(self, connection: AsyncConnection, guild_id: int, name: str | None = None) -> None:
        table = self._tables.guild_limits
        where = table.c.guild_id == guild_id
        await connection.execute(sa.delete(table).where(where if name is None else where & (table.c.name == name)))

    async def _is_blocked(self, connection: AsyncConnection, guild_id: int, member_id: int) -> bool:
        blocked = self._tables.blocked_members.c
        chosen = sa.select(blocked.member_id).where(blocked.guild_id == guild_id, blocked.member_id == member_id)
        return (await connection.execute(chosen)).first() is not None

    async def _note_changes(
        self,
        connection: AsyncConnection,
        guild_id: int,
        by: int,
        at: datetime | None,
        before: GuildLimits,
        after: GuildLimits,
    ) -> None:
        for field in fields(GuildLimits):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if old != new:
                show = FIELDS[field.name].show
                await self._note(connection, guild_id, by, at, field.name, show(old), show(new))

    async def _note(
        self,
        connection: AsyncConnection,
        guild_id: int,
        by: int,
        at: datetime | None,
        setting: str,
        before: str,
        after: str,
    ) -> None:
        row = {"guild_id": guild_id, "at": at or self._clock(), "by": by, "setting": setting}
        await connection.execute(sa.insert(self._tables.audit).values(**row, before=before, after=after))


def _valid(name: str, value: Any) -> Any:
    if name not in FIELDS:
        raise OptionError(f'There is no limit "{name}": choose {", ".join(FIELDS)}.')
    return FIELDS[name].parse(FIELDS[name].show(value))


def _to_json(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value


def _from_json(name: str, value: Any) -> Any:
    kept = getattr(GuildLimits(), name)
    return type(kept)(value) if isinstance(kept, (frozenset, tuple)) else value
