"""Putting entities into a `State`, as a decision leaves them.

Promises: the given state is never changed; an entity of the same key is replaced. Refuses: any judgement.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from worker.domain.copies import replace
from worker.domain.model import (
    Job,
    Participant,
    Removal,
    Room,
    RoomSid,
    Session,
    State,
    Track,
    TurnRef,
)

_T = TypeVar("_T", Participant, Track)


def with_session(state: State, session: Session) -> State:
    """The state with this session."""
    return replace(state, session=session)


def with_room(state: State, room: Room) -> State:
    """The state with this room."""
    return replace(state, rooms={**state.rooms, room.room_sid: room})


def with_participants(state: State, *participants: Participant) -> State:
    """The state with these participants."""
    changed = {(each.room_sid, each.sid): each for each in participants}
    return replace(state, participants={**state.participants, **changed})


def with_tracks(state: State, *tracks: Track) -> State:
    """The state with these tracks."""
    return replace(state, tracks={**state.tracks, **{(each.room_sid, each.sid): each for each in tracks}})


def with_jobs(state: State, *jobs: Job) -> State:
    """The state with these jobs."""
    return replace(state, jobs={**state.jobs, **{each.job_id: each for each in jobs}})


def with_turn(state: State, turn: TurnRef) -> State:
    """The state with this turn."""
    return replace(state, turns={**state.turns, turn.turn_id: turn})


def with_removal(state: State, removal: Removal) -> State:
    """The state with this removal."""
    return replace(state, removals={**state.removals, removal.identity: removal})


def the_session(state: State) -> Session:
    """The session of a slice that is known to have one. Raises `ValueError` when the loader gave none."""
    if state.session is None:
        raise ValueError("the slice has no session")
    return state.session


def live_participants(state: State, room_sid: RoomSid) -> list[Participant]:
    """Those of the slice who are in this room, by sid."""
    return _by_sid(
        each for each in state.participants.values() if each.room_sid == room_sid and not each.gone
    )


def live_tracks(state: State, room_sid: RoomSid) -> list[Track]:
    """Those of the slice that are in this room, by sid."""
    return _by_sid(each for each in state.tracks.values() if each.room_sid == room_sid and not each.gone)


def live_jobs(state: State, room_sid: RoomSid) -> list[Job]:
    """Those of the slice that are about this room, by the track's sid."""
    found = (each for each in state.jobs.values() if each.room_sid == room_sid and each.live)
    return sorted(found, key=lambda job: job.track_sid)


def _by_sid(entities: Iterable[_T]) -> list[_T]:
    return sorted(entities, key=lambda each: each.sid)
