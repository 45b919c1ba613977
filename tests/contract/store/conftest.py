"""Stores on a database of the test's own: each test runs on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from worker.adapters.sql import SqlStore, open_store

NewStore = Callable[[], Awaitable[SqlStore]]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/june.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


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
