"""What ends together: a room with all that lives in it, and a session with its room.

Promises: the order is stops, jobs, tracks, participants, the conversation, the session; what is over already is not
ended again. Needs the whole of the room in the slice.
"""

from __future__ import annotations

from datetime import datetime

from schemas.pipeline import StopReason
from schemas.sessions import EndReason
from worker.domain import jobs, lifecycle, participants, tracks, turns
from worker.domain.changes import (
    live_jobs,
    live_participants,
    live_tracks,
    the_session,
    with_room,
)
from worker.domain.copies import replace
from worker.domain.effects import Effect
from worker.domain.jobs import Decision
from worker.domain.model import RoomSid, State
from worker.domain.policy import Policy

_STOP_REASONS = {
    EndReason.DELETED: StopReason.SESSION_DELETED,
    EndReason.ROOM_FINISHED: StopReason.ROOM_FINISHED,
    EndReason.ROOM_LOST: StopReason.ROOM_LOST,
}


def end_session(state: State, reason: EndReason, at: datetime, now: datetime, policy: Policy) -> Decision:
    """The session is over, with all that lives in it; nothing when it is over already."""
    session = the_session(state)
    if not session.live:
        return state, ()
    state, effects = lifecycle.promote(state)
    if session.room_sid is not None:
        state, closed = close_room(state, session.room_sid, _STOP_REASONS[reason], at, now)
        effects = (*effects, *closed)
    if state.conversation is not None:
        state, unsaid = turns.ended(state, now, policy)
        effects = (*effects, *unsaid)
    state, ended = lifecycle.finish(state, reason, now)
    return state, (*effects, *ended)


def leave_room(state: State, room_sid: RoomSid, at: datetime, now: datetime, policy: Policy) -> Decision:
    """The room is over and its session goes on elsewhere: whoever was in it has left it."""
    there = live_participants(state, room_sid)
    state, effects = close_room(state, room_sid, StopReason.ROOM_LOST, at, now)
    for participant in there:
        state, unsaid = participants.unheard(state, participant, now, policy)
        effects = (*effects, *unsaid)
    return state, effects


def close_room(state: State, room_sid: RoomSid, reason: StopReason, at: datetime, now: datetime) -> Decision:
    """Nothing lives in this room any more, and nothing will."""
    effects: tuple[Effect, ...]
    state, effects = jobs.stop(state, live_jobs(state, room_sid), reason, now)
    state, unpublished = tracks.close(state, live_tracks(state, room_sid), at)
    state, leaves = participants.close(state, live_participants(state, room_sid), at)
    if (room := state.rooms.get(room_sid)) is not None:
        state = with_room(state, replace(room, gone=True))
    return state, (*effects, *unpublished, *leaves)
