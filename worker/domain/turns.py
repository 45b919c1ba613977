"""Turns of a session: what is said becomes a turn, its answer is spoken, and it completes, once.

Promises: pure. At most one turn of a session is in the making, and each completes exactly once: by its answer, by
giving up or by a cancel; then what was said meanwhile is the next one. Reports and moments may come doubled, late, or
for what is over.
Refuses: STT jobs and transcripts; blank words, and words after the session's end, begin nothing.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import assert_never

from schemas.pipeline import CancelReason
from schemas.reports import AiReply, AiStatus, TtsStatus
from worker.domain.conversation import Conversation, PartFate, Turn, Utterance
from worker.domain.copies import replace
from worker.domain.effects import Count, Wake
from worker.domain.facts import Reported
from worker.domain.model import ParticipantSid, Session, SessionId, State, TurnId, TurnRef
from worker.domain.policy import Policy
from worker.domain.turn_answer import ai_silent, ai_told, ask, replied
from worker.domain.turn_bounds import put_waiting
from worker.domain.turn_context import Context, Effects, Step
from worker.domain.turn_end import cancelled, completed, too_late
from worker.domain.turn_speech import speak_on, tts_silent, tts_told

WAKE_KEY = "turn"
"""The one moment that the turns of a session ask for."""

_TICK = timedelta(milliseconds=1)


def said(state: State, utterance: Utterance, now: datetime, policy: Policy) -> tuple[State, Effects]:
    """Somebody said something, finally: the next turn, at once or when the one in the making is over."""
    session = state.session
    if session is None or not session.live or not utterance.text.strip():
        return state, ()
    talk = state.conversation or Conversation(session_id=session.session_id)
    talk = replace(talk, waiting=put_waiting(talk.waiting, utterance))
    return _settled(state, session, talk, (), now, policy)


def speech_started(state: State, now: datetime, policy: Policy) -> tuple[State, Effects]:
    """A person began to speak: barge-in, when a turn is thought or spoken."""
    session, talk = state.session, state.conversation
    if session is None or talk is None or talk.turn is None:
        return state, ()
    talk, effects = cancelled(talk, talk.turn, CancelReason.BARGE_IN, session, now)
    return _settled(state, session, talk, effects, now, policy)


def participant_left(
    state: State, participant_sid: ParticipantSid, now: datetime, policy: Policy
) -> tuple[State, Effects]:
    """Their waiting words are dropped; the turn is cancelled when nobody whose words it holds is left."""
    session, talk = state.session, state.conversation
    if session is None or talk is None:
        return state, ()
    waiting = tuple(words for words in talk.waiting if words.participant_sid != participant_sid)
    talk = replace(talk, waiting=waiting)
    effects: Effects = ()
    turn = talk.turn
    if turn is not None and participant_sid in turn.speakers:
        speakers = tuple(sid for sid in turn.speakers if sid != participant_sid)
        turn = replace(turn, speakers=speakers)
        talk = replace(talk, turn=turn)
        if not speakers:
            talk, effects = cancelled(talk, turn, CancelReason.PARTICIPANT_LEFT, session, now)
    return _settled(state, session, talk, effects, now, policy)


def ended(state: State, now: datetime, policy: Policy) -> tuple[State, Effects]:
    """The session ends: the turn in the making is cancelled, what waits is dropped. To be told before the end is."""
    session, talk = state.session, state.conversation
    if session is None or talk is None:
        return state, ()
    talk = replace(talk, waiting=())
    effects: Effects = ()
    if talk.turn is not None:
        talk, effects = cancelled(talk, talk.turn, CancelReason.SESSION_ENDED, session, now)
    return _settled(state, session, talk, effects, now, policy)


def reported(state: State, fact: Reported, now: datetime, policy: Policy) -> tuple[State, Effects]:
    """The AI or TTS reported. On a turn that is over, whoever is still at work is told to stop."""
    report, session, talk = fact.report, state.session, state.conversation
    if not isinstance(report, AiReply | AiStatus | TtsStatus):
        raise TypeError(f"{type(report).__name__} is no report on a turn")
    if session is None or report.turn_id not in state.turns:
        return state, (Count(name="unknown_report"),)
    turn = talk.turn if talk is not None else None
    if talk is None or turn is None or turn.turn_id != report.turn_id:
        return state, too_late(session.session_id, talk, report, fact.source)
    context = _context(session, talk, now, policy)
    turn, effects = _heard(turn, report, fact.source, context)
    return _settled(state, session, replace(talk, turn=turn), effects, now, policy)


def time_came(state: State, key: str, now: datetime, policy: Policy) -> tuple[State, Effects]:
    """A moment that was asked for: a lease that is over by now is lost. Too early, it asks for the right moment."""
    session, talk = state.session, state.conversation
    if key != WAKE_KEY or session is None or talk is None or talk.turn is None:
        return state, ()
    context = _context(session, talk, now, policy)
    turn, of_ai = ai_silent(talk.turn, context)
    turn, of_tts = tts_silent(turn, context)
    talk = replace(talk, turn=turn)
    return _settled(state, session, talk, of_ai + of_tts, now, policy, woken=True)


def _heard(turn: Turn, report: AiReply | AiStatus | TtsStatus, source: str, context: Context) -> Step:
    match report:
        case AiReply():
            return replied(turn, report, source, context)
        case AiStatus():
            return ai_told(turn, report, source, context)
        case TtsStatus():
            return tts_told(turn, report, source, context)
        case _:
            assert_never(report)


def _context(session: Session, talk: Conversation, now: datetime, policy: Policy) -> Context:
    return Context(
        session_id=session.session_id,
        history=talk.history,
        speak=session.ai_speak,
        now=now,
        lease=policy.lease,
    )


def _settled(
    state: State,
    session: Session,
    talk: Conversation,
    effects: Effects,
    now: datetime,
    policy: Policy,
    *,
    woken: bool = False,
) -> tuple[State, Effects]:
    """What follows of itself: the next part, the turn's end, the next turn, and the moment to look again."""
    if talk.turn is not None:
        talk, more = _went_on(talk, talk.turn, session, _context(session, talk, now, policy))
        effects += more
    turns = dict(state.turns)
    begins = talk.turn is None and bool(talk.waiting)
    if begins:
        talk, turn = _begun(talk, now, policy)
        turns[turn.turn_id] = TurnRef(
            turn_id=turn.turn_id, session_id=session.session_id, room_name=session.room_name
        )
        effects += (ask(turn, _context(session, talk, now, policy)),)
    talk, wake = _watched(talk, now, anew=begins, woken=woken)
    return replace(state, conversation=talk, turns=turns), effects + wake


