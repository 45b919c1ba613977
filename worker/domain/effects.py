"""What a decision asks for. Effects are stored with the state, in one transaction, and carried out after it.

Promises: order within one decision is the order of the messages. Refuses: message ids, sequence numbers,
tokens and bytes: the application gives those when it stores them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schemas.model import Message
from schemas.pipeline import AiCancel, SttStop, TtsCancel
from worker.domain.model import Job, Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Announce:
    """Publish an event; its `session` or ids are complete, as the state is after the decision."""

    event: Message


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnounceSession:
    """Publish `june.session.<what>.v1` with `session`, as it was at that step.

    One decision may create and start a session, and each event shows its own status.
    """

    what: Literal["created", "started", "ended"]
    session: Session


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferJob:
    """Publish `june.stt.start.v1` for the job's attempt, with a fresh token."""

    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Broadcast:
    """Publish a stop or a cancel to every instance."""

    message: SttStop | AiCancel | TtsCancel


@dataclass(frozen=True, kw_only=True, slots=True)
class AskAi:
    """Publish `june.ai.turn.v1`. `history` is without the turn's own text, oldest first, bounded."""

    turn_id: str
    attempt: int
    participant_sid: str
    identity: str
    participant_name: str
    utterance_id: str
    text: str
    language: str | None
    history: tuple[HistoryEntry, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryEntry:
    """One thing said. `role` is `user` or `assistant`; `identity` is `None` for the assistant."""

    role: str
    identity: str | None
    text: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Speak:
    """Publish `june.tts.speak.v1` for one part of an answer, with a fresh token."""

    turn_id: str
    part: int
    attempt: int
    text: str
    language: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseRoom:
    """Delete the LiveKit room of this name, unless a live session has it by then. Repeated until done."""

    room_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveParticipant:
    """Take the identity out of the LiveKit room. Repeated until LiveKit did; absent is done."""

    room_name: str
    identity: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Wake:
    """Give the domain `TimeCame(key)` at `at` or soon after. A later `Wake` of the same key replaces it."""

    key: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Nothing to do but to count, under this name: `unknown_room`, `late_report`, `unknown_report` …"""

    name: str


Effect = (
    Announce
    | AnnounceSession
    | OfferJob
    | Broadcast
    | AskAi
    | Speak
    | CloseRoom
    | RemoveParticipant
    | Wake
    | Count
)
