"""The AI's side of a turn: parts come in any order and doubled, an attempt is lost, the answer is complete or given up.

Promises: pure; a turn is asked at most twice, and not again once a part of its answer came. The holder's report, and
anybody's on an attempt that nobody holds, counts; who else says that it is at work is told to stop.
Refuses: to speak a part, to complete a turn.
"""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from schemas.pipeline import CancelReason
from schemas.reports import AiReply, AiStatus, WorkState
from worker.domain.conversation import Part, PartFate, Turn
from worker.domain.copies import replace
from worker.domain.effects import AskAi, Count
from worker.domain.leases import has_come
from worker.domain.turn_bounds import has_room
from worker.domain.turn_context import MOST_ATTEMPTS, Context, Effects, Standing, Step, ai_cancel, standing
from worker.domain.turn_speech import is_blank

_UNDER_WAY = timedelta(seconds=1)
"""For how long after an AI's `completed` its parts may still come: reports may overtake one another."""


def ask(turn: Turn, context: Context) -> AskAi:
    """The turn's current attempt, as the AI is given it."""
    words = turn.words
    return AskAi(
        turn_id=turn.turn_id,
        attempt=turn.attempt,
        participant_sid=words.participant_sid,
        identity=words.identity,
        participant_name=words.participant_name,
        utterance_id=words.utterance_id,
        text=words.text,
        language=words.language,
        history=context.history,
    )


def replied(turn: Turn, reply: AiReply, source: str, context: Context) -> Step:
    """A part of the answer came."""
    match _standing(turn, reply.attempt, source):
        case Standing.UNKNOWN:
            return turn, (Count(name="unknown_report"),)
        case Standing.STALE:
            return turn, _stop(turn, reply.attempt, source, context)
        case Standing.HOLDS:
            return _taken(turn, reply, source, context)
        case other:
            assert_never(other)


def ai_told(turn: Turn, status: AiStatus, source: str, context: Context) -> Step:
    """The AI said how it goes."""
    match _standing(turn, status.attempt, source):
        case Standing.UNKNOWN:
            return turn, (Count(name="unknown_report"),)
        case Standing.STALE:
            working = status.state is WorkState.RUNNING
            return turn, _stop(turn, status.attempt, source, context) if working else ()
        case Standing.HOLDS:
            return _went_on(turn, status.state, source, context)
        case other:
            assert_never(other)


def ai_silent(turn: Turn, context: Context) -> Step:
    """Time passed: an AI that let its lease run out has lost the attempt."""
    if turn.answered or not has_come(turn.deadline, context.now):
        return turn, ()
    return _lost(turn, context)


def _standing(turn: Turn, attempt: int | None, source: str) -> Standing:
    return standing(attempt=attempt, source=source, current=turn.attempt, holder=turn.holder)


def _stop(turn: Turn, attempt: int | None, source: str, context: Context) -> Effects:
    named = turn.attempt if attempt is None else attempt
    return (
        ai_cancel(context.session_id, turn.turn_id, CancelReason.SUPERSEDED, attempt=named, instance=source),
    )


def _taken(turn: Turn, reply: AiReply, source: str, context: Context) -> Step:
    if turn.cut:
        return turn, _stop(turn, reply.attempt, source, context)
    if turn.last is not None and reply.part > turn.last:
        return turn, (Count(name="late_report"),)
    grown = turn
    if all(part.number != reply.part for part in turn.parts):
        if not has_room(turn.parts, reply.text):
            return turn, (Count(name="answer_too_long"),)
        grown = _with_part(turn, Part(number=reply.part, text=reply.text))
    if reply.is_final and _may_end_at(turn, reply.part):
        grown = _ending_at(grown, reply.part)
    return _renewed(grown, source, context), ()


def _went_on(turn: Turn, state: WorkState, source: str, context: Context) -> Step:
    if turn.cut and state is WorkState.RUNNING:
        return turn, _stop(turn, turn.attempt, source, context)
    if turn.answered:
        return turn, ()
    match state:
        case WorkState.RUNNING:
            return _renewed(turn, source, context), ()
        case WorkState.COMPLETED:
            return _renewed(replace(turn, through=True), source, context), ()
        case WorkState.CANCELLED:
            return _cut(turn), ()
        case WorkState.FAILED:
            return _lost(turn, context)
        case other:
            assert_never(other)


def _renewed(turn: Turn, source: str, context: Context) -> Turn:
    # A part that is known to be missing is waited for until the lease is over, one that might be for a moment.
    missing = turn.last is not None or len(turn.parts) != max((p.number + 1 for p in turn.parts), default=0)
    deadline = context.now + _UNDER_WAY if turn.through and not missing else context.deadline
    return replace(turn, holder=source, deadline=deadline)


def _with_part(turn: Turn, part: Part) -> Turn:
    return replace(turn, parts=tuple(sorted((*turn.parts, part), key=lambda each: each.number)))


def _may_end_at(turn: Turn, last: int) -> bool:
    """The first word on it counts, unless it comes as a copy of a part beyond which something is spoken already."""
    spoken = [part for part in turn.parts if part.fate is not PartFate.WAITING and not is_blank(part)]
    current = -1 if turn.speech is None else turn.speech.part
    return turn.last is None and all(part.number <= last for part in spoken) and current <= last


def _ending_at(turn: Turn, last: int) -> Turn:
    return replace(turn, last=last, parts=tuple(part for part in turn.parts if part.number <= last))


def _lost(turn: Turn, context: Context) -> Step:
    if turn.parts or turn.through or turn.attempt >= MOST_ATTEMPTS:
        return _cut(turn), ()
    again = replace(turn, attempt=turn.attempt + 1, holder=None, deadline=context.deadline)
    return again, (ask(again, context),)


def _cut(turn: Turn) -> Turn:
    """The answer ends before its first gap: what is behind it makes no sense alone."""
    there = [number == part.number for number, part in enumerate(turn.parts)]
    length = there.index(False) if False in there else len(there)
    return replace(turn, parts=turn.parts[:length], last=length - 1, cut=True)
