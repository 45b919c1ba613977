"""What STT, AI and TTS services tell June about their jobs.

Fields that are not known are ignored, so that a newer service may say more; the known ones are checked.
`error`, `at` and the like may be absent or null. A report that names nothing June knows is still valid.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from schemas.envelope import Envelope
from schemas.errors import TypeUnknown
from schemas.limits import Attempt, Confidence, Flag, Id, Language, OffsetMs, Part, Rule, Text
from schemas.model import Incoming, read_data
from schemas.times import WireTime


class SttState(StrEnum):
    """`running` is the heartbeat that holds the lease; `completed` ends the job for good."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class WorkState(StrEnum):
    """How a turn, or a part to speak, goes on."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


_SttState = Annotated[SttState, Rule(f"must be one of {', '.join(SttState)}")]
_WorkState = Annotated[WorkState, Rule(f"must be one of {', '.join(WorkState)}")]


class Report(Incoming):
    """The data of a report."""

    TYPE: ClassVar[str]


class SttStatus(Report):
    """How an attempt at a job goes."""

    TYPE: ClassVar[str] = "june.stt.status.v1"

    job_id: Id
    attempt: Attempt
    state: _SttState
    error: Text | None = None


class SttSpeechStarted(Report):
    """The voice of a job began to speak."""

    TYPE: ClassVar[str] = "june.stt.speech_started.v1"

    job_id: Id
    at: WireTime | None = None


class SttTranscript(Report):
    """Words of one utterance; only the first final of an `utterance_id` counts."""

    TYPE: ClassVar[str] = "june.stt.transcript.v1"

    job_id: Id
    attempt: Attempt | None = None
    utterance_id: Id
    text: Text
    is_final: Flag
    language: Language | None = None
    confidence: Confidence | None = None
    start_ms: OffsetMs | None = None
    end_ms: OffsetMs | None = None


class AiReply(Report):
    """One part of an answer; parts come in any order, and `is_final` on part n says that there are 0 … n."""

    TYPE: ClassVar[str] = "june.ai.reply.v1"

    turn_id: Id
    attempt: Attempt | None = None
    part: Part
    text: Text
    is_final: Flag


class AiStatus(Report):
    """How an attempt at a turn goes."""

    TYPE: ClassVar[str] = "june.ai.status.v1"

    turn_id: Id
    attempt: Attempt
    state: _WorkState
    error: Text | None = None


class TtsStatus(Report):
    """How an attempt at speaking a part goes."""

    TYPE: ClassVar[str] = "june.tts.status.v1"

    turn_id: Id
    part: Part
    attempt: Attempt
    state: _WorkState
    error: Text | None = None


REPORTS: Mapping[str, type[Report]] = {
    report.TYPE: report
    for report in (SttStatus, SttSpeechStarted, SttTranscript, AiReply, AiStatus, TtsStatus)
}


def parse_report(envelope: Envelope) -> Report:
    """The report in an envelope. Raises TypeUnknown or MessageInvalid."""
    model = REPORTS.get(envelope.type)
    if model is None:
        raise TypeUnknown(envelope.type)
    return read_data(model, envelope.type, envelope.data)
