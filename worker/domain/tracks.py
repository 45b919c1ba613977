"""Tracks: live once their publishing was seen, announced once their participant is known, gone once and for good.

Promises: each track is published once and unpublished once, in that order, and never without its participant; one
that is first seen leaving, or whose participant has gone, is gone silently. June's own bots' tracks are never told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from schemas.events import TrackPublished as TrackPublishedEvent
from schemas.events import TrackUnpublished as TrackUnpublishedEvent
from schemas.participants import ParticipantRef
from schemas.participants import Track as WireTrack
from schemas.pipeline import StopReason
from worker.domain import jobs, voices
from worker.domain.changes import the_session, with_tracks
from worker.domain.copies import replace
from worker.domain.effects import Announce, Effect
from worker.domain.facts import TrackPublished, TrackUnpublished
from worker.domain.jobs import Decision
from worker.domain.model import Participant, Session, State, Track
from worker.domain.policy import Policy


def published(state: State, fact: TrackPublished, now: datetime, policy: Policy) -> Decision:
    """A track is there; known ones, live or gone, stay as they are."""
    if (fact.room_sid, fact.sid) in state.tracks:
        return state, ()
    participant = state.participants.get((fact.room_sid, fact.participant_sid))
    track = _seen(the_session(state), fact)
    if participant is None:
        return with_tracks(state, track), ()
    if participant.gone:
        return with_tracks(state, replace(track, gone=True)), ()
    return announce(with_tracks(state, track), participant, track, fact.at, now, policy)


def announce(
    state: State, participant: Participant, track: Track, at: datetime, now: datetime, policy: Policy
) -> Decision:
    """The participant of a live track is known: tell of it, and have it transcribed when it is a voice."""
    if participant.bot or track.announced:
        return state, ()
    session = the_session(state)
    # From here on it is told of with the identity that its participant has.
    told = replace(track, announced=True, identity=participant.identity)
    state = with_tracks(state, told)
    effects: tuple[Effect, ...] = (_published_event(session, told, at),)
    if voices.is_voice(session, participant, told):
        state, offer = jobs.start(state, voices.new_job(session, participant, told), now, policy)
        effects = (*effects, *offer)
    return state, effects


def unpublished(state: State, fact: TrackUnpublished, now: datetime) -> Decision:
    """A track is over, and with it the job about it."""
    track = state.tracks.get((fact.room_sid, fact.sid))
    if track is None:
        return with_tracks(state, _gone_unseen(the_session(state), fact)), ()
    if track.gone:
        return state, ()
    state, events = close(state, [track], fact.at)
    job = state.jobs.get(voices.job_id_of(track.room_sid, track.sid))
    state, stops = jobs.stop(state, () if job is None else (job,), StopReason.TRACK_UNPUBLISHED, now)
    return state, (*events, *stops)


def close(state: State, tracks: Iterable[Track], at: datetime) -> Decision:
    """The live ones of these are gone; told of those that were announced. Their jobs are left as they are."""
    session = the_session(state)
    live = [track for track in tracks if not track.gone]
    events = tuple(_unpublished_event(session, track, at) for track in live if track.announced)
    return with_tracks(state, *(replace(track, gone=True) for track in live)), events


def _seen(session: Session, fact: TrackPublished) -> Track:
    return Track(
        room_sid=fact.room_sid,
        sid=fact.sid,
        session_id=session.session_id,
        participant_sid=fact.participant_sid,
        identity=fact.identity,
        type=fact.type,
        source=fact.source,
        name=fact.name,
        mime_type=fact.mime_type,
    )


def _gone_unseen(session: Session, fact: TrackUnpublished) -> Track:
    return Track(
        room_sid=fact.room_sid,
        sid=fact.sid,
        session_id=session.session_id,
        participant_sid=fact.participant_sid,
        identity=fact.identity,
        gone=True,
    )


def _published_event(session: Session, track: Track, at: datetime) -> Announce:
    return Announce(
        event=TrackPublishedEvent(
            session_id=session.session_id,
            room_name=session.room_name,
            room_sid=track.room_sid,
            participant=ParticipantRef(sid=track.participant_sid, identity=track.identity),
            track=_wire(track),
            at=at,
        )
    )


def _unpublished_event(session: Session, track: Track, at: datetime) -> Announce:
    return Announce(
        event=TrackUnpublishedEvent(
            session_id=session.session_id,
            room_name=session.room_name,
            room_sid=track.room_sid,
            participant=ParticipantRef(sid=track.participant_sid, identity=track.identity),
            track=_wire(track),
            at=at,
        )
    )


def _wire(track: Track) -> WireTrack:
    return WireTrack(
        sid=track.sid, type=track.type, source=track.source, name=track.name, mime_type=track.mime_type
    )
