"""Brings the schema up to date with Alembic. The steps are shipped in `tilestep.migrations`; no file is needed."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tilestep.bot.errors import DatabaseError
from tilestep.bot.schema import version_table


def upgrade(connection: Connection, prefix: str, revision: str = "head") -> None:
    """Runs the missing steps in the connection's transaction. Raises DatabaseError for a schema of a newer Tilestep."""
    config = alembic_config(connection, prefix)
    reached = reached_revision(connection, prefix)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if reached is not None and reached not in known:
        raise DatabaseError(
            f"The database was used by a newer Tilestep (schema {reached}): install that version again, "
            "or give another TILESTEP_TABLE_PREFIX or database."
        )
    command.upgrade(config, revision)


def downgrade(connection: Connection, prefix: str, revision: str) -> None:
    """Takes steps back, `base` all of them; what the older schema has no place for is lost."""
    command.downgrade(alembic_config(connection, prefix), revision)


def reached_revision(connection: Connection, prefix: str) -> str | None:
    """The newest step that the database has seen; None for an empty one."""
    context = MigrationContext.configure(connection, opts={"version_table": version_table(prefix)})
    return context.get_current_revision()


def alembic_config(connection: Connection, prefix: str) -> Config:
    """What `migrations/env.py` reads. Alembic's own logging set-up is left out: it belongs to the host."""
    config = Config()
    config.set_main_option("script_location", "tilestep.migrations:")
    config.attributes.update(connection=connection, table_prefix=prefix)
    return config