def _went_on(
    talk: Conversation, turn: Turn, session: Session, context: Context
) -> tuple[Conversation, Effects]:
    effects: Effects = ()
    if context.speak:
        turn, effects = speak_on(turn, context)
    talk = replace(talk, turn=turn)
    spoken_through = all(part.fate is not PartFate.WAITING for part in turn.parts)
    if turn.answered and (spoken_through or not context.speak):
        talk, announced = completed(talk, turn, session, context.now)
        effects += announced
    return talk, effects


def _begun(talk: Conversation, now: datetime, policy: Policy) -> tuple[Conversation, Turn]:
    number = talk.turns + 1
    last = talk.waiting[-1]
    turn = Turn(
        turn_id=_turn_id(talk.session_id, number),
        words=replace(last, text=" ".join(words.text for words in talk.waiting)),
        speakers=tuple(dict.fromkeys(words.participant_sid for words in talk.waiting)),
        deadline=now + policy.lease,
    )
    return replace(talk, turns=number, turn=turn, waiting=()), turn


def _turn_id(session_id: SessionId, number: int) -> TurnId:
    return TurnId("turn_" + hashlib.sha256(f"{session_id}\n{number}".encode()).hexdigest()[:24])


def _watched(talk: Conversation, now: datetime, *, anew: bool, woken: bool) -> tuple[Conversation, Effects]:
    """Ask for the next moment, unless one is on its way that comes first and can be moved on then."""
    due, pending = _due(talk.turn), talk.wake_at
    if due is None:
        return talk, ()
    if woken and pending is not None:
        # A moment that came early is asked for a little later: the same one again would be taken for its copy.
        due = max(due, pending + _TICK)
    elif not anew and pending is not None and now < pending <= due:
        return talk, ()
    return replace(talk, wake_at=due), (Wake(key=WAKE_KEY, at=due),)


def _due(turn: Turn | None) -> datetime | None:
    """When the first lease runs out."""
    if turn is None:
        return None
    leases = [] if turn.answered else [turn.deadline]
    if turn.speech is not None:
        leases.append(turn.speech.deadline)
    return min(leases, default=None)
