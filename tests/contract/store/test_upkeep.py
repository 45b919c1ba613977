"""Duties, counts and purging, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from schemas.participants import ParticipantKind, TrackType
from schemas.sessions import EndReason
from tests.contract.store.conftest import NewStore
from tests.contract.store.samples import NOW, ROOM, SECOND, job, participant, room, session, track
from worker.application.ports import Answer, Store, Transaction
from worker.domain.model import (
    JobId,
    JobState,
    Removal,
    RoomSid,
    Session,
    SessionId,
    SessionState,
    State,
    TurnId,
    TurnRef,
)

DAY = timedelta(days=1)
KEPT = 30 * DAY


def ended(session_id: str, at: datetime) -> Session:
    """A session that is over since then."""
    over = {"state": SessionState.ENDED, "ended_at": at, "end_reason": EndReason.DELETED}
    return replace(session(session_id), room_sid=None, **over)  # type: ignore[arg-type]


async def saved(store: Store, *states: State) -> None:
    for result in await store.run_many([lambda tx, s=state: tx.save(State(), s) for state in states]):  # type: ignore[misc]
        assert not isinstance(result, Exception), result


async def purged(store: Store, now: datetime, *, limit: int = 200) -> list[int]:
    """How many each step took, until there was nothing."""
    steps = []
    while step := await store.purge(now, retention=KEPT, limit=limit):
        steps.append(step)
    return steps


# Duties.


async def test_a_duty_is_one_holders_until_it_runs_out(new_store: NewStore) -> None:
    """Nobody takes it before, its holder neither; at that moment whoever asks has it."""
    first, second = await new_store(), await new_store()
    assert await first.claim("duty", "a", now=NOW, until=NOW + SECOND)
    for store, holder in ((first, "a"), (second, "b")):
        assert not await store.claim("duty", holder, now=NOW + SECOND / 2, until=NOW + DAY)
    assert await second.claim("duty", "b", now=NOW + SECOND, until=NOW + DAY)
    assert not await first.claim("duty", "a", now=NOW + 2 * SECOND, until=NOW + DAY)


async def test_the_rounds_of_a_duty_are_counted(store: Store) -> None:
    """One that was not completed is made again; who has lost the duty completes and keeps nothing."""
    until = NOW + SECOND
    assert await store.claim("duty", "a", now=NOW, until=until) == 1
    assert await store.claim("duty", "b", now=until, until=until + SECOND) == 1
    await store.hold("duty", "a", until=until + DAY, done=True)
    await store.hold("duty", "b", until=until + 2 * SECOND)
    assert await store.claim("duty", "a", now=until + SECOND, until=NOW + DAY) == 0
    await store.hold("duty", "b", until=until, done=True)
    assert await store.claim("duty", "a", now=until, until=NOW + DAY) == 2


async def test_of_many_that_ask_at_once_one_has_the_duty(new_store: NewStore) -> None:
    """Whatever the stores do at the same moment."""
    stores = [await new_store() for _ in range(3)]
    asked = [store.claim("duty", str(n), now=NOW, until=NOW + DAY) for n, store in enumerate(stores * 4)]
    assert sum(await asyncio.gather(*asked)) == 1


async def test_duties_are_apart(store: Store) -> None:
    """One that is taken keeps nobody from another."""
    assert await store.claim("one", "a", now=NOW, until=NOW + DAY)
    assert await store.claim("other", "b", now=NOW, until=NOW + DAY)


# Counts.


async def test_people_are_counted_as_livekit_counts(store: Store) -> None:
    """Without agents and egress, and without who has left; a publisher is who ever published, and is still there."""
    kinds = (ParticipantKind.SIP, ParticipantKind.AGENT, ParticipantKind.EGRESS, ParticipantKind.STANDARD)
    people = [replace(participant(f"PA_{number}"), kind=kind) for number, kind in enumerate(kinds)]
    people.append(participant("PA_left", gone=True))
    tracks = [track("TR_1", of="PA_3", gone=True), track("TR_2", of="PA_0"), track("TR_3", of="PA_left")]
    tracks[1] = replace(tracks[1], type=TrackType.VIDEO)
    await saved(
        store,
        State(
            session=session(),
            rooms={room().room_sid: room()},
            participants={(one.room_sid, one.sid): one for one in people},
            tracks={(one.room_sid, one.sid): one for one in tracks},
        ),
    )
    (counts,) = await store.live_counts()
    assert (counts.session_id, counts.room_name, counts.room_sid) == ("s1", "room of s1", "RM_1")
    assert (counts.created_at, counts.missing_since) == (NOW, None)
    assert (counts.participants, counts.publishers) == (2, 2)


async def test_sessions_without_a_room_are_not_counted(store: Store) -> None:
    """Neither those whose room is being made, nor those that have ended; one without people is."""
    await saved(
        store,
        State(session=replace(session("made"), state=SessionState.RESERVED)),
        State(session=replace(session("waits"), room_sid=None)),
        State(session=ended("over", NOW)),
        State(session=replace(session("empty"), room_sid=RoomSid("RM_2"), missing_since=NOW)),
    )
    (counts,) = await store.live_counts()
    assert (counts.session_id, counts.participants, counts.missing_since) == ("empty", 0, NOW)


# Purging.


async def test_an_old_session_goes_with_all_of_its_own(store: Store) -> None:
    """Rooms, people, tracks, jobs, words, turns, removals: nothing of it is left, and it may be made again."""
    over, one, said = ended("s1", NOW), participant(), (JobId("job_1"), "u1")
    removal = Removal(session_id=over.session_id, identity="ann", until=NOW)
    await saved(
        store,
        State(
            session=over,
            rooms={room().room_sid: room(gone=True)},
            participants={(one.room_sid, one.sid): one},
            tracks={(track().room_sid, track().sid): track()},
            jobs={job().job_id: job()},
            utterances=frozenset({said}),
            turns={TurnId("t1"): TurnRef(turn_id=TurnId("t1"), session_id=over.session_id, room_name="r")},
            removals={"ann": removal},
        ),
    )
    assert await purged(store, NOW + KEPT - SECOND) == []
    assert await purged(store, NOW + KEPT) == [1]

    def left(tx: Transaction) -> list[object]:
        return [
            tx.session("s1"),
            tx.room(room().room_sid),
            tx.participant(one.room_sid, one.sid),
            tx.track(track().room_sid, track().sid),
            tx.job(job().job_id),
            tx.turn(TurnId("t1")),
            tx.removal(over.session_id, "ann"),
            tx.utterance_taken(*said) or None,
        ]

    assert await store.run(left) == [None] * 8
    await saved(store, State(session=over))


async def test_what_is_young_or_lives_stays(store: Store) -> None:
    """However old a live session is."""
    await saved(store, State(session=session("lives")), State(session=ended("young", NOW + DAY)))
    assert await purged(store, NOW + KEPT + DAY - SECOND) == []
    assert len(await purged(store, NOW + 10 * KEPT)) == 1
    assert await store.run(lambda tx: tx.session("lives")) is not None


async def test_a_reservation_that_nobody_finished_goes_after_a_day(store: Store) -> None:
    """Its names are then as if they had never been asked for."""
    await saved(store, State(session=replace(session(), state=SessionState.RESERVED, room_sid=None)))
    assert await purged(store, NOW + DAY - SECOND) == []
    assert await purged(store, NOW + DAY) == [1]


async def test_tombstones_of_nobodys_rooms_go(store: Store) -> None:
    """After two days, when nothing can come late of them any more; the rooms of a dropped reservation are nobody's."""
    nobodys = replace(room(gone=True), room_sid=RoomSid("RM_0"), session_id=None, created_at=NOW)
    await saved(store, State(rooms={nobodys.room_sid: nobodys}))
    reserved = replace(session(), state=SessionState.RESERVED, created_at=NOW)
    await saved(store, State(session=reserved, rooms={ROOM: room()}))
    known = await store.run(lambda tx: tx.session("s1"))
    assert known is not None
    await store.run(lambda tx: tx.drop_reservation(known))
    left = await store.run(lambda tx: tx.room(ROOM))
    assert left is not None
    assert left.session_id is None
    assert await purged(store, NOW + 2 * DAY - SECOND) == []
    assert await purged(store, NOW + 2 * DAY) == [2]
    assert await store.run(lambda tx: tx.room(ROOM)) is None


