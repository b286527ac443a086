"""The database: an SQLite file by default, PostgreSQL by URL; SQLAlchemy 2 (Core), asynchronous.

    async with Database(settings.sqlalchemy_url) as database:
        await database.migrate()
        async with database.write() as connection: ...

`write` is a transaction: all of it happens, or nothing. SQLite lets one writer in at a time, the others wait; there
a `write` takes its turn at the start, so that it never fails half-way for want of it.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tilestep.bot.errors import DatabaseError, SettingsError
from tilestep.bot.schema import make_tables
from tilestep.bot.upgrade import upgrade

BUSY_TIMEOUT_MS = 15_000
PRAGMAS = (
    f"busy_timeout = {BUSY_TIMEOUT_MS}",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
)
WRITES = "tilestep_writes"
MISTAKES = (DataError, IntegrityError, ProgrammingError)
DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")


class Database:
    """Connections and transactions. Raises SettingsError for a URL or prefix that cannot be; DatabaseError in use."""

    def __init__(self, url: str, table_prefix: str = "tilestep_") -> None:
        self.tables = make_tables(table_prefix)
        self._url, self._prefix = url, table_prefix
        self._engine = make_engine(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._engine.dispose()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    async def migrate(self) -> None:
        """Brings the schema up to date. Raises DatabaseError for a schema of a newer Tilestep, which is left alone."""
        async with self.read() as connection:
            await connection.execute(sa.select(sa.literal(1)))
        await asyncio.to_thread(lambda: asyncio.run(_migrate(self._url, self._prefix)))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements all see the same moment (SQLite) or each the newest (PostgreSQL)."""
        async with _in_words(*MISTAKES), self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end and rolled back by any error."""
        async with _in_words(*MISTAKES), self._engine.connect() as connection:
            await connection.execution_options(**{WRITES: True})
            async with connection.begin():
                yield connection

    async def one_at_a_time(self, connection: AsyncConnection) -> None:
        """Until the end of this transaction no other gets past here; SQLite's writers are in a row anyway."""
        if self.dialect == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_lock_number(self._prefix))))


def make_engine(url: str) -> AsyncEngine:
    """Raises SettingsError for a URL that is none, or of a database that is not supported."""
    wanted = f"TILESTEP_DATABASE_URL: give {DRIVERS[1]}://user:password@host/name, or leave it out for an SQLite file."
    try:
        driver = sa.make_url(url).drivername
        if driver not in DRIVERS:
            raise SettingsError(wanted)
        engine = create_async_engine(url, pool_pre_ping=driver == DRIVERS[1], hide_parameters=True)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise SettingsError(wanted) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
        sa.event.listen(engine.sync_engine, "invalidate", _undo_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    """Deleted rows are wiped, since people may ask to be forgotten; what is committed survives a power cut."""
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        for pragma in PRAGMAS:
            _set_pragma(cursor, pragma)
    except BaseException:
        connection.close()
        raise
    cursor.close()


def _set_pragma(cursor: Any, pragma: str) -> None:
    """SQLite does not wait where two connections turn to WAL at once: one of them has to ask again."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute(f"PRAGMA {pragma}")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(0.005)


def _begin_sqlite(connection: sa.Connection) -> None:
    """Python's sqlite3 would begin too late, and not at all before DDL."""
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _undo_sqlite(connection: Any, record: Any, error: BaseException | None) -> None:
    """Giving up in the middle of a statement throws its connection away; the lock would stay until Python frees it."""
    with suppress(sqlite3.Error):
        connection.rollback()


async def _migrate(url: str, prefix: str) -> None:
    engine = make_engine(url)
    try:
        async with _in_words(), engine.connect() as connection:
            await connection.execution_options(**{WRITES: True})
            async with connection.begin():
                if engine.dialect.name == "postgresql":
                    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_lock_number(prefix))))
                await connection.run_sync(upgrade, prefix)
    finally:
        await engine.dispose()


def _lock_number(prefix: str) -> int:
    """One lock of PostgreSQL for each prefix, below 2**63 and the same in every process."""
    return int.from_bytes(f"tile{prefix}".encode()[-7:])


@asynccontextmanager
async def _in_words(*ours: type[DBAPIError]) -> AsyncIterator[None]:
    """A database that cannot be reached, is full or locked, is no fault of ours; `ours` are, and pass as they are."""
    try:
        yield
    except ours:
        raise
    except DBAPIError as error:
        raise DatabaseError(f"The database cannot be used ({_reason(error.orig)}): try again later.") from error
    except PoolTimeout as error:
        raise DatabaseError("The database is too slow for all that is asked of it: try again later.") from error
    except (OSError, TimeoutError) as error:
        raise DatabaseError(f"The database cannot be reached ({_reason(error)}): try again later.") from error


def _reason(error: BaseException | None) -> str:
    text = re.sub(r"^<class '[^']*'>: ", "", str(error)).strip().rstrip(".")
    return text.splitlines()[0] if text else type(error).__name__
