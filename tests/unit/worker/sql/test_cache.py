"""What SQLite's connection remembers of its own writes: never anything else than what the tables hold."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.store.samples import NOW, ROOM, job, participant, room, session, track
from tests.support.checked_cache import every_read_checked
from tests.support.databases import database_in
from worker.adapters.sql import SqlStore, open_store
from worker.adapters.sql.sqlite_driver import SqliteDriver
from worker.application.failures import StoreUnavailable
from worker.application.ports import Transaction
from worker.domain.conversation import Conversation
from worker.domain.model import (
    JobId,
    ParticipantSid,
    Removal,
    RoomSid,
    SessionId,
    SessionState,
    State,
    TrackSid,
)

S1 = SessionId("s1")
HERE = ParticipantSid("PA_1")


class Odd(Exception):
    """What a work may raise."""


class Asked:
    """The selects that reached the database."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def since(self) -> int:
        """How many since the last call."""
        count, self.texts[:] = sum(text.startswith("SELECT") for text in self.texts), []
        return count


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    connect = SqliteDriver.connect

    def traced(driver: SqliteDriver) -> sqlite3.Connection:
        connection = connect(driver)
        connection.set_trace_callback(asked.texts.append)
        return connection

    monkeypatch.setattr(SqliteDriver, "connect", traced)
    return asked


@pytest.fixture
async def store(tmp_path: Path, asked: Asked) -> AsyncIterator[SqlStore]:
    store = open_store(database_in(tmp_path))
    await store.start()
    yield store
    await store.close()


@pytest.fixture
def checked() -> Iterator[None]:
    """Each answer of the cache is compared with the tables."""
    with every_read_checked():
        yield


def begin(tx: Transaction) -> None:
    """As an event of an unknown room does."""
    assert tx.room_and_session(ROOM) == (None, None)
    tx.save(
        State(),
        State(
            session=session(),
            rooms={ROOM: room()},
            participants={(ROOM, HERE): participant()},
            tracks={(ROOM, TrackSid("TR_1")): track()},
            jobs={JobId("job_1"): job()},
        ),
    )


def known(tx: Transaction) -> State:
    """All that a test has put there, by every way of reading."""
    there, its = tx.room_and_session(ROOM)
    assert there == tx.room(ROOM)
    assert its == tx.session("s1")
    assert tx.job(JobId("job_1")) == tx.job(JobId("job_1"), ROOM)
    return State(
        session=its,
        rooms={} if there is None else {ROOM: there},
        participants={(ROOM, each.sid): each for each in tx.live_participants(ROOM)},
        tracks={(ROOM, each.sid): each for each in tx.live_tracks(ROOM, HERE)},
        jobs={each.job_id: each for each in tx.live_jobs(ROOM, HERE)},
        conversation=tx.conversation(S1),
    )


def changing(change: Callable[[State], State]) -> Callable[[Transaction], None]:
    """Load the slice, change it, save it."""

    def work(tx: Transaction) -> None:
        before = known(tx)
        tx.save(before, change(before))

    return work


def leave(state: State) -> State:
    return replace(state, participants={(ROOM, HERE): replace(participant(), gone=True)})


def speak(state: State) -> State:
    return replace(state, conversation=Conversation(session_id=S1, turns=3))


async def test_what_it_began_is_not_asked_for(store: SqlStore, asked: Asked) -> None:
    """A room that this worker has from its first event costs no select any more, nor what is absent in it."""
    await store.run(begin)
    asked.since()
    state = await store.run(known)
    assert state.participants == {(ROOM, HERE): participant()}
    assert await store.run(lambda tx: tx.participant(ROOM, ParticipantSid("PA_2"))) is None
    assert await store.run(lambda tx: tx.track(ROOM, TrackSid("TR_2"))) is None
    assert await store.run(lambda tx: tx.removal(S1, "alice")) is None
    assert asked.since() == 0


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize("change", [leave, speak])
async def test_changes_are_known(store: SqlStore, change: Callable[[State], State]) -> None:
    """What is written is what is read next, with the session's new version."""
    await store.run(begin)
    await store.run(changing(change))
    after = await store.run(known)
    assert after.session == replace(session(), version=2)
    assert replace(after, session=None) == replace(known_after(change), session=None)


