"""Facts as tests say them: short, with a room and a person that are nearly always the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from schemas.participants import ParticipantKind, TrackSource, TrackType
from schemas.reports import SttSpeechStarted, SttState, SttStatus, SttTranscript
from tests.support import samples
from tests.support.memory_domain import MemoryDomain
from tests.support.samples import START
from worker.domain.facts import (
    ParticipantJoined,
    ParticipantLeft,
    Reported,
    RoomFinished,
    RoomMissing,
    RoomStarted,
    TrackPublished,
    TrackUnpublished,
)
from worker.domain.model import (
    Job,
    ParticipantSid,
    RoomSid,
    Session,
    SessionId,
    SessionState,
    TrackSid,
)
from worker.domain.voices import job_id_of

ROOM = "tea"
RM = "RM_1"
SESSION = "s-1"
LEASE = timedelta(seconds=30)
TICK = timedelta(milliseconds=1)


def room_started(room: str = RM, name: str = ROOM, *, made_at: datetime | None = None) -> RoomStarted:
    return RoomStarted(room_sid=RoomSid(room), room_name=name, at=START, room_created_at=made_at)


def room_finished(room: str = RM, name: str = ROOM) -> RoomFinished:
    return RoomFinished(room_sid=RoomSid(room), room_name=name, at=START)


def room_missing(room: str = RM, name: str = ROOM) -> RoomMissing:
    return RoomMissing(room_sid=RoomSid(room), room_name=name, at=START)


def joined(
    sid: str = "PA_1",
    *,
    room: str = RM,
    identity: str = "ann",
    kind: ParticipantKind = ParticipantKind.STANDARD,
) -> ParticipantJoined:
    return ParticipantJoined(
        room_sid=RoomSid(room),
        room_name=ROOM,
        at=START,
        sid=ParticipantSid(sid),
        identity=identity,
        name="",
        kind=kind,
        metadata="",
    )


def left(sid: str = "PA_1", *, room: str = RM, identity: str = "ann") -> ParticipantLeft:
    return ParticipantLeft(
        room_sid=RoomSid(room), room_name=ROOM, at=START, sid=ParticipantSid(sid), identity=identity
    )


def published(
    sid: str = "TR_1",
    *,
    by: str = "PA_1",
    room: str = RM,
    identity: str = "ann",
    kind: TrackType = TrackType.AUDIO,
    source: TrackSource = TrackSource.MICROPHONE,
) -> TrackPublished:
    return TrackPublished(
        room_sid=RoomSid(room),
        room_name=ROOM,
        at=START,
        sid=TrackSid(sid),
        participant_sid=ParticipantSid(by),
        identity=identity,
        type=kind,
        source=source,
        name="mic",
        mime_type="audio/red",
    )


def unpublished(
    sid: str = "TR_1", *, by: str = "PA_1", room: str = RM, identity: str = "ann"
) -> TrackUnpublished:
    return TrackUnpublished(
        room_sid=RoomSid(room),
        room_name=ROOM,
        at=START,
        sid=TrackSid(sid),
        participant_sid=ParticipantSid(by),
        identity=identity,
    )


def job_id(track: str = "TR_1", room: str = RM) -> str:
    return job_id_of(RoomSid(room), TrackSid(track))


def status(state: SttState, attempt: int = 1, *, by: str = "stt-a", track: str = "TR_1") -> Reported:
    return Reported(source=by, report=SttStatus(job_id=job_id(track), attempt=attempt, state=state))


def running(attempt: int = 1, *, by: str = "stt-a") -> Reported:
    return status(SttState.RUNNING, attempt, by=by)


def failed(attempt: int = 1, *, by: str = "stt-a") -> Reported:
    return status(SttState.FAILED, attempt, by=by)


def completed(attempt: int = 1, *, by: str = "stt-a") -> Reported:
    return status(SttState.COMPLETED, attempt, by=by)


def final(
    text: str = "hello",
    *,
    utterance: str = "u1",
    by: str = "stt-a",
    attempt: int | None = None,
    language: str | None = None,
) -> Reported:
    report = SttTranscript(
        job_id=job_id(),
        attempt=attempt,
        utterance_id=utterance,
        text=text,
        is_final=True,
        language=language,
    )
    return Reported(source=by, report=report)


def partial(text: str = "hel", *, by: str = "stt-a", attempt: int | None = None) -> Reported:
    report = SttTranscript(job_id=job_id(), attempt=attempt, utterance_id="u1", text=text, is_final=False)
    return Reported(source=by, report=report)


def speech_started(*, by: str = "stt-a") -> Reported:
    return Reported(source=by, report=SttSpeechStarted(job_id=job_id()))


def reservation(*, stt_enabled: bool = True, ai_enabled: bool = True) -> Session:
    """A session whose room is being made."""
    return replace(
        samples.SESSION,
        session_id=SessionId(SESSION),
        room_name=ROOM,
        state=SessionState.RESERVED,
        stt_enabled=stt_enabled,
        ai_enabled=ai_enabled,
    )


def the_job(domain: MemoryDomain) -> Job:
    """The only job."""
    (job,) = domain.tables.jobs.values()
    return job


def the_session(domain: MemoryDomain) -> Session:
    """The only session."""
    (session,) = domain.tables.sessions.values()
    return session
