"""To which session an event of a room belongs: known, bound, adopted, superseding, or nobody's.

Promises: a room sid lives once; what comes late from one that is over starts nothing. A room of the same name under a
new sid takes its session over, when somebody is seen to be in it: a mere leave in an unknown room moves nothing, nor
does a room that LiveKit made earlier.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from worker.domain import endings, lifecycle
from worker.domain.changes import the_session, with_room, with_session
from worker.domain.copies import replace
from worker.domain.effects import AnnounceSession, CloseRoom, Count
from worker.domain.facts import (
    ParticipantLeft,
    RoomFact,
    RoomFinished,
    RoomMissing,
    RoomRevived,
    TrackUnpublished,
)
from worker.domain.jobs import Decision
from worker.domain.model import Room, RoomSid, Session, State
from worker.domain.policy import Policy


class Arrival(StrEnum):
    """How an event of a room meets what June knows."""

    OVER = "over"
    """The room, or its session, is over."""
    HERE = "here"
    """The session lives in this room."""
    UNSEEN_END = "unseen_end"
    """The first that is seen of the room is its end."""
    SHUT = "shut"
    """Tokens of a deleted session brought the room back."""
    STRANGE = "strange"
    """Nobody's room, and June adopts none."""
    ADOPTED = "adopted"
    BOUND = "bound"
    """The first that is seen of the room that a session is waiting for."""
    BESIDE = "beside"
    """Something is over in a room that is not, or not yet, the session's."""
    SUPERSEDES = "supersedes"
    """The session's room is there again, under a new sid."""
    OUTDATED = "outdated"
    """The room was made before the one of its name that the session lives in: it is over, and its news is late."""

    @property
    def applies(self) -> bool:
        """Whether there is a session that the event itself is then for."""
        return self in _APPLYING


_APPLYING = frozenset({Arrival.HERE, Arrival.ADOPTED, Arrival.BOUND, Arrival.BESIDE, Arrival.SUPERSEDES})
_DEPARTURES = (ParticipantLeft, TrackUnpublished)
_ENDS = (RoomFinished, RoomMissing)
_PRECISION = timedelta(seconds=1)
"""LiveKit cuts the moments of its events down to whole seconds, but not those at which it made a room."""


def arrival(state: State, fact: RoomFact, policy: Policy) -> Arrival:
    """Which of these it is."""
    room, session = state.rooms.get(fact.room_sid), state.session
    if session is not None and not session.live:
        return Arrival.OVER
    if room is not None and room.gone and not isinstance(fact, RoomRevived):
        # It vanished, and LiveKit says only now that it had finished: that is why the session ends.
        return Arrival.HERE if ends_late(session, fact) else Arrival.OVER
    if session is None:
        return _of_nobody(state, fact, policy)
    if session.room_sid == fact.room_sid:
        return Arrival.BOUND if isinstance(fact, RoomRevived) else Arrival.HERE
    if isinstance(fact, _ENDS):
        return Arrival.UNSEEN_END
    if session.room_sid is None:
        return Arrival.BOUND
    if isinstance(fact, _DEPARTURES):
        return Arrival.BESIDE
    if isinstance(fact, RoomRevived):
        # LiveKit has it now: that counts for more than its clock.
        return Arrival.SUPERSEDES
    return Arrival.OUTDATED if _is_older(fact, state.rooms.get(session.room_sid)) else Arrival.SUPERSEDES


def enter(state: State, fact: RoomFact, how: Arrival, now: datetime, policy: Policy) -> Decision:
    """What the event does to the session before it is itself applied."""
    match how:
        case Arrival.OVER | Arrival.BESIDE:
            return state, ()
        case Arrival.HERE:
            return _dated(state, fact), ()
        case Arrival.UNSEEN_END:
            return _buried(state, fact, now), ()
        case Arrival.OUTDATED:
            return _buried(state, fact, now), (Count(name="outdated_room"),)
        case Arrival.SHUT:
            return state, (CloseRoom(room_name=fact.room_name), Count(name="shut_room"))
        case Arrival.STRANGE:
            return state, (Count(name="unknown_room"),)
        case Arrival.ADOPTED:
            return _adopt(state, fact, now, policy)
        case Arrival.BOUND:
            return lifecycle.bind(state, fact.room_sid, fact.room_created_at), ()
        case Arrival.SUPERSEDES:
            return move(state, fact.room_sid, fact.room_created_at, fact.at, now, policy)
        case _:
            assert_never(how)


def move(
    state: State, room_sid: RoomSid, created_at: datetime | None, at: datetime, now: datetime, policy: Policy
) -> Decision:
    """The session goes on in this room; whatever lived in another one of its is over. Needs that one whole."""
    session = the_session(state)
    if session.room_sid is None or session.room_sid == room_sid:
        return lifecycle.bind(state, room_sid, created_at), ()
    state, effects = endings.leave_room(state, session.room_sid, at, now, policy)
    return lifecycle.bind(state, room_sid, created_at), effects


def ends_late(session: Session | None, fact: RoomFact) -> bool:
    """Whether this is the end of the vanished room that the session waits for."""
    if session is None or not session.live or session.missing_since is None:
        return False
    return isinstance(fact, RoomFinished) and session.room_sid == fact.room_sid


def _is_older(fact: RoomFact, room: Room | None) -> bool:
    """Whether the event's room was made before this one; where LiveKit did not say, by when the event happened in it,
    and else it is taken for the newer.
    """
    if room is None or room.created_at is None:
        return False
    made_by = fact.at + _PRECISION if fact.room_created_at is None else fact.room_created_at
    return made_by < room.created_at


def _buried(state: State, fact: RoomFact, now: datetime) -> State:
    """A tombstone, so that what else comes late of the room starts nothing."""
    return with_room(
        state,
        Room(room_sid=fact.room_sid, room_name=fact.room_name, session_id=None, gone=True, created_at=now),
    )


def _dated(state: State, fact: RoomFact) -> State:
    """The first event that says when the room was made is remembered: events of tracks do not say it."""
    room = state.rooms.get(fact.room_sid)
    if room is None or room.created_at is not None or fact.room_created_at is None:
        return state
    return with_room(state, replace(room, created_at=fact.room_created_at))


def _of_nobody(state: State, fact: RoomFact, policy: Policy) -> Arrival:
    """`shut_until` is only there while it is to come."""
    if isinstance(fact, _ENDS):
        # Nothing is kept of rooms that are not June's.
        return Arrival.UNSEEN_END if policy.adopt_rooms else Arrival.STRANGE
    if state.shut_until is not None:
        return Arrival.SHUT
    return Arrival.ADOPTED if policy.adopt_rooms else Arrival.STRANGE


def _adopt(state: State, fact: RoomFact, now: datetime, policy: Policy) -> Decision:
    again = now if isinstance(fact, RoomRevived) or state.adopted_id_taken else None
    session = lifecycle.adopted(fact.room_sid, fact.room_name, now, policy, again=again)
    state = lifecycle.bind(with_session(state, session), fact.room_sid, fact.room_created_at)
    return state, (AnnounceSession(what="created", session=the_session(state)),)