def known_after(change: Callable[[State], State]) -> State:
    whole = State(
        rooms={ROOM: room()},
        participants={(ROOM, HERE): participant()},
        tracks={(ROOM, TrackSid("TR_1")): track()},
        jobs={JobId("job_1"): job()},
    )
    changed = change(whole)
    here = {key: each for key, each in changed.participants.items() if not each.gone}
    return replace(changed, participants=here)


@pytest.mark.usefixtures("checked")
async def test_a_work_that_fails_leaves_nothing(store: SqlStore) -> None:
    """What it wrote before it failed is not known, whether it was alone or between others."""

    def fail(tx: Transaction) -> None:
        changing(leave)(tx)
        changing(speak)(tx)
        tx.forget_removal(S1, "alice")
        raise Odd

    def begin_and_fail(tx: Transaction) -> None:
        begin(tx)
        raise Odd

    with pytest.raises(Odd):
        await store.run(begin_and_fail)
    assert (await store.run(known)).session is None
    await store.run(begin)
    outcomes = await store.run_many([changing(lambda state: state), fail, known])
    assert isinstance(outcomes[1], Odd)
    state = await store.run(known)
    assert (state.conversation, len(state.participants)) == (None, 1)


@pytest.mark.usefixtures("checked")
async def test_an_outage_leaves_nothing(store: SqlStore) -> None:
    """What was written when the database went away was never committed: the next connection knows nothing of it."""

    def begin_and_lose(tx: Transaction) -> None:
        begin(tx)
        raise StoreUnavailable("gone")

    assert (await store.run(known)).session is None
    with pytest.raises(StoreUnavailable):
        await store.run(begin_and_lose)
    assert (await store.run(known)).session is None


@pytest.mark.usefixtures("checked")
async def test_another_process_is_noticed(store: SqlStore, tmp_path: Path, asked: Asked) -> None:
    """Whoever else writes into the file: nothing that was known before is trusted."""
    await store.run(begin)
    other = open_store(database_in(tmp_path))
    await other.start()
    await other.run(changing(leave))
    await other.close()
    asked.since()
    assert not (await store.run(known)).participants
    assert asked.since() > 0


@pytest.mark.usefixtures("checked")
async def test_removals_come_and_go(store: SqlStore) -> None:
    """Of a session that this worker began."""
    removal = Removal(session_id=S1, identity="alice", until=NOW)

    def remove(tx: Transaction) -> None:
        now = tx.session("s1")
        tx.save(State(session=now), State(session=now, removals={"alice": removal}))

    def forget_and_fail(tx: Transaction) -> None:
        tx.forget_removal(S1, "alice")
        raise Odd

    await store.run(begin)
    await store.run(remove)
    assert await store.run(lambda tx: tx.removal(S1, "alice")) == removal
    with pytest.raises(Odd):
        await store.run(forget_and_fail)
    assert await store.run(lambda tx: tx.removal(S1, "alice")) == removal
    await store.run(lambda tx: tx.forget_removal(S1, "alice"))
    assert await store.run(lambda tx: tx.removal(S1, "alice")) is None


@pytest.mark.usefixtures("checked")
async def test_a_dropped_reservation_is_gone(store: SqlStore) -> None:
    """And its room is nobody's."""
    reserved = replace(session(), state=SessionState.RESERVED)

    def reserve(tx: Transaction) -> None:
        assert tx.room(ROOM) is None
        tx.save(State(), State(session=reserved, rooms={ROOM: room()}))

    def drop(tx: Transaction) -> None:
        there = tx.session("s1")
        assert there is not None
        tx.drop_reservation(there)

    await store.run(reserve)
    await store.run(drop)
    assert await store.run(lambda tx: tx.session("s1")) is None
    of_nobody = await store.run(lambda tx: tx.room(ROOM))
    assert of_nobody is not None
    assert of_nobody.session_id is None


@pytest.mark.usefixtures("checked")
async def test_a_purged_session_is_gone(store: SqlStore) -> None:
    """A reservation that nobody ever came for, too."""
    await store.run(
        lambda tx: tx.save(State(), State(session=replace(session(), state=SessionState.RESERVED)))
    )
    late = NOW + timedelta(days=30)
    assert await store.purge(late, retention=timedelta(days=1), limit=500)
    assert await store.run(lambda tx: tx.session("s1")) is None


