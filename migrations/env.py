"""Alembic runs this for each upgrade; `tilestep.bot.upgrade` hands in the connection and the table prefix."""

from alembic import context

prefix = context.config.attributes["table_prefix"]
context.configure(
    connection=context.config.attributes["connection"],
    version_table=f"{prefix}alembic_version",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
