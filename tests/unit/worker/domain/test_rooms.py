"""Rooms: which session an event belongs to, and what ends with a room."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from schemas.participants import ParticipantKind
from schemas.sessions import EndReason, SessionOrigin
from tests.support.memory_domain import MemoryDomain, of, story
from tests.support.samples import START
from tests.unit.worker.domain.facts import (
    RM,
    ROOM,
    final,
    joined,
    left,
    published,
    reservation,
    room_finished,
    room_missing,
    room_started,
    running,
    the_session,
    unpublished,
)
from worker.domain.effects import AnnounceSession, CloseRoom
from worker.domain.facts import RoomFact
from worker.domain.lifecycle import adopted_id
from worker.domain.model import RoomSid, SessionState
from worker.domain.policy import Policy

HOUR = timedelta(hours=1)
MOMENT = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)


def test_an_unknown_room_is_adopted() -> None:
    """The first sign of a room that June does not know makes a session without a user."""
    domain = MemoryDomain()
    assert story(domain.give(room_started())) == ["session created"]
    session = the_session(domain)
    assert (session.origin, session.user_id, session.room_sid) == (SessionOrigin.LIVEKIT, None, RM)
    assert session.state is SessionState.CREATED


@pytest.mark.parametrize(
    "fact", [joined(), left(), published(), unpublished()], ids=lambda f: type(f).__name__
)
def test_any_event_of_a_live_room_adopts_it(fact: RoomFact) -> None:
    """A room whose start was lost is adopted by whatever is seen of it first."""
    assert story(MemoryDomain().give(fact))[0] == "session created"


def test_each_session_event_shows_its_own_status() -> None:
    """When one fact creates and starts a session, `created` says created and `started` says active."""
    effects = of(MemoryDomain().give(joined()), AnnounceSession)
    assert [(each.what, each.session.state, each.session.started_at) for each in effects] == [
        ("created", SessionState.CREATED, None),
        ("started", SessionState.ACTIVE, START),
    ]


def test_without_adoption_an_unknown_room_is_counted() -> None:
    """With adoption off, nothing of an unknown room is stored or told."""
    domain = MemoryDomain(Policy(adopt_rooms=False))
    assert (
        story(domain.give(room_started(), joined(), published(), room_finished()))
        == ["count unknown_room"] * 4
    )
    assert not domain.tables.rooms
    assert not domain.tables.sessions


def test_a_room_first_seen_finished_is_gone() -> None:
    """A room whose end is seen first starts nothing, then or later."""
    domain = MemoryDomain()
    assert domain.give(room_finished(), room_started(), joined(), published()) == []
    assert not domain.tables.sessions


def test_a_shut_room_is_closed_and_not_adopted() -> None:
    """A room that a deleted session's token brought back is closed at each sign of life, until no token works."""
    domain = MemoryDomain()
    domain.tables.shut[ROOM] = START + HOUR
    assert of(domain.give(room_started(), joined()), CloseRoom) == [CloseRoom(room_name=ROOM)] * 2
    assert not domain.tables.sessions
    domain.wait(HOUR)
    assert story(domain.give(published())) == ["session created"]


def test_a_shut_room_is_closed_without_adoption_too() -> None:
    """Who adopts no rooms still closes those of deleted sessions; their end is nothing to keep."""
    domain = MemoryDomain(Policy(adopt_rooms=False))
    domain.tables.shut[ROOM] = START + HOUR
    assert of(domain.give(room_started()), CloseRoom) == [CloseRoom(room_name=ROOM)]
    assert story(domain.give(room_finished())) == ["count unknown_room"]


def test_a_shut_name_does_not_concern_a_live_session() -> None:
    """A live session of the name has its room, whatever tokens of a deleted one still work."""
    domain = MemoryDomain()
    domain.put(reservation())
    domain.tables.shut[ROOM] = START + HOUR
    assert story(domain.give(joined())) == ["session created", "session started", "joined PA_1"]


def test_the_end_of_a_shut_room_is_remembered() -> None:
    """Late events of a room that was shut and has finished do not adopt it once the tokens have run out."""
    domain = MemoryDomain()
    domain.tables.shut[ROOM] = START + HOUR
    domain.give(room_finished())
    domain.wait(HOUR)
    assert domain.give(joined()) == []


def test_a_reserved_session_takes_its_room() -> None:
    """A room that starts while it is being made belongs to its session, and is not told of before it is made."""
    domain = MemoryDomain()
    domain.put(reservation())
    assert domain.give(room_started()) == []
    session = the_session(domain)
    assert (session.state, session.room_sid) == (SessionState.RESERVED, RM)


