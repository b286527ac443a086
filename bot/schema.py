"""The tables, as the newest migration leaves them; a test holds the two against each other.

| table | a row is | kept |
| --- | --- | --- |
| jobs | what a member asked for | until `keep_jobs_days` after its end |
| job_sources | the bytes to enlarge | while the job may still need them |
| guild_limits | one limit that an admin set | until reset, or the bot leaves the guild |
| audit | one change by an admin | until the bot leaves the guild |
| blocked_members | who may not use the bot in a guild | until unblocked, or the bot leaves the guild |
| usage | GPU time of a member in a guild on a day (UTC) | until the day is over |

`guild_id` 0 in `usage` means direct messages, since a primary key holds no NULL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tilestep.bot.errors import SettingsError

_PREFIX = re.compile(r"(?:[a-z_][a-z0-9_]{0,29})?")


class UtcTime(sa.TypeDecorator[datetime]):
    """An aware time in UTC. SQLite knows no time zones, so it is kept there without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class AnyText(sa.TypeDecorator[str]):
    """Text from strangers: what a database cannot hold (NUL, halves of surrogate pairs) is taken out."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        if value is None:
            return None
        return value.encode("utf-8", "replace").decode().replace("\0", "")


@dataclass(frozen=True)
class Tables:
    """All tables of one prefix."""

    metadata: sa.MetaData
    jobs: sa.Table
    job_sources: sa.Table
    guild_limits: sa.Table
    audit: sa.Table
    blocked_members: sa.Table
    usage: sa.Table


def check_prefix(prefix: str) -> str:
    """The prefix, if every database takes it as the start of a table's name. Raises SettingsError."""
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(
            f"TILESTEP_TABLE_PREFIX: {prefix!r} cannot begin the name of a table: "
            "use up to 30 lower-case letters, digits and _, not beginning with a digit."
        )
    return prefix


def version_table(prefix: str) -> str:
    """Where Alembic notes which step the schema has reached."""
    return f"{prefix}alembic_version"


def make_tables(prefix: str) -> Tables:
    """Raises SettingsError for a prefix that cannot be."""
    metadata = sa.MetaData()
    check_prefix(prefix)
    jobs = _jobs(metadata, prefix)
    return Tables(
        metadata,
        jobs,
        sa.Table(
            f"{prefix}job_sources",
            metadata,
            sa.Column("job_id", AnyText(20), sa.ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
            sa.Column("data", sa.LargeBinary, nullable=False),
        ),
        sa.Table(
            f"{prefix}guild_limits",
            metadata,
            _id("guild_id", primary_key=True),
            sa.Column("name", sa.String(40), primary_key=True),
            sa.Column("value", sa.JSON, nullable=False),
        ),
        sa.Table(
            f"{prefix}audit",
            metadata,
            sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
            _id("guild_id"),
            sa.Column("at", UtcTime, nullable=False),
            _id("by"),
            sa.Column("setting", sa.String(40), nullable=False),
            sa.Column("before", AnyText, nullable=False),
            sa.Column("after", AnyText, nullable=False),
            sa.Index(f"{prefix}audit_by_guild", "guild_id", "id"),
        ),
        sa.Table(
            f"{prefix}blocked_members",
            metadata,
            _id("guild_id", primary_key=True),
            _id("member_id", primary_key=True),
        ),
        sa.Table(
            f"{prefix}usage",
            metadata,
            sa.Column("day", sa.Date, primary_key=True),
            _id("member_id", primary_key=True),
            _id("guild_id", primary_key=True),
            sa.Column("gpu_ms", sa.Float(53), nullable=False),
        ),
    )


def _jobs(metadata: sa.MetaData, prefix: str) -> sa.Table:
    return sa.Table(
        f"{prefix}jobs",
        metadata,
        sa.Column("id", AnyText(20), primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("via", sa.String(10), nullable=False),
        *(_id(name, nullable=True) for name in ("guild_id", "parent_channel_id")),
        *(_id(name) for name in ("channel_id", "requester_id")),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("age_restricted", "private", "spoiler", "posting")),
        sa.Column("upload_limit_bytes", sa.BigInteger, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        *(_id(f"source_{name}_id", nullable=True) for name in ("channel", "message", "author")),
        sa.Column("source_filename", AnyText),
        sa.Column("source_description", AnyText),
        sa.Column("source_width_px", sa.Integer),
        sa.Column("source_height_px", sa.Integer),
        sa.Column("parent_job_id", AnyText(20)),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("reply", sa.JSON(none_as_null=True)),
        sa.Column("reply_expires_at", sa.Float(53)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("gpu_ms", sa.Float(53), nullable=False),
        sa.Column("error", AnyText),
        sa.Column("note", AnyText, nullable=False),
        *(_id(f"{of}_{what}_id", nullable=True) for of in ("progress", "result") for what in ("channel", "message")),
        sa.Column("result", sa.JSON, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.Column("finished_at", UtcTime),
        sa.Index(f"{prefix}jobs_by_state", "state", "requester_id"),
        sa.Index(f"{prefix}jobs_by_requester", "requester_id", "created_at"),
        sa.Index(f"{prefix}jobs_by_guild", "guild_id"),
        sa.Index(f"{prefix}jobs_by_message", "result_message_id"),
        sa.Index(f"{prefix}jobs_by_parent", "parent_job_id"),
        sa.Index(f"{prefix}jobs_by_source_author", "source_author_id"),
    )


def _id(name: str, nullable: bool = False, primary_key: bool = False) -> sa.Column[Any]:
    """A snowflake of Discord: 64 bits, never counted up by the database."""
    return sa.Column(name, sa.BigInteger, nullable=nullable, primary_key=primary_key, autoincrement=False)
