"""The database looks after its own schema, and says in words what keeps it from doing so."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tilestep.bot.database import Database
from tilestep.bot.errors import DatabaseError, SettingsError
from tilestep.bot.jobs import JobStore
from tilestep.bot.schema import make_tables, version_table
from tilestep.bot.upgrade import downgrade, reached_revision, upgrade


async def tables_in(database: Database, prefix: str) -> set[str]:
    async with database.read() as connection:
        names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    return {name for name in names if name.startswith(prefix)}


async def connection_threads_end() -> None:
    """A connection that failed reports its end to the event loop, which must live that long."""
    for thread in threading.enumerate():
        if "_connection_worker" in thread.name:
            await asyncio.to_thread(thread.join, 3)


async def test_migrating_makes_all_tables_and_again_changes_nothing(empty: Database, prefix: str) -> None:
    await empty.migrate()
    await empty.migrate()
    ours = {table.name for table in empty.tables.metadata.sorted_tables}
    assert await tables_in(empty, prefix) == ours | {version_table(prefix)}


async def test_the_migrations_lead_to_the_tables_that_the_code_uses(database: Database, prefix: str) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        options = {
            "version_table": version_table(prefix),
            "compare_server_default": True,
            "include_name": lambda name, kind, parents: kind != "table" or name.startswith(prefix),
        }
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, database.tables.metadata))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_starting_twice_at_once_migrates_once(empty: Database, database_url: str, prefix: str) -> None:
    async with Database(database_url, prefix) as other:
        await asyncio.gather(empty.migrate(), other.migrate(), empty.migrate())
    assert await JobStore(empty).totals()


async def test_two_prefixes_live_side_by_side_in_one_database(
    database: Database, database_url: str, prefix: str
) -> None:
    async with Database(database_url, f"other_{prefix}") as other:
        await other.migrate()
        assert len(await tables_in(other, f"other_{prefix}")) == len(await tables_in(database, prefix)) == 7


async def test_downgrading_leaves_nothing_of_ours_and_all_of_others(database: Database, prefix: str) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text(f"CREATE TABLE host_of_{prefix} (id INTEGER)"))
        await connection.run_sync(downgrade, prefix, "base")
    assert await tables_in(database, prefix) == {version_table(prefix)}
    assert await tables_in(database, f"host_of_{prefix}")
    await database.migrate()
    assert sum((await JobStore(database).totals()).values()) == 0


async def test_a_step_that_fails_leaves_the_database_as_it_was(empty: Database, prefix: str) -> None:
    async with empty.write() as connection:
        await connection.execute(sa.text(f"CREATE TABLE {prefix}usage (a_table_of_somebody_else INTEGER)"))
    with pytest.raises(DatabaseError, match=r"already exists"):
        await empty.migrate()
    assert await tables_in(empty, prefix) == {f"{prefix}usage"}


async def test_a_schema_of_a_newer_version_is_refused_and_left_alone(database: Database, prefix: str) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text(f"UPDATE {version_table(prefix)} SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"newer Tilestep \(schema 9999\): install that version again"):
        await database.migrate()
    async with database.read() as connection:
        assert await connection.run_sync(reached_revision, prefix) == "9999"


async def test_the_schema_can_be_brought_up_inside_a_hosts_own_transaction(empty: Database, prefix: str) -> None:
    async def upgrade_and_fail() -> None:
        async with empty.write() as connection:
            await connection.run_sync(upgrade, prefix)
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await upgrade_and_fail()
    assert await tables_in(empty, prefix) == set()


async def test_an_error_takes_back_all_of_a_transaction(database: Database) -> None:
    blocked = database.tables.blocked_members

    async def block_twice() -> None:
        async with database.write() as connection:
            await connection.execute(sa.insert(blocked).values(guild_id=1, member_id=2))
            await connection.execute(sa.insert(blocked).values(guild_id=1, member_id=2))

    with pytest.raises(sa.exc.IntegrityError):
        await block_twice()
    async with database.read() as connection:
        assert (await connection.execute(sa.select(blocked))).all() == []


async def test_giving_up_in_mid_transaction_frees_the_way_for_others(database: Database) -> None:
    blocked, inside = database.tables.blocked_members, asyncio.Event()

    async def interrupted() -> None:
        async with database.write() as connection:
            await connection.execute(sa.insert(blocked).values(guild_id=1, member_id=2))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(interrupted())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.write() as connection:
        await connection.execute(sa.insert(blocked).values(guild_id=1, member_id=3))
        rows = (await connection.execute(sa.select(blocked.c.member_id))).scalars().all()
    assert rows == [3]


async def test_sqlite_is_told_to_survive_power_cuts_and_to_wipe_what_is_deleted(tmp_path: Path) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 15000}
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}") as database, database.read() as connection:
        found = {name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in wanted}
    assert found == wanted


async def test_readers_of_sqlite_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}") as database:
        await database.migrate()
        async with database.write() as connection:
            await connection.execute(sa.insert(database.tables.blocked_members).values(guild_id=1, member_id=2))
            assert sum((await JobStore(database).totals()).values()) == 0


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql+aiomysql://a@b/c", "sqlite:///a.db", "postgresql://a@b/c", "x://"]
)
def test_a_url_of_another_kind_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(
        SettingsError, match=r"TILESTEP_DATABASE_URL: give postgresql\+asyncpg://user:password@host/name"
    ):
        Database(url)


@pytest.mark.parametrize("prefix", ["1_", "a-b", "Tilestep_", 'x"; DROP TABLE', "a" * 31, "ä_", "a b", "a\n"])
def test_a_prefix_that_cannot_begin_a_name_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="up to 30 lower-case letters"):
        make_tables(prefix)


@pytest.mark.parametrize("prefix", ["", "_", "a" * 30])
async def test_any_other_prefix_works(prefix: str, tmp_path: Path) -> None:
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}", prefix) as database:
        await database.migrate()
        assert len(await tables_in(database, prefix)) == 7


async def test_a_file_that_is_no_database_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"these are the wrong bytes for a database" * 100)
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}") as database:
        with pytest.raises(DatabaseError, match="file is not a database"):
            await database.migrate()
        await connection_threads_end()


async def test_a_missing_folder_is_told_in_words(tmp_path: Path) -> None:
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'nowhere' / 'a.db'}") as database:
        with pytest.raises(DatabaseError, match="unable to open database file"):
            await database.migrate()
        await connection_threads_end()


async def test_a_full_disk_is_told_in_words_and_loses_nothing(tmp_path: Path) -> None:
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}") as database:
        await database.migrate()

        async def fill() -> None:
            async with database.write() as connection:
                await connection.exec_driver_sql("PRAGMA max_page_count = 1")
                await connection.execute(sa.text("CREATE TABLE more AS SELECT zeroblob(1000000)"))

        with pytest.raises(DatabaseError, match=r"database or disk is full\): try again later"):
            await fill()
        assert sum((await JobStore(database).totals()).values()) == 0


async def test_a_server_that_is_away_is_told_in_words() -> None:
    async with Database("postgresql+asyncpg://somebody:secret@127.0.0.1:1/tilestep") as database:
        with pytest.raises(DatabaseError, match="cannot be reached") as caught:
            await database.migrate()
    assert "secret" not in str(caught.value)


async def test_a_server_that_hangs_up_is_found_again(postgres_url: str, prefix: str) -> None:
    async with Database(postgres_url, prefix) as database:
        await database.migrate()
        async with database.read() as connection:
            mine = (await connection.execute(sa.text("SELECT pg_backend_pid()"))).scalar()
        async with Database(postgres_url, prefix) as other, other.write() as connection:
            await connection.execute(sa.select(sa.func.pg_terminate_backend(mine)))
        assert sum((await JobStore(database).totals()).values()) == 0


async def test_an_unknown_database_of_a_server_is_told_in_words(postgres_url: str) -> None:
    async with Database(postgres_url.replace("/postgres", "/missing")) as database:
        with pytest.raises(DatabaseError, match='database "missing" does not exist'):
            await database.migrate()


async def test_the_steps_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}") as database:
        await database.migrate()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("SELECT version_num FROM tilestep_alembic_version").fetchone() == ("0001",)
    connection.close()
