"""The spoken side of a turn: parts go to TTS in order, one at a time, each at most twice.

Promises: pure; the next part follows when the one before is completed or given up; an empty part counts as spoken. What
TTS was once heard to begin stays begun, whatever comes of it.
Refuses: to take parts in, to complete a turn.
"""

from __future__ import annotations

from typing import assert_never

from schemas.pipeline import CancelReason
from schemas.reports import TtsStatus, WorkState
from worker.domain.conversation import Part, PartFate, Speech, Turn
from worker.domain.copies import replace
from worker.domain.effects import Count, Speak
from worker.domain.leases import has_come
from worker.domain.turn_context import MOST_ATTEMPTS, Context, Effects, Standing, Step, standing, tts_cancel


def is_blank(part: Part) -> bool:
    """Whether there is nothing to speak in it."""
    return not part.text.strip()


def speak_on(turn: Turn, context: Context) -> Step:
    """Give TTS the next part, when it has none and there is one."""
    while turn.speech is None and (part := _next(turn)) is not None:
        if not is_blank(part):
            speech = Speech(part=part.number, deadline=context.deadline)
            return replace(turn, speech=speech), (_speak(turn, speech),)
        turn = _with_fate(turn, part.number, PartFate.SPOKEN, None)
    return turn, ()


def tts_told(turn: Turn, status: TtsStatus, source: str, context: Context) -> Step:
    """TTS said how a part goes."""
    speech = turn.speech
    if speech is None or speech.part != status.part:
        return turn, _of_another_part(turn, status, source, context)
    match standing(attempt=status.attempt, source=source, current=speech.attempt, holder=speech.holder):
        case Standing.UNKNOWN:
            return turn, (Count(name="unknown_report"),)
        case Standing.STALE:
            working = status.state is WorkState.RUNNING
            return turn, _stop(turn, status, source, context) if working else ()
        case Standing.HOLDS:
            return _went_on(turn, speech, status.state, source, context)
        case other:
            assert_never(other)


def tts_silent(turn: Turn, context: Context) -> Step:
    """Time passed: TTS that let its lease run out has lost the attempt."""
    if turn.speech is None or not has_come(turn.speech.deadline, context.now):
        return turn, ()
    return _lost(turn, turn.speech, context)


def _next(turn: Turn) -> Part | None:
    for number, part in enumerate(turn.parts):
        if part.number != number:
            return None
        if part.fate is PartFate.WAITING:
            return part
    return None


def _speak(turn: Turn, speech: Speech) -> Speak:
    return Speak(
        turn_id=turn.turn_id,
        part=speech.part,
        attempt=speech.attempt,
        # A part in speech has no gap before it, so its number is its place.
        text=turn.parts[speech.part].text,
        language=turn.words.language,
    )


def _went_on(turn: Turn, speech: Speech, state: WorkState, source: str, context: Context) -> Step:
    match state:
        case WorkState.RUNNING:
            held = replace(speech, holder=source, begun=True, deadline=context.deadline)
            return replace(turn, speech=held), ()
        case WorkState.COMPLETED:
            return _with_fate(turn, speech.part, PartFate.SPOKEN, source), ()
        case WorkState.CANCELLED:
            return _with_fate(turn, speech.part, _unfinished(speech), source), ()
        case WorkState.FAILED:
            return _lost(turn, speech, context)
        case other:
            assert_never(other)


def _lost(turn: Turn, speech: Speech, context: Context) -> Step:
    if speech.attempt >= MOST_ATTEMPTS:
        return _with_fate(turn, speech.part, _unfinished(speech), speech.holder), ()
    again = replace(speech, attempt=speech.attempt + 1, holder=None, deadline=context.deadline)
    return replace(turn, speech=again), (_speak(turn, again),)


def _unfinished(speech: Speech) -> PartFate:
    return PartFate.BEGUN if speech.begun else PartFate.LOST


def _with_fate(turn: Turn, number: int, fate: PartFate, speaker: str | None) -> Turn:
    over = replace(turn.parts[number], fate=fate, speaker=speaker)
    return replace(turn, speech=None, parts=(*turn.parts[:number], over, *turn.parts[number + 1 :]))


def _of_another_part(turn: Turn, status: TtsStatus, source: str, context: Context) -> Effects:
    part = next((each for each in turn.parts if each.number == status.part), None)
    if part is None or part.fate is PartFate.WAITING:
        return (Count(name="unknown_report"),)
    if status.state is not WorkState.RUNNING:
        return ()
    # A cancel names no part, so it would stop as well what this instance rightly has.
    holds_current = turn.speech is not None and turn.speech.holder == source
    finished_it = part.fate is PartFate.SPOKEN and part.speaker == source
    return () if holds_current or finished_it else _stop(turn, status, source, context)


def _stop(turn: Turn, status: TtsStatus, source: str, context: Context) -> Effects:
    superseded = CancelReason.SUPERSEDED
    return (
        tts_cancel(context.session_id, turn.turn_id, superseded, attempt=status.attempt, instance=source),
    )
