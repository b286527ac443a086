"""Jobs and their sources, limits of guilds with the audit of their changes, blocked members, GPU time by day.

Written out in full, and never changed again: `tilestep.bot.schema` goes on, this step stays.
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0001"
down_revision = None

SNOWFLAKE = sa.BigInteger
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    create_jobs(prefix)
    op.create_table(
        f"{prefix}job_sources",
        sa.Column("job_id", sa.String(20), sa.ForeignKey(f"{prefix}jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        f"{prefix}guild_limits",
        sa.Column("guild_id", SNOWFLAKE, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )
    op.create_table(
        f"{prefix}audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("guild_id", SNOWFLAKE, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", SNOWFLAKE, nullable=False),
        sa.Column("setting", sa.String(40), nullable=False),
        sa.Column("before", sa.String, nullable=False),
        sa.Column("after", sa.String, nullable=False),
    )
    op.create_index(f"{prefix}audit_by_guild", f"{prefix}audit", ["guild_id", "id"])
    op.create_table(
        f"{prefix}blocked_members",
        sa.Column("guild_id", SNOWFLAKE, primary_key=True, autoincrement=False),
        sa.Column("member_id", SNOWFLAKE, primary_key=True, autoincrement=False),
    )
    op.create_table(
        f"{prefix}usage",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("member_id", SNOWFLAKE, primary_key=True, autoincrement=False),
        sa.Column("guild_id", SNOWFLAKE, primary_key=True, autoincrement=False),
        sa.Column("gpu_ms", sa.Float(53), nullable=False),
    )


def create_jobs(prefix: str) -> None:
    jobs = f"{prefix}jobs"
    op.create_table(
        jobs,
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("via", sa.String(10), nullable=False),
        sa.Column("guild_id", SNOWFLAKE),
        sa.Column("channel_id", SNOWFLAKE, nullable=False),
        sa.Column("parent_channel_id", SNOWFLAKE),
        sa.Column("requester_id", SNOWFLAKE, nullable=False),
        sa.Column("age_restricted", sa.Boolean, nullable=False),
        sa.Column("private", sa.Boolean, nullable=False),
        sa.Column("spoiler", sa.Boolean, nullable=False),
        sa.Column("posting", sa.Boolean, nullable=False),
        sa.Column("upload_limit_bytes", sa.BigInteger, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("source_channel_id", SNOWFLAKE),
        sa.Column("source_message_id", SNOWFLAKE),
        sa.Column("source_author_id", SNOWFLAKE),
        sa.Column("source_filename", sa.String),
        sa.Column("source_description", sa.String),
        sa.Column("source_width_px", sa.Integer),
        sa.Column("source_height_px", sa.Integer),
        sa.Column("parent_job_id", sa.String(20)),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("reply", sa.JSON),
        sa.Column("reply_expires_at", sa.Float(53)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("gpu_ms", sa.Float(53), nullable=False),
        sa.Column("error", sa.String),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("progress_channel_id", SNOWFLAKE),
        sa.Column("progress_message_id", SNOWFLAKE),
        sa.Column("result_channel_id", SNOWFLAKE),
        sa.Column("result_message_id", SNOWFLAKE),
        sa.Column("result", sa.JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
    )
    for name, columns in (
        ("state", ["state", "requester_id"]),
        ("requester", ["requester_id", "created_at"]),
        ("guild", ["guild_id"]),
        ("message", ["result_message_id"]),
        ("parent", ["parent_job_id"]),
        ("source_author", ["source_author_id"]),
    ):
        op.create_index(f"{jobs}_by_{name}", jobs, columns)


def downgrade() -> None:
    prefix = context.config.attributes["table_prefix"]
    for name in ("usage", "blocked_members", "audit", "guild_limits", "job_sources", "jobs"):
        op.drop_table(f"{prefix}{name}")
