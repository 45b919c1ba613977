"""Stores on a database of the test's own: each test runs on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.databases import database_in
from worker.adapters.sql import SqlStore, open_store

NewStore = Callable[[], Awaitable[SqlStore]]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/june.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database_url(empty_database_url: str, tmp_path: Path) -> str:
    """A database without a row. SQLite's has its tables already; a store makes those of PostgreSQL."""
    return database_in(tmp_path) if empty_database_url.startswith("sqlite") else empty_database_url


@pytest.fixture
async def new_store(database_url: str) -> AsyncIterator[NewStore]:
    """Opens stores on the same database, as several workers do."""
    stores: list[SqlStore] = []

    async def new() -> SqlStore:
        store = open_store(database_url)
        stores.append(store)
        await store.start()
        return store

    yield new
    for store in stores:
        await store.close()


@pytest.fixture
async def store(new_store: NewStore) -> SqlStore:
    return await new_store()