def test_a_participant_promotes_a_reserved_session() -> None:
    """Who joins before the command is answered finds the session created and started."""
    domain = MemoryDomain()
    domain.put(reservation())
    effects = domain.give(room_started(), joined())
    assert story(effects) == ["session created", "session started", "joined PA_1"]


def test_a_track_waits_in_a_reserved_session() -> None:
    """A track that comes before its participant promotes nothing."""
    domain = MemoryDomain()
    domain.put(reservation())
    assert domain.give(published()) == []
    assert story(domain.give(joined()))[-2:] == ["job TR_1 waiting 1", "offer TR_1 1"]


def test_the_end_of_a_room_ends_its_session_in_order() -> None:
    """Stops come first, then jobs, tracks, people, turns, and the session's end."""
    domain = MemoryDomain()
    domain.give(room_started(), joined(), joined("PA_2", identity="bob"), published(), running(), final())
    assert story(domain.give(room_finished())) == [
        "stop TR_1 all all room_finished",
        "job TR_1 ended 1 room_finished",
        "unpublished TR_1",
        "left PA_1",
        "left PA_2",
        "AiCancel",
        "TurnCompleted",
        "session ended",
    ]
    session = the_session(domain)
    assert (session.state, session.end_reason) == (SessionState.ENDED, EndReason.ROOM_FINISHED)


def test_junes_own_bots_leave_silently() -> None:
    """The end of a room tells nothing of June's own bots."""
    domain = MemoryDomain()
    domain.give(joined(), joined("PA_b", identity="june-tts-x", kind=ParticipantKind.AGENT))
    domain.give(published("TR_b", by="PA_b"))
    assert story(domain.give(room_finished())) == ["left PA_1", "session ended"]


def test_nothing_follows_the_end_of_a_room() -> None:
    """After `room_finished`, late and doubled events of that sid change nothing."""
    domain = MemoryDomain()
    domain.give(room_started(), joined(), published(), room_finished())
    late = (room_finished(), room_started(), joined("PA_2"), published("TR_2"), left(), unpublished())
    assert domain.give(*late) == []


def test_a_vanished_room_that_had_finished() -> None:
    """LiveKit says so late: the session ends then and there, `room_finished`, and nothing is told twice."""
    domain = MemoryDomain()
    domain.give(room_started(), joined(), published(), running(), final(), room_missing())
    assert the_session(domain).live
    assert story(domain.give(room_finished(), room_finished()))[-1:] == ["session ended"]
    session = the_session(domain)
    assert (session.state, session.end_reason) == (SessionState.ENDED, EndReason.ROOM_FINISHED)
    assert story(domain.wait(HOUR)) == []


def test_the_end_of_another_room_ends_no_session_that_waits() -> None:
    """It is the vanished room's own end that counts."""
    domain = MemoryDomain()
    domain.give(room_started(), joined(), room_missing())
    assert domain.give(room_finished("RM_2")) == []
    assert the_session(domain).live


def test_a_name_can_be_used_again() -> None:
    """A new room of the name of one that finished is another session."""
    domain = MemoryDomain()
    domain.give(room_started(), room_finished())
    assert story(domain.give(room_started("RM_2"))) == ["session created"]
    assert len(domain.tables.sessions) == 2


