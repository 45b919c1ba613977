"""The one decision: what a fact makes of the state, and what is to be done about it.

Promises: pure; the same state, fact and now give the same; a fact that changes nothing returns the very state it got,
with no effect but a `Count` or an answer to the one who reported. Every order of the same facts of a room ends with the
same lives and nothing running that should not.

What the slice must hold:

- facts of a room: the room's row; the session of that row or, when the room is unknown, the live session that has the
  name (reserved ones too), or else `shut_until`, if that is to come, and whether an adopted session's id is taken; what
  the fact names: a participant with all its live tracks and jobs, a track with its job and its participant; the whole
  of the session's room when that one ends, or is another than the fact's; the conversation for what may end a turn; the
  removal of an identity that joins.
- reports: the job or turn that is named, and its session; for words the conversation and whether they were taken.
- moments: what the key names (`job:<job id>`, `turn…`, `room` for the whole room).
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from schemas.reports import AiReply, AiStatus, SttSpeechStarted, SttStatus, SttTranscript, TtsStatus
from worker.domain import jobs, participants, rooms, sessions, tracks, transcripts, turns
from worker.domain.effects import Count
from worker.domain.facts import (
    Fact,
    ParticipantJoined,
    ParticipantLeft,
    Reported,
    RoomFact,
    RoomFinished,
    RoomMissing,
    RoomRevived,
    RoomStarted,
    TimeCame,
    TrackPublished,
    TrackUnpublished,
)
from worker.domain.jobs import Decision
from worker.domain.model import JobId, State, TurnId
from worker.domain.policy import Policy


def decide(state: State, fact: Fact, now: datetime, policy: Policy) -> Decision:
    """The state after the fact, and the effects in the order of their messages."""
    match fact:
        case Reported():
            return _reported(state, fact, now, policy)
        case TimeCame():
            return _time_came(state, fact, now, policy)
        case _:
            return _in_room(state, fact, now, policy)


def _in_room(state: State, fact: RoomFact, now: datetime, policy: Policy) -> Decision:
    how = rooms.arrival(state, fact, policy)
    state, effects = rooms.enter(state, fact, how, now, policy)
    if not how.applies:
        return state, effects
    state, more = _happened(state, fact, now, policy)
    return state, (*effects, *more)


def _happened(state: State, fact: RoomFact, now: datetime, policy: Policy) -> Decision:
    match fact:
        case RoomStarted() | RoomRevived():
            return state, ()
        case RoomMissing():
            return sessions.missing(state, fact.at, now, policy)
        case RoomFinished():
            return sessions.finished(state, fact.at, now, policy)
        case ParticipantJoined():
            return participants.joined(state, fact, now, policy)
        case ParticipantLeft():
            return participants.left(state, fact, now, policy)
        case TrackPublished():
            return tracks.published(state, fact, now, policy)
        case TrackUnpublished():
            return tracks.unpublished(state, fact, now)
        case _:
            assert_never(fact)


def _reported(state: State, fact: Reported, now: datetime, policy: Policy) -> Decision:
    match fact.report:
        case SttStatus() as status:
            return jobs.reported(state, fact.source, status, now, policy)
        case SttTranscript() as transcript:
            return transcripts.reported(state, fact.source, transcript, now, policy)
        case SttSpeechStarted() as started:
            return transcripts.speech_started(state, fact.source, started, now, policy)
        case AiReply() | AiStatus() | TtsStatus() as on_turn if TurnId(on_turn.turn_id) in state.turns:
            return turns.reported(state, fact, now, policy)
        case _:
            return state, (Count(name="unknown_report"),)


def _time_came(state: State, fact: TimeCame, now: datetime, policy: Policy) -> Decision:
    if fact.key.startswith(jobs.TIMER):
        return jobs.time_came(state, JobId(fact.key.removeprefix(jobs.TIMER)), now, policy)
    if fact.key == sessions.MISSING_TIMER:
        return sessions.time_came(state, now, policy)
    return turns.time_came(state, fact.key, now, policy)
