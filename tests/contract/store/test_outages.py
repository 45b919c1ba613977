"""Killed processes and databases that go away."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from deploy.servers import Postgres
from tests.contract.store.samples import NOW
from tests.support.polling import until
from worker.adapters.sql import SqlStore, open_store
from worker.application.failures import Permanent, StoreUnavailable
from worker.application.ports import Transaction

pytestmark = pytest.mark.slow

WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from worker.adapters.sql import open_store

async def main() -> None:
    store = open_store(sys.argv[1])
    await store.start()
    async def one(lane: int) -> None:
        for number in range(10**9):
            key = f"{lane}-{number}"
            await store.run(lambda tx: tx.mark_seen(key, datetime.now(UTC)))
            print("done", key, flush=True)
    await asyncio.gather(*(one(lane) for lane in range(8)))

asyncio.run(main())
"""


def killed_writer(url: str) -> set[str]:
    """Lets a process write until it is killed; what it reported as committed."""
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(200)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += [line for line in writer.stdout if line.endswith("\n")]
    return {line.split()[1] for line in lines if line.startswith("done ")}


async def eventually_ready(store: SqlStore) -> None:
    async def ready() -> bool:
        try:
            await store.check()
        except StoreUnavailable:
            return False
        return True

    await until(ready)


@pytest.fixture
async def store(own_postgres: Postgres) -> AsyncIterator[SqlStore]:
    """On a PostgreSQL that may be killed."""
    store = open_store(own_postgres.new_database())
    await store.start()
    yield store
    await store.close()


async def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    """A process that is killed with SIGKILL while it writes has left everything that it reported as committed."""
    url = f"sqlite:///{tmp_path}/june.db"
    reported = killed_writer(url)
    assert len(reported) > 100
    store = open_store(url)
    await store.start()
    assert await store.run(lambda tx: {key for key in reported if not tx.seen(key)}) == set()
    await store.close()


async def test_a_locked_file_is_an_outage_that_ends(tmp_path: Path) -> None:
    """While another process holds the write lock, works fail with StoreUnavailable; then they go on."""
    store = open_store(f"sqlite:///{tmp_path}/june.db")
    await store.start()
    other = sqlite3.connect(tmp_path / "june.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await store.check()
    other.execute("ROLLBACK")
    other.close()
    await eventually_ready(store)
    await store.close()


async def test_a_full_disk_is_an_outage_that_ends(tmp_path: Path) -> None:
    """When the file cannot grow nothing of the work is kept and it is an outage; with room again it goes on."""
    store = open_store(f"sqlite:///{tmp_path}/june.db")
    await store.start()

    def fill(tx: Transaction) -> None:
        tx._cursor.execute("PRAGMA max_page_count=1", {})  # type: ignore[attr-defined]
        for number in range(3000):
            tx.mark_seen(f"{number}" * 20, NOW)

    with pytest.raises(StoreUnavailable, match="full"):
        await store.run(fill)
    await store.run(lambda tx: tx.mark_seen("after", NOW))
    assert await store.run(lambda tx: (tx.seen("after"), tx.seen("0" * 20))) == (True, False)
    await store.close()


async def test_it_goes_on_after_postgres_was_killed(own_postgres: Postgres, store: SqlStore) -> None:
    """PostgreSQL killed: StoreUnavailable at once, nothing half done; started again: the store goes on by itself."""
    await store.run(lambda tx: tx.mark_seen("before", NOW))
    own_postgres.kill()
    with pytest.raises(StoreUnavailable):
        await store.run(lambda tx: tx.mark_seen("meanwhile", NOW))
    own_postgres.start_again()
    await eventually_ready(store)
    assert await store.run(lambda tx: (tx.seen("before"), tx.seen("meanwhile"))) == (True, False)


async def test_connections_that_died_while_idle_are_not_noticed(own_postgres: Postgres) -> None:
    """After the server closed every idle connection the next work succeeds, on a new one."""
    url = own_postgres.new_database()
    store = open_store(url)
    await store.start()
    await asyncio.gather(*(store.check() for _ in range(8)))
    with psycopg.connect(url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert ended
    assert {done for (done,) in ended} == {True}
    await asyncio.gather(*(store.run(lambda tx: tx.seen("x")) for _ in range(8)))
    await store.close()


async def test_a_hanging_postgres_fails_the_check(own_postgres: Postgres, store: SqlStore) -> None:
    """While PostgreSQL hangs the check fails within seconds; when it goes on, so does the store."""
    own_postgres.pause()
    try:
        with pytest.raises(StoreUnavailable, match="within"):
            await store.check()
    finally:
        own_postgres.resume()
    await eventually_ready(store)


@pytest.mark.parametrize("key", ["a\0b", random.Random(1).randbytes(4_000).hex()], ids=["NUL", "long"])
async def test_a_refused_value_is_permanent(store: SqlStore, key: str) -> None:
    """PostgreSQL cannot hold NUL, nor a long text in an index: that is no outage, and the same again is as wrong."""
    with pytest.raises(Permanent):
        await store.run(lambda tx: tx.mark_seen(key, NOW))


async def test_what_nobody_waits_for_any_more_is_not_begun(tmp_path: Path) -> None:
    """After an outage, what was given up in it does not delay what is asked now."""
    store = open_store(f"sqlite:///{tmp_path}/june.db")
    await store.start()
    over = threading.Event()
    hanging = asyncio.create_task(store.run(lambda _tx: over.wait(10)))
    await until(store._lanes._queue.empty)
    given_up = [asyncio.create_task(store.run(lambda tx: tx.mark_seen("m", NOW))) for _ in range(5)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.wait(given_up)
    over.set()
    assert await hanging
    assert not await store.run(lambda tx: tx.seen("m"))
    await store.close()