class TestAnotherRoomOfTheName:
    """A room under a new sid while the session's own never finished."""

    def _lived_in(self) -> MemoryDomain:
        domain = MemoryDomain()
        domain.give(room_started(), joined(), published(), running(), final())
        return domain

    def test_it_supersedes(self) -> None:
        """The session goes on in the new room, and what lived in the old one has left it."""
        domain = self._lived_in()
        started_at = the_session(domain).started_at
        assert story(domain.give(room_started("RM_2"))) == [
            "stop TR_1 all all room_lost",
            "job TR_1 ended 1 room_lost",
            "unpublished TR_1",
            "left PA_1",
            "AiCancel",
            "TurnCompleted",
        ]
        session = the_session(domain)
        assert (session.state, session.room_sid) == (SessionState.ACTIVE, "RM_2")
        assert session.started_at == started_at

    def test_an_older_one_is_over(self) -> None:
        """What comes late of a room that LiveKit made earlier moves nothing, and starts nothing afterwards."""
        domain = MemoryDomain()
        domain.give(room_started(made_at=START), joined(), published())
        assert story(domain.give(room_started("RM_0", made_at=START - MOMENT))) == ["count outdated_room"]
        assert story(domain.give(joined("PA_0", room="RM_0"), published("TR_0", room="RM_0"))) == []
        assert the_session(domain).room_sid == RM

    @pytest.mark.parametrize("fact", [published("TR_0", by="PA_0", room="RM_0"), joined("PA_0", room="RM_0")])
    def test_what_happened_before_it_was_made_is_of_an_older_one(self, fact: RoomFact) -> None:
        """LiveKit does not say in a track's event when its room was made: but not after the event."""
        domain = MemoryDomain()
        domain.give(room_started(made_at=fact.at + 2 * SECOND), joined(), published())
        assert story(domain.give(fact)) == ["count outdated_room"]
        assert the_session(domain).room_sid == RM
        assert len(domain.tables.live_jobs(RoomSid(RM))) == 1

    @pytest.mark.parametrize("after", [-SECOND, timedelta(), SECOND])
    def test_what_may_have_happened_afterwards_is_of_a_newer_one(self, after: timedelta) -> None:
        """Events are told to the second, rooms to the millisecond: within one second nobody can say."""
        domain = MemoryDomain()
        fact = published("TR_0", room="RM_2")
        domain.give(room_started(made_at=fact.at + after), joined(), fact)
        assert the_session(domain).room_sid == "RM_2"

    def test_when_it_was_made_may_be_told_later(self) -> None:
        """The first event that says when the session's room was made decides about the others of its name."""
        domain = MemoryDomain()
        domain.give(joined(), room_started(made_at=START), room_started("RM_0", made_at=START - MOMENT))
        assert the_session(domain).room_sid == RM

    @pytest.mark.parametrize("made_at", [None, START, START + MOMENT])
    def test_a_later_one_supersedes(self, made_at: datetime | None) -> None:
        """So does one of the same moment, or of an unknown one."""
        domain = MemoryDomain()
        domain.give(room_started(made_at=START), joined(), room_started("RM_2", made_at=made_at))
        assert the_session(domain).room_sid == "RM_2"

    def test_its_voices_get_jobs_of_their_own(self) -> None:
        """The same sids in the new room are other people and other voices."""
        domain = self._lived_in()
        effects = domain.give(joined(room="RM_2"), published(room="RM_2"))
        assert story(effects)[-4:] == ["joined PA_1", "published TR_1", "job TR_1 waiting 1", "offer TR_1 1"]
        assert "session started" not in story(effects)
        assert len(domain.tables.jobs) == 2

    def test_late_events_of_the_old_one_change_nothing(self) -> None:
        """The room that was superseded is gone for good, its end included."""
        domain = self._lived_in()
        domain.give(room_started("RM_2"))
        assert domain.give(joined("PA_9"), published("TR_9"), left(), room_finished()) == []
        assert the_session(domain).live

    @pytest.mark.parametrize("fact", [left("PA_9", room="RM_2"), unpublished("TR_9", room="RM_2")])
    def test_a_leave_in_it_moves_nothing(self, fact: RoomFact) -> None:
        """A sid that is first seen leaving starts nothing, not even its room; and it never comes back."""
        domain = self._lived_in()
        assert domain.give(fact) == []
        assert the_session(domain).room_sid == RM
        domain.give(joined("PA_9", room="RM_2"), published("TR_9", room="RM_2"))
        assert not domain.tables.live_jobs(RoomSid("RM_2"))

    def test_its_mere_end_moves_nothing(self) -> None:
        """A room that is first seen finished takes no session with it."""
        domain = self._lived_in()
        assert domain.give(room_finished("RM_2"), joined("PA_2", room="RM_2")) == []
        assert the_session(domain).room_sid == RM

    def test_a_session_that_was_missed_is_found(self) -> None:
        """A session whose room had vanished is not given up once it has a room again."""
        domain = self._lived_in()
        domain.put(replace(the_session(domain), missing_since=START))
        domain.give(room_started("RM_2"))
        assert the_session(domain).missing_since is None


@pytest.mark.parametrize(
    ("sid", "plain"), [("RM_ab", True), ("RM ab", False), ("ü", False), ("x" * 126, False), ("x" * 125, True)]
)
def test_ids_of_adopted_sessions_are_legal(sid: str, plain: bool) -> None:
    """Whatever LiveKit calls a room, its session's id keeps to the contract's alphabet and length."""
    session_id = adopted_id(RoomSid(sid))
    assert session_id.isascii()
    assert len(session_id) <= 128
    assert (session_id == f"lk_{sid}") is plain


def test_the_rows_of_a_superseded_room_are_gone() -> None:
    """Nothing lives in a room that its session has left."""
    domain = MemoryDomain()
    domain.give(joined(), published(), published("TR_w", by="PA_unknown"), room_started("RM_2"))
    assert domain.tables.rooms[RoomSid(RM)].gone
    assert not domain.tables.live_participants(RoomSid(RM))
    assert not domain.tables.live_tracks(RoomSid(RM))
    assert not domain.tables.live_jobs(RoomSid(RM))