async def test_a_crowd_is_left_to_the_database(
    store: SqlStore, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A room with more in it than is kept is asked for, and is right."""
    monkeypatch.setattr("worker.adapters.sql.cache.ROWS", 4)
    await store.run(begin)
    late = participant("PA_2")
    for one in (late, participant("PA_3")):
        await store.run(
            changing(lambda state, one=one: replace(state, participants={(ROOM, one.sid): one}))  # type: ignore[misc]
        )
    asked.since()
    assert len(await store.run(lambda tx: tx.live_participants(ROOM))) == 3
    assert await store.run(lambda tx: tx.participant(ROOM, late.sid)) == late
    assert asked.since() == 2


async def test_the_oldest_go_first(store: SqlStore, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many sessions and rooms are kept as there is place for."""
    monkeypatch.setattr("worker.adapters.sql.cache.SESSIONS", 2)
    monkeypatch.setattr("worker.adapters.sql.cache.ROOMS", 2)
    for name in ("s1", "s2", "s3"):
        await store.run(beginning(name))
    asked.since()
    for name, selects in (("s3", 0), ("s2", 0), ("s1", 2)):
        assert await store.run(lambda tx, name=name: tx.session(name)) is not None  # type: ignore[misc]
        assert await store.run(lambda tx, name=name: tx.room(RoomSid(f"RM_{name}"))) is not None  # type: ignore[misc]
        assert asked.since() == selects


async def test_what_is_over_is_not_kept(store: SqlStore, asked: Asked) -> None:
    """An ended session and a room that is gone make place."""

    def end(tx: Transaction) -> None:
        before = known(tx)
        assert before.session is not None
        ended = replace(before.session, state=SessionState.ENDED)
        tx.save(before, replace(before, session=ended, rooms={ROOM: room(gone=True)}))

    await store.run(begin)
    await store.run(end)
    asked.since()
    ended = await store.run(lambda tx: tx.session("s1"))
    assert ended is not None
    assert not ended.live
    assert (await store.run(lambda tx: tx.room(ROOM))) == room(gone=True)
    assert asked.since() == 2


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize(
    "left",
    [
        State(participants={(ROOM, HERE): participant(gone=True)}),
        State(tracks={(ROOM, TrackSid("TR_1")): track(gone=True)}),
    ],
    ids=["participant", "track"],
)
async def test_who_left_before_the_room_was_known_is_known(store: SqlStore, left: State) -> None:
    """A leave in a room that is nobody's yet leaves a tombstone; the room that comes later is not taken for empty."""
    await store.run(lambda tx: tx.save(State(), replace(left, session=session())))

    def enter(tx: Transaction) -> None:
        assert tx.room_and_session(ROOM) == (None, None)
        its = tx.session("s1")
        tx.save(State(session=its), State(session=its, rooms={ROOM: room()}))

    await store.run(enter)
    if left.participants:
        assert await store.run(lambda tx: tx.participant(ROOM, HERE)) == participant(gone=True)
    else:
        assert await store.run(lambda tx: tx.track(ROOM, TrackSid("TR_1"))) == track(gone=True)


@pytest.mark.usefixtures("checked")
async def test_a_room_that_was_there_is_not_taken_for_empty(store: SqlStore) -> None:
    """Who was in it before another session took it is there, though nobody has read it."""
    await store.run(begin)
    await store.close()

    def take_over(tx: Transaction) -> None:
        assert tx.room_and_session(ROOM)[0] is not None
        taken = replace(room(), session_id=SessionId("s2"))
        tx.save(State(rooms={ROOM: room()}), State(session=session("s2"), rooms={ROOM: taken}))

    await store.start()
    await store.run(take_over)
    assert len(await store.run(lambda tx: tx.live_participants(ROOM))) == 1


def beginning(name: str) -> Callable[[Transaction], None]:
    """A session of that id, with a room of its own."""
    its = RoomSid(f"RM_{name}")

    def work(tx: Transaction) -> None:
        assert tx.room(its) is None
        tx.save(
            State(),
            State(
                session=replace(session(name), room_sid=its),
                rooms={its: replace(room(), room_sid=its, session_id=SessionId(name))},
            ),
        )

    return work