async def test_memories_of_messages_and_answers_go(store: Store) -> None:
    """Answers after a day, as long as the same command gets the same one; seen messages after two."""
    answer = Answer(key="c", digest="d", outcome={}, answered_at=NOW)
    await store.run_many([lambda tx: tx.remember(answer), lambda tx: tx.mark_seen("m", NOW)])
    assert await purged(store, NOW + DAY - SECOND) == []
    assert await purged(store, NOW + DAY) == [1]
    assert await store.run(lambda tx: (tx.seen("m"), tx.answer("c"))) == (True, None)
    assert await purged(store, NOW + 2 * DAY) == [1]
    assert not await store.run(lambda tx: tx.seen("m"))


async def test_a_step_is_small(store: Store) -> None:
    """`limit` bounds what one transaction takes, of each kind."""
    await store.run_many([lambda tx, n=n: tx.mark_seen(f"m{n}", NOW) for n in range(50)])  # type: ignore[misc]
    await saved(store, *(State(session=ended(f"s{n}", NOW)) for n in range(5)))
    steps = await purged(store, NOW + KEPT, limit=20)
    assert sum(steps) == 55
    assert steps[0] == 21


async def test_sessions_with_many_rows_go_in_many_steps(store: Store) -> None:
    """Each takes `limit` rows of sessions at most; a session itself goes last, and no word outlives its job."""
    many, names = 30, ("s1", "s2", "s3")
    people = [replace(participant(f"PA_{n}"), session_id=SessionId(name), room_sid=RoomSid(f"RM_{name}"), gone=True)
              for name in names for n in range(many)]  # fmt: skip
    voices = [replace(job(f"job_{name}_{n}"), session_id=SessionId(name), state=JobState.ENDED)
              for name in names for n in range(many)]  # fmt: skip
    words = frozenset((one.job_id, f"u{n}") for one in voices for n in range(3))
    for name in names:
        theirs = {one.job_id: one for one in voices if one.session_id == name}
        state = State(
            session=ended(name, NOW),
            participants={(one.room_sid, one.sid): one for one in people if one.session_id == name},
            jobs=theirs,
            utterances=frozenset(said for said in words if said[0] in theirs),
        )
        await saved(store, state)

    def left(tx: Transaction) -> int:
        there: list[object] = [tx.participant(one.room_sid, one.sid) for one in people]
        there += [tx.job(one.job_id) for one in voices]
        there += [tx.session(name) for name in names]
        spoken = [tx.utterance_taken(job_id, said) for job_id, said in words]
        return sum(one is not None for one in there) + sum(spoken)

    rows = [await store.run(left)]
    while await store.purge(NOW + KEPT, retention=KEPT, limit=60):
        rows.append(await store.run(left))
    assert rows[0] == len(names) * (5 * many + 1)
    assert rows[-1] == 0
    assert max(before - after for before, after in pairwise(rows)) <= 60
