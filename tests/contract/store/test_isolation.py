"""What PostgreSQL must not let through when two workers write one session at the same moment."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from tests.contract.store.samples import ROOM, counted, session, track
from worker.adapters.sql import SqlStore, open_store
from worker.application.ports import Transaction
from worker.domain.model import State, TrackSid


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """Two workers on one database, with a session and a live track."""
    first, second = open_store(postgres_url), open_store(postgres_url)
    await first.start()
    await second.start()
    voice = track()
    await first.run(lambda tx: tx.save(State(), State(session=session(), tracks={(ROOM, voice.sid): voice})))
    yield first, second
    await first.close()
    await second.close()


def end_track(tx: Transaction) -> None:
    known, voice = tx.session("s1"), tx.track(ROOM, TrackSid("TR_1"))
    assert voice is not None
    key = (ROOM, voice.sid)
    tx.save(
        State(session=known, tracks={key: voice}),
        State(session=known, tracks={key: replace(voice, gone=True)}),
    )


def rename_track(read: threading.Event, written: threading.Event) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        voice = tx.track(ROOM, TrackSid("TR_1"))
        read.set()
        assert written.wait(timeout=20)
        known = tx.session("s1")
        assert voice is not None
        key = (ROOM, voice.sid)
        tx.save(
            State(session=known, tracks={key: voice}),
            State(session=known, tracks={key: replace(voice, name="renamed")}),
        )

    return work


async def test_what_was_read_before_another_wrote_is_read_again(stores: tuple[SqlStore, SqlStore]) -> None:
    """A work that read a track before another worker ended it, and the session after, does not bring it back."""
    first, second = stores
    read, written = threading.Event(), threading.Event()
    slow = asyncio.create_task(first.run(rename_track(read, written)))
    assert await asyncio.to_thread(read.wait, 20)
    await second.run(end_track)
    written.set()
    await slow
    left = await first.run(lambda tx: tx.track(ROOM, TrackSid("TR_1")))
    assert left == replace(track(), name="renamed", gone=True)


async def test_a_busy_session_starves_nobody(stores: tuple[SqlStore, SqlStore]) -> None:
    """While one worker changes a session in group after group, each change of another worker gets through."""
    busy, other = stores

    def count(tx: Transaction) -> None:
        known = tx.session("s1")
        assert known is not None
        tx.save(*counted(known))

    async def keep_busy() -> None:
        while not done:
            assert await busy.run_many([count] * 16) == [None] * 16

    done: list[bool] = []
    task = asyncio.create_task(keep_busy())
    for _ in range(20):
        await other.run(count)
    done.append(True)
    await task
