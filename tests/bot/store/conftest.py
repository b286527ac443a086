"""Each test of the store runs on SQLite and on PostgreSQL: one cluster for the run, a table prefix for each test.

The cluster listens on a socket in a temporary folder only. PostgreSQL refuses to run as root, so root starts it as the
user `postgres`, or `nobody`. Where no PostgreSQL is installed those tests are skipped.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tilestep.bot.database import Database
from tilestep.bot.guilds import GuildStore
from tilestep.bot.jobs import JobStore

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
SETTINGS = "-c listen_addresses='' -c fsync=off -c max_connections=40 -c shared_buffers=16MB"
numbers = itertools.count(1)


def program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, PROGRAMS)]))


def other_user() -> str | None:
    """Whom root lets run the cluster; None when we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A cluster of its own, gone after the run."""
    initdb, pg_ctl, user = program("initdb"), program("pg_ctl"), other_user()
    if not initdb or not pg_ctl:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="tilestep-pg-"))
    if user:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=folder, capture_output=True, timeout=100)

    data = str(folder / "data")
    try:
        run(initdb, "-D", data, "-U", "tilestep", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        run(pg_ctl, "-D", data, "-l", str(folder / "log"), "-o", f"{SETTINGS} -k {folder}", "-w", "start")
        try:
            yield f"postgresql+asyncpg://tilestep@/postgres?host={folder}"
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite+aiosqlite:///{tmp_path / 'tilestep.db'}"


@pytest.fixture
def prefix() -> str:
    return f"t{next(numbers)}_"


@pytest.fixture
async def empty(database_url: str, prefix: str) -> AsyncIterator[Database]:
    """A database without our tables."""
    async with Database(database_url, prefix) as database:
        yield database


@pytest.fixture
async def database(empty: Database) -> Database:
    await empty.migrate()
    return empty


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)


@pytest.fixture
def guilds(database: Database) -> GuildStore:
    return GuildStore(database)
