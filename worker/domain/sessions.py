"""What commands, and the reconciler, decide about a session as a whole.

Promises: each is safe to repeat, and then changes and tells nothing. All but `removed` need the whole of the session's
room in the slice, with its conversation; `made` also the row of the room that was made, `removed` the identity's
removal, if there is one.
"""

from __future__ import annotations

from datetime import datetime

from schemas.sessions import EndReason
from worker.domain import endings, lifecycle, rooms
from worker.domain.changes import the_session, with_removal, with_session
from worker.domain.copies import replace
from worker.domain.effects import CloseRoom, Effect, RemoveParticipant, Wake
from worker.domain.jobs import Decision
from worker.domain.leases import has_come
from worker.domain.model import Removal, RoomSid, SessionState, State
from worker.domain.policy import Policy

MISSING_TIMER = "room"
"""The key of the moment at which a session whose room vanished is given up."""


def made(
    state: State, room_sid: RoomSid, created_at: datetime | None, now: datetime, policy: Policy
) -> Decision:
    """LiveKit has made the room of a reserved session, at `created_at`.

    A room that finished in the meantime ends the session at once. For a session that ended in the meantime the
    room is closed: nobody may be in it.
    """
    session = the_session(state)
    if not session.live:
        return state, (CloseRoom(room_name=session.room_name),)
    room = state.rooms.get(room_sid)
    if room is not None and room.gone:
        return endings.end_session(state, EndReason.ROOM_FINISHED, now, now, policy)
    effects: tuple[Effect, ...] = ()
    if session.room_sid != room_sid:
        state, effects = rooms.move(state, room_sid, created_at, now, now, policy)
    state, created = lifecycle.promote(state)
    return state, (*effects, *created)


def finished(state: State, at: datetime, now: datetime, policy: Policy) -> Decision:
    """LiveKit says that the session's room is over. While a session is reserved that may be an earlier room of its
    name, whose last events are late: only `made` knows which one is its own, and ends it then.
    """
    session = the_session(state)
    if session.state is SessionState.RESERVED and session.room_sid is not None:
        return endings.leave_room(state, session.room_sid, at, now, policy)
    return endings.end_session(state, EndReason.ROOM_FINISHED, at, now, policy)


def delete(state: State, now: datetime, policy: Policy) -> Decision:
    """Somebody wants it to be over. Its room is closed, too."""
    session = the_session(state)
    if not session.live:
        return state, ()
    state, effects = endings.end_session(state, EndReason.DELETED, now, now, policy)
    return state, (*effects, CloseRoom(room_name=session.room_name))


def missing(state: State, at: datetime, now: datetime, policy: Policy) -> Decision:
    """LiveKit has the session's room no more: all in it is over, and the session waits for it to come back."""
    session = the_session(state)
    if session.room_sid is None or session.missing_since is not None:
        return state, ()
    state, effects = endings.leave_room(state, session.room_sid, at, now, policy)
    state = with_session(state, replace(the_session(state), missing_since=now))
    return state, (*effects, Wake(key=MISSING_TIMER, at=now + policy.room_grace))


def lost(state: State, now: datetime, policy: Policy) -> Decision:
    """LiveKit has the room no more, and never said that it finished."""
    return endings.end_session(state, EndReason.ROOM_LOST, now, now, policy)


def time_came(state: State, now: datetime, policy: Policy) -> Decision:
    """The grace of a room that vanished may be over; too early, it is asked for again."""
    session = state.session
    if session is None or not session.live or session.missing_since is None:
        return state, ()
    until = session.missing_since + policy.room_grace
    if not has_come(until, now):
        return state, (Wake(key=MISSING_TIMER, at=until),)
    return lost(state, now, policy)


def removed(state: State, identity: str, until: datetime) -> Decision:
    """Take somebody out, and again whenever they come back before `until`; a longer removal stays as long as it is."""
    session = the_session(state)
    if not session.live:
        return state, ()
    known = state.removals.get(identity)
    longest = until if known is None else max(until, known.until)
    removal = Removal(session_id=session.session_id, identity=identity, until=longest)
    state = state if removal == known else with_removal(state, removal)
    return state, (RemoveParticipant(room_name=session.room_name, identity=identity),)
