"""Participants: in a room once by their sid, and gone once and for good. Identities decide nothing.

Promises: each sid joins once and leaves once, in that order, its tracks within; one that is first seen leaving never
joins. The first that is not June's own bot starts the session. June's own bots are remembered and never told of.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from schemas.events import ParticipantJoined as ParticipantJoinedEvent
from schemas.events import ParticipantLeft as ParticipantLeftEvent
from schemas.participants import Participant as WireParticipant
from schemas.pipeline import StopReason
from worker.domain import jobs, lifecycle, tracks, turns, voices
from worker.domain.changes import live_jobs, live_tracks, the_session, with_participants
from worker.domain.copies import replace
from worker.domain.effects import Announce, Effect, RemoveParticipant
from worker.domain.facts import ParticipantJoined, ParticipantLeft
from worker.domain.jobs import Decision
from worker.domain.model import Participant, ParticipantSid, RoomSid, Session, State, Track
from worker.domain.policy import Policy


def joined(state: State, fact: ParticipantJoined, now: datetime, policy: Policy) -> Decision:
    """Somebody is there: the session starts, and tracks that came before are announced."""
    if (fact.room_sid, fact.sid) in state.participants:
        return state, ()
    session = the_session(state)
    participant = _seen(session, fact)
    state = with_participants(state, participant)
    if participant.bot:
        return state, ()
    state, began = lifecycle.begin(state, now)
    effects: tuple[Effect, ...] = (
        *began,
        _joined_event(session, participant, fact.at),
        *_turned_away(state, participant, now),
    )
    for track in _tracks_of(state, participant.room_sid, participant.sid):
        state, more = tracks.announce(state, participant, track, fact.at, now, policy)
        effects = (*effects, *more)
    return state, effects


def left(state: State, fact: ParticipantLeft, now: datetime, policy: Policy) -> Decision:
    """Somebody is gone, with tracks, jobs, and words that are still to be answered."""
    participant = state.participants.get((fact.room_sid, fact.sid))
    if participant is not None and participant.gone:
        return state, ()
    state, events = tracks.close(state, _tracks_of(state, fact.room_sid, fact.sid), fact.at)
    if participant is None:
        return with_participants(state, _gone_unseen(the_session(state), fact)), events
    theirs = [job for job in live_jobs(state, fact.room_sid) if job.participant_sid == fact.sid]
    state, stops = jobs.stop(state, theirs, StopReason.PARTICIPANT_LEFT, now)
    state, leaves = close(state, [participant], fact.at)
    state, unsaid = unheard(state, participant, now, policy)
    return state, (*events, *stops, *leaves, *unsaid)


def close(state: State, participants: Iterable[Participant], at: datetime) -> Decision:
    """The live ones of these are gone, told of unless they are June's own bots. Their tracks are left as they are."""
    session = the_session(state)
    live = [each for each in participants if not each.gone]
    events = tuple(_left_event(session, each, at) for each in live if not each.bot)
    return with_participants(state, *(replace(each, gone=True) for each in live)), events


def unheard(state: State, participant: Participant, now: datetime, policy: Policy) -> Decision:
    """Nobody waits for the answer to somebody who has left."""
    if participant.bot or state.conversation is None:
        return state, ()
    return turns.participant_left(state, participant.sid, now, policy)


def _turned_away(state: State, participant: Participant, now: datetime) -> tuple[Effect, ...]:
    """LiveKit lets a removed identity in again by its old token; June does not."""
    removal = state.removals.get(participant.identity)
    if removal is None or removal.until <= now:
        return ()
    return (RemoveParticipant(room_name=the_session(state).room_name, identity=participant.identity),)


def _tracks_of(state: State, room_sid: RoomSid, sid: ParticipantSid) -> list[Track]:
    return [track for track in live_tracks(state, room_sid) if track.participant_sid == sid]


def _seen(session: Session, fact: ParticipantJoined) -> Participant:
    return Participant(
        room_sid=fact.room_sid,
        sid=fact.sid,
        session_id=session.session_id,
        identity=fact.identity,
        name=fact.name,
        kind=fact.kind,
        metadata=fact.metadata,
        joined_at=fact.at,
        bot=voices.is_own_bot(fact.kind, fact.identity),
    )


def _gone_unseen(session: Session, fact: ParticipantLeft) -> Participant:
    return Participant(
        room_sid=fact.room_sid,
        sid=fact.sid,
        session_id=session.session_id,
        identity=fact.identity,
        joined_at=fact.at,
        gone=True,
    )


def _joined_event(session: Session, participant: Participant, at: datetime) -> Announce:
    return Announce(
        event=ParticipantJoinedEvent(
            session_id=session.session_id,
            room_name=session.room_name,
            room_sid=participant.room_sid,
            participant=_wire(participant),
            at=at,
        )
    )


def _left_event(session: Session, participant: Participant, at: datetime) -> Announce:
    return Announce(
        event=ParticipantLeftEvent(
            session_id=session.session_id,
            room_name=session.room_name,
            room_sid=participant.room_sid,
            participant=_wire(participant),
            at=at,
        )
    )


def _wire(participant: Participant) -> WireParticipant:
    return WireParticipant(
        sid=participant.sid,
        identity=participant.identity,
        name=participant.name,
        kind=participant.kind,
        metadata=participant.metadata,
    )
