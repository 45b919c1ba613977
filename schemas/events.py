"""What happened, for any subscriber.

Each sid joins once and leaves once, in that order; June's own bots never appear.
"""

from enum import StrEnum
from typing import ClassVar, Literal

from schemas.model import Message
from schemas.participants import Participant, ParticipantRef, Track
from schemas.pipeline import StopReason
from schemas.sessions import SessionView
from schemas.times import WireTime


class JobState(StrEnum):
    """An STT job as seen from outside: given and not begun, held by an instance, or over."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


JobEndReason = StopReason | Literal["completed"]


class SessionCreated(Message):
    """A session exists, and its room."""

    TYPE: ClassVar[str] = "june.session.created.v1"

    session: SessionView


class SessionStarted(Message):
    """The first participant is there."""

    TYPE: ClassVar[str] = "june.session.started.v1"

    session: SessionView


class SessionEnded(Message):
    """The session is over, for good."""

    TYPE: ClassVar[str] = "june.session.ended.v1"

    session: SessionView


class ParticipantJoined(Message):
    """A participant is in the room."""

    TYPE: ClassVar[str] = "june.participant.joined.v1"

    session_id: str
    room_name: str
    room_sid: str
    participant: Participant
    at: WireTime


class ParticipantLeft(Message):
    """A participant that had joined is gone."""

    TYPE: ClassVar[str] = "june.participant.left.v1"

    session_id: str
    room_name: str
    room_sid: str
    participant: Participant
    at: WireTime


class TrackPublished(Message):
    """A participant publishes a track."""

    TYPE: ClassVar[str] = "june.track.published.v1"

    session_id: str
    room_name: str
    room_sid: str
    participant: ParticipantRef
    track: Track
    at: WireTime


class TrackUnpublished(Message):
    """A track that was published is gone."""

    TYPE: ClassVar[str] = "june.track.unpublished.v1"

    session_id: str
    room_name: str
    room_sid: str
    participant: ParticipantRef
    track: Track
    at: WireTime


class TranscriptAdded(Message):
    """Someone said something, and it is final. Offsets are the service's own, None where it gave none."""

    TYPE: ClassVar[str] = "june.transcript.added.v1"

    session_id: str
    utterance_id: str
    participant: ParticipantRef
    text: str
    language: str
    confidence: float | None
    start_ms: int | None
    end_ms: int | None


class JobChanged(Message):
    """An STT job changed its state. `reason` is None until it ended."""

    TYPE: ClassVar[str] = "june.job.changed.v1"

    session_id: str
    job_id: str
    participant: ParticipantRef
    track_sid: str
    state: JobState
    attempt: int
    reason: JobEndReason | None


class TurnCompleted(Message):
    """A turn is over. `spoken` is true when all of its answer was spoken to the end."""

    TYPE: ClassVar[str] = "june.turn.completed.v1"

    session_id: str
    turn_id: str
    text: str
    spoken: bool


EVENT_MESSAGES: tuple[type[Message], ...] = (
    SessionCreated,
    SessionStarted,
    SessionEnded,
    ParticipantJoined,
    ParticipantLeft,
    TrackPublished,
    TrackUnpublished,
    TranscriptAdded,
    JobChanged,
    TurnCompleted,
)
