"""What is saved is there, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas.pipeline import StopReason
from schemas.sessions import EndReason, SessionOrigin
from tests.contract.store.samples import (
    NOW,
    ROOM,
    SECOND,
    counted,
    job,
    participant,
    room,
    session,
    track,
)
from worker.application.failures import Conflict
from worker.application.ports import Store, Transaction
from worker.domain.conversation import Conversation
from worker.domain.model import (
    Agent,
    JobId,
    JobState,
    ParticipantSid,
    Removal,
    Session,
    SessionId,
    SessionState,
    State,
    TurnId,
    TurnRef,
)

ODD = "😀 \u0001 \\ ' \" % %s :name {} \u2028"


async def put(store: Store, before: State, after: State) -> None:
    await store.run(lambda tx: tx.save(before, after))


async def stored(store: Store, session_id: str = "s1") -> Session:
    found = await store.run(lambda tx: tx.session(session_id))
    assert found is not None
    return found


async def test_a_session_reads_back_as_it_was_saved(store: Store) -> None:
    """Every field of a session comes back equal, odd characters and microseconds too; its version is 1."""
    full = Session(
        session_id=SessionId("s1"),
        user_id=ODD,
        display_name=ODD,
        room_name=ODD,
        room_sid=ROOM,
        state=SessionState.ENDED,
        origin=SessionOrigin.LIVEKIT,
        created_at=datetime(2026, 1, 1, 1, 2, 3, 456_789, tzinfo=timezone(timedelta(hours=5))),
        started_at=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        ended_at=datetime(2999, 12, 31, tzinfo=UTC),
        end_reason=EndReason.ROOM_LOST,
        metadata='{"a":"😀"}',
        stt_enabled=True,
        stt_language="en",
        ai_enabled=False,
        ai_speak=True,
        empty_timeout_s=1,
        departure_timeout_s=2,
        max_participants=2**31 - 1,
        token_ttl_s=60,
        agents=(Agent(agent_name=ODD, metadata=ODD), Agent(agent_name="b")),
        reserved_by=ODD,
        reserved_at=NOW,
        missing_since=NOW,
        tokens_until=NOW,
        sequence=2**40,
    )
    await put(store, State(), State(session=full))
    assert await stored(store) == replace(full, version=1)


async def test_what_is_not_there_is_none(store: Store) -> None:
    """Reading what nobody saved gives None, or nothing."""

    def read(tx: Transaction) -> list[object]:
        return [
            tx.session("s1"),
            tx.live_session("room"),
            tx.room(ROOM),
            tx.participant(ROOM, ParticipantSid("PA_1")),
            tx.job(JobId("job_1")),
            tx.conversation(SessionId("s1")),
            tx.turn(TurnId("turn_1")),
            tx.removal(SessionId("s1"), "alice"),
            tx.shut_until("room", NOW),
            tx.answer("key"),
        ]

    assert await store.run(read) == [None] * 10
    assert (
        await store.run(lambda tx: [*tx.live_participants(ROOM), *tx.live_tracks(ROOM), *tx.live_jobs(ROOM)])
        == []
    )


async def test_all_that_belongs_to_a_session_reads_back(store: Store) -> None:
    """Rooms, participants, tracks, jobs, turns, removals, utterances and the conversation come back equal."""
    ended = replace(
        job("job_2"),
        state=JobState.ENDED,
        holder=ODD,
        deadline=None,
        ended_at=NOW,
        reason=StopReason.ROOM_LOST,
        failures=3,
        retry_at=NOW,
        running_since=NOW,
    )
    turn = TurnRef(turn_id=TurnId("turn_1"), session_id=SessionId("s1"), room_name="room of s1")
    removal = Removal(session_id=SessionId("s1"), identity=ODD, until=NOW)
    conversation = Conversation(session_id=SessionId("s1"))
    person, voice = participant(), track()
    after = State(
        session=session(),
        rooms={ROOM: room()},
        participants={(ROOM, person.sid): person},
        tracks={(ROOM, voice.sid): voice},
        jobs={ended.job_id: ended},
        turns={turn.turn_id: turn},
        utterances=frozenset({(JobId("job_1"), ODD), (JobId("job_1"), "u2")}),
        conversation=conversation,
        removals={ODD: removal},
    )
    await put(store, State(), after)

    def read(tx: Transaction) -> list[object]:
        return [
            tx.room(ROOM),
            tx.participant(ROOM, person.sid),
            tx.track(ROOM, voice.sid),
            tx.job(ended.job_id),
            tx.turn(turn.turn_id),
            tx.removal(SessionId("s1"), ODD),
            tx.conversation(SessionId("s1")),
            tx.utterance_taken(JobId("job_1"), ODD),
            tx.utterance_taken(JobId("job_2"), ODD),
        ]

    expected = [room(), person, voice, ended, turn, removal, conversation, True, False]
    assert await store.run(read) == expected


async def test_the_version_rises_by_one_with_any_change(store: Store) -> None:
    """A new track alone raises the version by one; saving the same again does not."""
    await put(store, State(), State(session=session()))
    known, voice = await stored(store), track()
    await put(store, State(session=known), State(session=known))
    assert (await stored(store)).version == 1
    await put(store, State(session=known), State(session=known, tracks={(ROOM, voice.sid): voice}))
    assert (await stored(store)).version == 2


async def test_an_entry_is_replaced_by_its_key(store: Store) -> None:
    """Saving a participant again as gone keeps one row, which is gone."""
    person = participant()
    await put(store, State(), State(session=session(), participants={(ROOM, person.sid): person}))
    known = await stored(store)
    gone = replace(person, gone=True)
    before = State(session=known, participants={(ROOM, person.sid): person})
    await put(store, before, replace(before, participants={(ROOM, person.sid): gone}))
    assert await store.run(lambda tx: tx.participant(ROOM, person.sid)) == gone
    assert await store.run(lambda tx: tx.live_participants(ROOM)) == []


async def test_a_room_without_a_session_is_kept(store: Store) -> None:
    """A tombstone of a room that no session ever had needs no session."""
    tombstone = replace(room(gone=True), session_id=None)
    await put(store, State(), State(rooms={ROOM: tombstone}))
    assert await store.run(lambda tx: tx.room(ROOM)) == tombstone


async def test_only_what_lives_is_listed(store: Store) -> None:
    """Live lists leave out tombstones and ended jobs, are ordered, and can be of one participant."""
    people = [participant("PA_2"), participant("PA_1"), participant("PA_0", gone=True)]
    tracks = [track("TR_2", of="PA_2"), track("TR_1"), track("TR_0", gone=True)]
    jobs = [job("job_2", of="PA_2"), job("job_1"), replace(job("job_0"), state=JobState.ENDED)]
    after = State(
        session=session(),
        participants={(ROOM, person.sid): person for person in people},
        tracks={(ROOM, one.sid): one for one in tracks},
        jobs={one.job_id: one for one in jobs},
    )
    await put(store, State(), after)
    first = ParticipantSid("PA_1")
    assert await store.run(lambda tx: tx.live_participants(ROOM)) == [people[1], people[0]]
    assert await store.run(lambda tx: tx.live_tracks(ROOM)) == [tracks[1], tracks[0]]
    assert await store.run(lambda tx: tx.live_tracks(ROOM, first)) == [tracks[1]]
    assert await store.run(lambda tx: tx.live_jobs(ROOM)) == [jobs[1], jobs[0]]
    assert await store.run(lambda tx: tx.live_jobs(ROOM, first)) == [jobs[1]]


async def test_a_room_name_is_free_again_after_the_end(store: Store) -> None:
    """`live_session` finds the one that holds the name, a reserved one too, and nobody once it has ended."""
    reserved = replace(session(room_name="room"), state=SessionState.RESERVED)
    await put(store, State(), State(session=reserved))
    held = await store.run(lambda tx: tx.live_session("room"))
    assert held == replace(reserved, version=1)
    await put(store, State(session=held), State(session=replace(held, state=SessionState.ENDED)))
    assert await store.run(lambda tx: tx.live_session("room")) is None
    await put(store, State(), State(session=session("s2", room_name="room")))
    again = await store.run(lambda tx: tx.live_session("room"))
    assert again is not None
    assert again.session_id == "s2"


async def test_a_deleted_session_shuts_its_room_until_its_tokens_have_run_out(store: Store) -> None:
    """`shut_until` is the latest end of a token of a deleted session of that name, and None from then on."""
    for number, until in enumerate((NOW + SECOND, NOW + 3 * SECOND, NOW + 2 * SECOND)):
        ended = replace(session(f"s{number}", room_name="room"), state=SessionState.ENDED, tokens_until=until)
        await put(store, State(), State(session=replace(ended, end_reason=EndReason.DELETED)))
    lost = replace(session("s9", room_name="room"), state=SessionState.ENDED, end_reason=EndReason.ROOM_LOST)
    await put(store, State(), State(session=replace(lost, tokens_until=NOW + 9 * SECOND)))
    assert await store.run(lambda tx: tx.shut_until("room", NOW)) == NOW + 3 * SECOND
    assert await store.run(lambda tx: tx.shut_until("room", NOW + 3 * SECOND)) is None
    assert await store.run(lambda tx: tx.shut_until("other", NOW)) is None


async def test_a_removal_can_be_forgotten(store: Store) -> None:
    """A forgotten removal is gone, and forgetting it again is fine."""
    removal = Removal(session_id=SessionId("s1"), identity="alice", until=NOW)
    await put(store, State(), State(session=session(), removals={"alice": removal}))
    for _ in range(2):
        await store.run(lambda tx: tx.forget_removal(SessionId("s1"), "alice"))
        assert await store.run(lambda tx: tx.removal(SessionId("s1"), "alice")) is None


async def test_a_reservation_is_dropped_unless_it_changed(store: Store) -> None:
    """A dropped reservation was never there; one that changed meanwhile is a conflict and stays."""
    await put(store, State(), State(session=replace(session(), state=SessionState.RESERVED)))
    known = await stored(store)
    await put(store, *counted(known))
    with pytest.raises(Conflict):
        await store.run(lambda tx: tx.drop_reservation(known))
    now = await stored(store)
    await store.run(lambda tx: tx.drop_reservation(now))
    assert await store.run(lambda tx: tx.session("s1")) is None


async def test_a_decision_cannot_swap_its_session(store: Store) -> None:
    """Saving another session in the place of the loaded one is refused."""
    with pytest.raises(ValueError, match="another in its place"):
        await put(store, State(session=session()), State(session=session("s2")))
