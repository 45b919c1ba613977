"""Duties, counts and forgetting: what a store does that nobody waits for."""

from dataclasses import replace
from datetime import timedelta

from schemas.participants import ParticipantKind
from tests.contract.store.conftest import NewStore
from tests.contract.store.samples import NOW, ROOM, SECOND, participant, room, session, track
from worker.application.ports import Answer, SessionCounts, Store
from worker.domain.model import ParticipantSid, SessionId, SessionState, State

DAY = timedelta(days=1)


def inhabited() -> State:
    """One session with a person who publishes, an agent, and somebody who has left."""
    people = (
        participant("PA_1"),
        replace(participant("PA_agent"), kind=ParticipantKind.AGENT),
        participant("PA_gone", gone=True),
    )
    voice = replace(track(), participant_sid=ParticipantSid("PA_1"))
    return State(
        session=session(room_name="room of s1"),
        rooms={ROOM: room()},
        participants={(ROOM, each.sid): each for each in people},
        tracks={(ROOM, voice.sid): voice},
    )


async def test_a_duty_has_one_holder_at_a_time(new_store: NewStore) -> None:
    """Nobody takes it before its time has run out, not even its holder; then whoever comes first."""
    first, second = await new_store(), await new_store()
    until = NOW + 10 * SECOND
    assert await first.claim("reconcile", "a", now=NOW, until=until)
    assert not await second.claim("reconcile", "b", now=NOW + SECOND, until=until)
    assert not await first.claim("reconcile", "a", now=NOW + SECOND, until=until)
    assert await second.claim("retention", "b", now=NOW, until=until)
    assert await second.claim("reconcile", "b", now=until, until=until + SECOND)


async def test_counts_are_livekits(store: Store) -> None:
    """Agents and those who left are not counted as people; who ever published is a publisher."""
    await store.run(lambda tx: tx.save(State(), inhabited()))
    reserved = replace(session("s2"), state=SessionState.RESERVED)
    await store.run(lambda tx: tx.save(State(), State(session=reserved)))
    assert list(await store.live_counts()) == [
        SessionCounts(
            session_id="s1",
            room_name="room of s1",
            room_sid=ROOM,
            created_at=NOW,
            missing_since=None,
            participants=1,
            publishers=1,
        )
    ]


async def test_ended_sessions_go_with_all_of_theirs(store: Store) -> None:
    """After the retention, and not before; live ones stay."""
    ended = replace(inhabited(), session=replace(session(), state=SessionState.ENDED, ended_at=NOW))
    await store.run(lambda tx: tx.save(State(), ended))
    await store.run(lambda tx: tx.save(State(), State(session=session("s2"))))
    assert await store.purge(NOW + 29 * DAY, retention=30 * DAY, limit=200) == 0
    assert await store.purge(NOW + 30 * DAY, retention=30 * DAY, limit=200) == 1
    assert await store.run(lambda tx: tx.session("s1")) is None
    assert await store.run(lambda tx: tx.room(ROOM)) is None
    assert await store.run(lambda tx: tx.live_participants(ROOM)) == []
    assert await store.run(lambda tx: tx.session("s2")) is not None


async def test_inbox_and_answers_are_forgotten_in_steps(store: Store) -> None:
    """Answers after a day, the inbox after two; a step takes no more than it is told."""
    await store.run_many([lambda tx, n=n: tx.mark_seen(f"m{n}", NOW) for n in range(5)])  # type: ignore[misc]
    answer = Answer(key="k", digest="d", outcome={}, answered_at=NOW)
    await store.run(lambda tx: tx.remember(answer))
    assert await store.purge(NOW + DAY - SECOND, retention=30 * DAY, limit=3) == 0
    assert await store.purge(NOW + DAY, retention=30 * DAY, limit=3) == 1
    assert [await store.purge(NOW + 2 * DAY, retention=30 * DAY, limit=3) for _ in range(3)] == [3, 2, 0]
    assert await store.run(lambda tx: tx.seen("m1")) is False


async def test_an_abandoned_reservation_is_forgotten(store: Store) -> None:
    """A create that nobody finished holds its names for a day at most."""
    reserved = replace(session(), state=SessionState.RESERVED)
    await store.run(lambda tx: tx.save(State(), State(session=reserved)))
    await store.purge(NOW + DAY, retention=30 * DAY, limit=200)
    assert await store.run(lambda tx: tx.session(SessionId("s1"))) is None
