"""What the answer and the speech of a turn have in common: around them, who holds what, and how to say stop.

Promises: values and pure functions. Refuses: to change a turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from schemas.pipeline import AiCancel, CancelReason, TtsCancel
from worker.domain.conversation import Turn
from worker.domain.effects import Broadcast, Effect, HistoryEntry
from worker.domain.model import SessionId, TurnId

Effects = tuple[Effect, ...]
Step = tuple[Turn, Effects]

MOST_ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a step of a turn depends on besides the turn. `speak`: whether answers are spoken."""

    session_id: SessionId
    history: tuple[HistoryEntry, ...]
    speak: bool
    now: datetime
    lease: timedelta

    @property
    def deadline(self) -> datetime:
        """The end of a lease that begins now."""
        return self.now + self.lease


class Standing(Enum):
    """What a reporter is to an attempt."""

    HOLDS = auto()
    """It has it, or is the first to say so."""
    STALE = auto()
    """It has an earlier attempt, or one that another instance holds."""
    UNKNOWN = auto()
    """It names an attempt that was never given."""


def standing(*, attempt: int | None, source: str, current: int, holder: str | None) -> Standing:
    """How a report by `source` on `attempt` stands to the current one. `None` means the current one."""
    if attempt is not None and attempt > current:
        return Standing.UNKNOWN
    if attempt is not None and attempt < current:
        return Standing.STALE
    return Standing.HOLDS if holder in {None, source} else Standing.STALE


def ai_cancel(
    session_id: SessionId,
    turn_id: TurnId,
    reason: CancelReason,
    *,
    attempt: int | None = None,
    instance: str | None = None,
) -> Broadcast:
    """Stop answering. `None`: all attempts, whoever has them."""
    return Broadcast(
        message=AiCancel(
            turn_id=turn_id, attempt=attempt, instance=instance, session_id=session_id, reason=reason
        )
    )


def tts_cancel(
    session_id: SessionId,
    turn_id: TurnId,
    reason: CancelReason,
    *,
    attempt: int | None = None,
    instance: str | None = None,
) -> Broadcast:
    """Stop speaking. `None`: all attempts, whoever has them."""
    return Broadcast(
        message=TtsCancel(
            turn_id=turn_id, attempt=attempt, instance=instance, session_id=session_id, reason=reason
        )
    )
