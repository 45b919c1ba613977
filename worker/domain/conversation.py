"""What a session remembers of its talk: the turn in the making, what was said meanwhile, and the history.

Promises: values only, frozen; one document of bounded size (see `turn_bounds`); `from_json(to_json(c)) == c`;
documents of older and newer versions load: every field that is added has a default, unknown ones are ignored.
Refuses: decisions (`turns`) and I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter

from worker.domain.effects import HistoryEntry
from worker.domain.model import JobId, ParticipantSid, SessionId, TurnId


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """A final transcript. `at` is when it was said or, for want of that, when it was reported."""

    job_id: JobId
    utterance_id: str
    participant_sid: ParticipantSid
    identity: str
    participant_name: str
    text: str
    language: str | None
    at: datetime


class PartFate(StrEnum):
    """How far a part of an answer came."""

    WAITING = "waiting"
    """Not over: not given to TTS yet, or TTS has it."""
    SPOKEN = "spoken"
    """Spoken to its end (or empty, so that there was nothing to speak)."""
    BEGUN = "begun"
    """Over, and some of it was heard."""
    LOST = "lost"
    """Over, and nobody was heard to begin it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of an answer. `speaker` is the TTS instance that had it last."""

    number: int
    text: str
    fate: PartFate = PartFate.WAITING
    speaker: str | None = None


@dataclass(frozen=True, kw_only=True)
class Speech:
    """The part that TTS has now. `begun` holds over attempts: it was heard, whoever said it."""

    part: int
    deadline: datetime
    attempt: int = 1
    holder: str | None = None
    begun: bool = False


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The turn in the making: what was said, the answer so far, and who has it."""

    turn_id: TurnId
    words: Utterance
    """What is asked: the last utterance, with the texts of all that were joined."""
    speakers: tuple[ParticipantSid, ...]
    """Whose words these are, without those who have left since."""
    deadline: datetime
    """When the AI's lease runs out; means nothing once the answer is complete."""
    attempt: int = 1
    holder: str | None = None
    """The AI instance that reported first on this attempt."""
    parts: tuple[Part, ...] = ()
    """By number, each once; there may be gaps."""
    last: int | None = None
    """The number of the answer's last part; -1 when there is no answer; `None` while it is not known."""
    cut: bool = False
    """The answer was given up, and ends where its first gap was."""
    through: bool = False
    """The AI said that it is through: it is not asked again. Parts may still be on their way."""
    speech: Speech | None = None

    @property
    def answered(self) -> bool:
        """Whether every part of the answer is there."""
        return self.last is not None and len(self.parts) == self.last + 1


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The turn before, when its answer came whole, so that an echo of that is told from a late answer."""

    turn_id: TurnId
    holder: str | None
    last: int


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """The talk of one session."""

    session_id: SessionId
    turns: int = 0
    """How many turns there were, for their ids."""
    turn: Turn | None = None
    """At most one is in the making."""
    waiting: tuple[Utterance, ...] = ()
    """Said while a turn was in the making; the next turn's words."""
    history: tuple[HistoryEntry, ...] = ()
    """Oldest first, without the turn in the making."""
    answered: Answered | None = None
    wake_at: datetime | None = None
    """For when a wake was asked that has not come yet."""


_DOCUMENT = TypeAdapter(Conversation)


def to_json(conversation: Conversation) -> str:
    """The document to store."""
    return _DOCUMENT.dump_json(conversation).decode()


def from_json(document: str) -> Conversation:
    """The conversation of a stored document. Raises `ValueError` for what `to_json` never made."""
    return _DOCUMENT.validate_json(document)
