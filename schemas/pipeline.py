"""Work for STT, AI and TTS services, and the word to stop it.

A job's `expires_at` is its `time` plus `lease_s`. A stop or cancel means `attempt` and the ones before it
(None: all), and `instance`, or whoever has the job when that is None. Tokens never appear in a repr.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from schemas.model import Message, Wire
from schemas.participants import Speaker, VoiceOwner, VoiceTrack
from schemas.times import WireTime


class StopReason(StrEnum):
    """Why an STT job is not wanted any more."""

    TRACK_UNPUBLISHED = "track_unpublished"
    PARTICIPANT_LEFT = "participant_left"
    ROOM_FINISHED = "room_finished"
    ROOM_LOST = "room_lost"
    SESSION_DELETED = "session_deleted"
    SUPERSEDED = "superseded"


class CancelReason(StrEnum):
    """Why a turn, or what is spoken of it, is not wanted any more."""

    BARGE_IN = "barge_in"
    PARTICIPANT_LEFT = "participant_left"
    SESSION_ENDED = "session_ended"
    SUPERSEDED = "superseded"


class HistoryRole(StrEnum):
    """Whose words an entry of the history holds."""

    USER = "user"
    ASSISTANT = "assistant"


class ReportTo(Wire):
    """Where the reports on a job go; it leads into the partition of the job's room."""

    exchange: str
    routing_key: str


class HistoryEntry(Wire):
    """Something that was said earlier. `identity` is None for the assistant."""

    role: HistoryRole
    identity: str | None
    text: str
    at: WireTime


class SttStart(Message):
    """Transcribe one human voice, until told to stop."""

    TYPE: ClassVar[str] = "june.stt.start.v1"

    job_id: str
    attempt: int
    session_id: str
    room_name: str
    room_sid: str
    participant: VoiceOwner
    track: VoiceTrack
    language: str
    livekit_url: str
    token: str = Field(repr=False)
    lease_s: int
    expires_at: WireTime
    report_to: ReportTo


class SttStop(Message):
    """Stop transcribing; taking it twice, or before the start, is harmless."""

    TYPE: ClassVar[str] = "june.stt.stop.v1"

    job_id: str
    attempt: int | None
    instance: str | None
    session_id: str
    track_sid: str
    reason: StopReason


class AiTurn(Message):
    """Answer what a person said. `history` is older than `text`, and in order."""

    TYPE: ClassVar[str] = "june.ai.turn.v1"

    turn_id: str
    attempt: int
    session_id: str
    room_name: str
    participant: Speaker
    utterance_id: str
    text: str
    language: str
    history: tuple[HistoryEntry, ...]
    lease_s: int
    expires_at: WireTime
    report_to: ReportTo


class AiCancel(Message):
    """Stop answering."""

    TYPE: ClassVar[str] = "june.ai.cancel.v1"

    turn_id: str
    attempt: int | None
    instance: str | None
    session_id: str
    reason: CancelReason


class TtsSpeak(Message):
    """Speak one part of an answer into the room."""

    TYPE: ClassVar[str] = "june.tts.speak.v1"

    turn_id: str
    part: int
    attempt: int
    session_id: str
    room_name: str
    text: str
    language: str
    livekit_url: str
    token: str = Field(repr=False)
    lease_s: int
    expires_at: WireTime
    report_to: ReportTo


class TtsCancel(Message):
    """Stop speaking the parts of a turn."""

    TYPE: ClassVar[str] = "june.tts.cancel.v1"

    turn_id: str
    attempt: int | None
    instance: str | None
    session_id: str
    reason: CancelReason


PIPELINE_MESSAGES: tuple[type[Message], ...] = (SttStart, SttStop, AiTurn, AiCancel, TtsSpeak, TtsCancel)
