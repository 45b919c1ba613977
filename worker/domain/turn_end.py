"""How a turn ends: what its completion says, who is told to stop, and what of it is remembered.

Promises: pure; `june.turn.completed.v1` is announced here and nowhere else, when the turn leaves the conversation.
Refuses: to begin the next turn.
"""

from __future__ import annotations

from datetime import datetime

from schemas.events import TurnCompleted
from schemas.pipeline import CancelReason
from schemas.reports import AiReply, AiStatus, TtsStatus, WorkState
from worker.domain.conversation import Answered, Conversation, PartFate, Turn
from worker.domain.copies import replace
from worker.domain.effects import Announce, HistoryEntry
from worker.domain.model import Session, SessionId, TurnId
from worker.domain.turn_bounds import remember
from worker.domain.turn_context import Effects, ai_cancel, tts_cancel
from worker.domain.turn_speech import is_blank


def cancelled(
    talk: Conversation, turn: Turn, reason: CancelReason, session: Session, now: datetime
) -> tuple[Conversation, Effects]:
    """The AI stops unless its answer is all there, TTS unless all of that is spoken; then the turn is over."""
    effects: Effects = ()
    if not turn.answered:
        effects += (ai_cancel(session.session_id, turn.turn_id, reason),)
    unspoken = any(part.fate is PartFate.WAITING and not is_blank(part) for part in turn.parts)
    if session.ai_speak and unspoken:
        effects += (tts_cancel(session.session_id, turn.turn_id, reason),)
    talk, announced = completed(talk, turn, session, now)
    return talk, effects + announced


def completed(
    talk: Conversation, turn: Turn, session: Session, now: datetime
) -> tuple[Conversation, Effects]:
    text = _text(turn, speak=session.ai_speak)
    whole = turn.answered and all(part.fate is PartFate.SPOKEN for part in turn.parts)
    event = TurnCompleted(
        session_id=session.session_id,
        turn_id=turn.turn_id,
        text=text,
        spoken=session.ai_speak and whole and text != "",
    )
    words = turn.words
    entries = [HistoryEntry(role="user", identity=words.identity, text=words.text, at=words.at)]
    if text:
        entries.append(HistoryEntry(role="assistant", identity=None, text=text, at=now))
    talk = replace(
        talk,
        turn=None,
        history=remember(talk.history, entries),
        answered=_answered(turn),
    )
    return talk, (Announce(event=event),)


def _text(turn: Turn, *, speak: bool) -> str:
    """What was heard of the answer; with no speech, the answer as far as it has no gap."""
    there = [part for number, part in enumerate(turn.parts) if part.number == number]
    if speak:
        begun = turn.speech.part if turn.speech is not None and turn.speech.begun else None
        heard = {PartFate.SPOKEN, PartFate.BEGUN}
        there = [part for part in there if part.fate in heard or part.number == begun]
    return " ".join(part.text for part in there if not is_blank(part))


def _answered(turn: Turn) -> Answered | None:
    if turn.last is None or turn.cut or not turn.answered:
        return None
    return Answered(turn_id=turn.turn_id, holder=turn.holder, last=turn.last)


def too_late(
    session_id: SessionId, talk: Conversation | None, report: AiReply | AiStatus | TtsStatus, source: str
) -> Effects:
    """Who is still at work on a turn that is over is told to stop; last words about it are of no harm."""
    if not isinstance(report, AiReply) and report.state is not WorkState.RUNNING:
        return ()
    if _is_echo(talk, report, source):
        return ()
    cancel = tts_cancel if isinstance(report, TtsStatus) else ai_cancel
    turn_id, superseded = TurnId(report.turn_id), CancelReason.SUPERSEDED
    return (cancel(session_id, turn_id, superseded, attempt=report.attempt, instance=source),)


def _is_echo(talk: Conversation | None, report: AiReply | AiStatus | TtsStatus, source: str) -> bool:
    """Whether it repeats an answer that was taken whole: its sender is through, there is nothing to stop."""
    answered = talk.answered if talk is not None else None
    if answered is None or isinstance(report, TtsStatus):
        return False
    mine = (answered.turn_id, answered.holder) == (report.turn_id, source)
    return mine and (isinstance(report, AiStatus) or report.part <= answered.last)
