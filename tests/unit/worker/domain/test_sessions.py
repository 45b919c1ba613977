"""Sessions as a whole: what commands and the reconciler decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.sessions import EndReason
from tests.support.memory_domain import MemoryDomain, of, story
from tests.support.samples import START
from tests.unit.worker.domain.facts import (
    RM,
    ROOM,
    SESSION,
    joined,
    left,
    published,
    reservation,
    room_finished,
    room_started,
    the_session,
    unpublished,
)
from worker.domain import sessions
from worker.domain.effects import CloseRoom, Effect, RemoveParticipant, Wake
from worker.domain.facts import Fact, TimeCame
from worker.domain.model import RoomSid, SessionId, SessionState

GRACE = timedelta(seconds=60)


def _reserved() -> MemoryDomain:
    domain = MemoryDomain()
    domain.put(reservation())
    return domain


def _made(domain: MemoryDomain, room: str = RM) -> list[Effect]:
    return domain.order(
        SESSION, lambda state: sessions.made(state, RoomSid(room), None, domain.now, domain.policy)
    )


def _deleted(domain: MemoryDomain) -> list[Effect]:
    return domain.order(SESSION, lambda state: sessions.delete(state, domain.now, domain.policy))


def _lost(domain: MemoryDomain) -> list[Effect]:
    return domain.order(SESSION, lambda state: sessions.lost(state, domain.now, domain.policy))


def _removed(domain: MemoryDomain, until: timedelta) -> list[Effect]:
    return domain.order(SESSION, lambda state: sessions.removed(state, "ann", START + until))


def test_a_made_room_creates_the_session() -> None:
    """It is told once, however often the command is repeated."""
    domain = _reserved()
    assert story(_made(domain)) == ["session created"]
    assert _made(domain) == []
    assert (the_session(domain).state, the_session(domain).room_sid) == (SessionState.CREATED, RM)


def test_the_room_may_have_been_seen_first() -> None:
    """The webhook that came before the answer and the answer agree."""
    domain = _reserved()
    domain.give(room_started())
    assert story(_made(domain)) == ["session created"]


def test_somebody_may_have_joined_first() -> None:
    """The session was created and started by the join; the answer adds nothing."""
    domain = _reserved()
    domain.give(room_started(), joined())
    assert _made(domain) == []
    assert the_session(domain).state is SessionState.ACTIVE


def test_the_room_may_have_finished_first() -> None:
    """A room that was over before its command was answered ends the session, whole in its events."""
    domain = _reserved()
    domain.give(room_finished())
    assert story(_made(domain)) == ["session created", "session ended"]
    assert the_session(domain).end_reason is EndReason.ROOM_FINISHED


def test_a_bound_room_may_finish_first() -> None:
    """Nothing ends that was not created: a reserved session whose room finished is told of as both, once it is known
    to have been its own."""
    domain = _reserved()
    assert story(domain.give(room_started(), room_finished())) == []
    assert story(_made(domain)) == ["session created", "session ended"]
    assert the_session(domain).end_reason is EndReason.ROOM_FINISHED


def test_the_room_of_a_session_that_is_over_is_closed() -> None:
    """Somebody came and all was over before the room was known to be made: nobody may be in it."""
    domain = _reserved()
    assert "session ended" in story(domain.give(joined(), room_finished()))
    assert _made(domain) == [CloseRoom(room_name=ROOM)]


@pytest.mark.parametrize("late", [room_started("RM_old"), left(room="RM_old"), unpublished(room="RM_old")])
def test_an_earlier_room_that_finishes_ends_no_reserved_session(late: Fact) -> None:
    """The last events of a room of the name that was closed may come while the new one is being made."""
    domain = _reserved()
    assert story(domain.give(late, room_finished("RM_old"))) == []
    assert story(_made(domain)) == ["session created"]
    assert story(domain.give(joined())) == ["session started", "joined PA_1"]


def test_what_livekit_made_is_the_room() -> None:
    """A stray event of an older room of the name does not keep the session from the room that was made for it."""
    domain = _reserved()
    domain.give(joined(room="RM_old"))
    assert story(_made(domain)) == ["left PA_1"]
    assert the_session(domain).room_sid == RM
    assert domain.give(joined("PA_2", room="RM_old")) == []


def test_delete_ends_all_and_closes_the_room() -> None:
    """Stops first, the session's end last, then the room; twice is as good as once."""
    domain = _reserved()
    _made(domain)
    domain.give(joined(), published())
    assert story(_deleted(domain)) == [
        "stop TR_1 all all session_deleted",
        "job TR_1 ended 1 session_deleted",
        "unpublished TR_1",
        "left PA_1",
        "session ended",
        "CloseRoom",
    ]
    assert _deleted(domain) == []
    assert (the_session(domain).ended_at, the_session(domain).end_reason) == (domain.now, EndReason.DELETED)


def test_nothing_follows_a_delete() -> None:
    """Webhooks of the room that is being closed change nothing."""
    domain = _reserved()
    _made(domain)
    _deleted(domain)
    assert domain.give(joined(), published(), room_finished()) == []


def test_a_room_made_for_a_deleted_session_is_closed() -> None:
    """A delete that overtook its create wins: the room goes."""
    domain = _reserved()
    assert story(_deleted(domain)) == ["session created", "session ended", "CloseRoom"]
    assert story(_made(domain)) == ["CloseRoom"]


def test_a_lost_room_ends_the_session() -> None:
    """LiveKit has it no more: what lived in it is stopped as lost. Twice is as good as once."""
    domain = _reserved()
    _made(domain)
    domain.give(joined(), published())
    assert story(_lost(domain)) == [
        "stop TR_1 all all room_lost",
        "job TR_1 ended 1 room_lost",
        "unpublished TR_1",
        "left PA_1",
        "session ended",
    ]
    assert _lost(domain) == []


def test_a_missing_room_is_given_up_after_its_grace() -> None:
    """Too early, the moment is asked for again; a session that is not missed stays."""
    domain = _reserved()
    _made(domain)
    moment = TimeCame(session_id=SessionId(SESSION), key=sessions.MISSING_TIMER)
    assert domain.give(moment) == []
    domain.put(replace(the_session(domain), missing_since=domain.now))
    assert domain.give(moment) == [Wake(key=sessions.MISSING_TIMER, at=domain.now + GRACE)]
    assert story(domain.wait(GRACE)) == ["session ended"]
    assert the_session(domain).end_reason is EndReason.ROOM_LOST


def test_a_removal_is_remembered() -> None:
    """Who was removed is removed again when coming back, until the tokens have run out; the longest one counts."""
    domain = _reserved()
    _made(domain)
    taken_out = [RemoveParticipant(room_name=ROOM, identity="ann")]
    assert _removed(domain, timedelta(minutes=15)) == taken_out
    assert _removed(domain, timedelta(minutes=5)) == taken_out
    domain.wait(timedelta(minutes=14))
    assert of(domain.give(joined()), RemoveParticipant) == taken_out


def test_nobody_is_removed_from_what_ended() -> None:
    """There is no room to remove anybody from."""
    domain = _reserved()
    _made(domain)
    _deleted(domain)
    assert _removed(domain, timedelta(minutes=15)) == []
