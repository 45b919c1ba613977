"""Migrations and starting."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import NullPool, create_engine
from structlog.testing import capture_logs

from tests.contract.store.conftest import NewStore
from tests.support.polling import until
from worker.adapters.sql import SchemaTooNew, SqlStore, open_store
from worker.adapters.sql.sqlite_driver import SqliteDriver
from worker.adapters.sql.tables import metadata


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """Here the stores make their tables themselves."""
    return empty_database_url


def sync_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


async def test_many_workers_may_start_at_once(new_store: NewStore) -> None:
    """Six workers that start on an empty database at the same moment all become ready."""
    for store in await asyncio.gather(*(new_store() for _ in range(6))):
        await store.check()


async def test_the_migrations_make_the_tables_of_the_code(store: SqlStore, database_url: str) -> None:
    """After all migrations the database has exactly the tables, columns and indexes that the code declares."""
    engine = create_engine(sync_url(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


async def test_a_newer_schema_is_refused(store: SqlStore, database_url: str) -> None:
    """A database that a newer version has migrated makes the start fail, with what to do."""
    engine = create_engine(sync_url(database_url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match=r"9999.*newer"):
        await open_store(database_url).start()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "june.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://user:hush@host/db",
        "postgresql://user:hush@host",
        "postgresql://user:hush@host:port/x",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """A URL of another form is refused with the forms that are right, and without repeating it."""
    with pytest.raises(ValueError, match="sqlite:///file") as refused:
        open_store(url)
    assert "hush" not in str(refused.value)


async def test_a_start_waits_for_the_database(tmp_path: Path) -> None:
    """A database that is not there yet is waited for, with a line that names it; then the store is ready."""
    store = open_store(f"sqlite:///{tmp_path}/later/june.db")
    with capture_logs() as logs:
        starting = asyncio.create_task(store.start())
        await until(lambda: logs)
        (tmp_path / "later").mkdir()
        await starting
    assert "later/june.db" in logs[0]["database"]
    await store.check()
    await store.close()


async def test_a_start_shows_no_password() -> None:
    """While it waits for PostgreSQL its lines name the server and never the password."""
    store = open_store("postgresql://june:hush@127.0.0.1:1/june")
    with capture_logs() as logs:
        starting = asyncio.create_task(store.start())
        await until(lambda: logs)
        starting.cancel()
        await asyncio.wait([starting])
    assert "127.0.0.1:1/june" in logs[0]["database"]
    assert "hush" not in str(logs)


async def test_lists_of_the_living_walk_over_no_tombstone(tmp_path: Path) -> None:
    """SQLite finds what lives in a room by the indexes that hold the living alone."""
    store = open_store(f"sqlite:///{tmp_path}/june.db")
    await store.start()
    await store.close()
    statements = SqliteDriver(tmp_path / "june.db").statements
    connection = sqlite3.connect(tmp_path / "june.db")
    values = {"room_sid": "", "participant_sid": ""}
    for statement, index in (
        (statements.live_participants, "participants_live"),
        (statements.live_tracks, "tracks_live"),
        (statements.live_tracks_of, "tracks_live"),
        (statements.live_jobs, "jobs_live"),
        (statements.live_jobs_of, "jobs_live"),
    ):
        explain = f"EXPLAIN QUERY PLAN {statement.sql}"
        plan = " ".join(row[3] for row in connection.execute(explain, statement.places(values)))
        assert f"USING INDEX {index} (" in plan
    connection.close()


async def test_sqlite_syncs_each_commit(tmp_path: Path) -> None:
    """What was committed is on the disk, and outlives a lost power supply as it does a killed process."""
    store = open_store(f"sqlite:///{tmp_path}/june.db")
    await store.start()
    await store.close()
    connection = SqliteDriver(tmp_path / "june.db").connect()
    settings = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")
    ]
    connection.close()
    assert settings == [2, "wal"], "2 is FULL"
