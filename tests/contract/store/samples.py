"""Sessions and what is in them, for tests of the store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from schemas.participants import ParticipantKind, TrackSource, TrackType
from tests.support.samples import SESSION
from worker.application.ports import OutboxMessage
from worker.domain.model import (
    Job,
    JobId,
    Participant,
    ParticipantSid,
    Room,
    RoomSid,
    Session,
    SessionId,
    State,
    Track,
    TrackSid,
)

NOW = datetime(2026, 11, 22, 19, 0, 0, 123_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ROOM = RoomSid("RM_1")


def session(session_id: str = "s1", *, room_name: str | None = None, at: datetime = NOW) -> Session:
    return replace(
        SESSION,
        session_id=SessionId(session_id),
        room_name=room_name or f"room of {session_id}",
        room_sid=ROOM,
        created_at=at,
    )


def room(*, gone: bool = False) -> Room:
    return Room(room_sid=ROOM, room_name="room of s1", session_id=SessionId("s1"), gone=gone)


def participant(sid: str = "PA_1", *, gone: bool = False) -> Participant:
    return Participant(
        room_sid=ROOM,
        sid=ParticipantSid(sid),
        session_id=SessionId("s1"),
        identity="alice",
        name="Alice 😀",
        kind=ParticipantKind.SIP,
        metadata='{"a": "\u0001"}',
        joined_at=NOW,
        gone=gone,
    )


def track(sid: str = "TR_1", *, of: str = "PA_1", gone: bool = False) -> Track:
    return Track(
        room_sid=ROOM,
        sid=TrackSid(sid),
        session_id=SessionId("s1"),
        participant_sid=ParticipantSid(of),
        identity="alice",
        type=TrackType.AUDIO,
        source=TrackSource.MICROPHONE,
        mime_type="audio/opus",
        announced=True,
        gone=gone,
    )


def job(job_id: str = "job_1", *, of: str = "PA_1") -> Job:
    return Job(
        job_id=JobId(job_id),
        session_id=SessionId("s1"),
        room_sid=ROOM,
        room_name="room of s1",
        track_sid=TrackSid("TR_1"),
        participant_sid=ParticipantSid(of),
        identity="alice",
        participant_name="Alice",
        kind=ParticipantKind.STANDARD,
        source=TrackSource.MICROPHONE,
        mime_type="audio/opus",
        language="en",
        deadline=NOW + SECOND,
    )


def message(message_id: str = "m1", *, cause: str = "c1", at: datetime = NOW) -> OutboxMessage:
    return OutboxMessage(
        message_id=message_id,
        session_id="s1",
        cause=cause,
        correlation_id="command-1",
        exchange="june.events",
        routing_key="june.session.created.v1",
        type="june.session.created.v1",
        body=b'{"text": "\xf0\x9f\x98\x80 \\u0000"}',
        created_at=at,
        expires_after=timedelta(seconds=30),
    )


def counted(before: Session) -> tuple[State, State]:
    """A change that takes the next sequence number."""
    return State(session=before), State(session=replace(before, sequence=before.sequence + 1))
