"""Plays one session's talk against the turns of the domain: words, reports and time in, effects out.

Promises: a virtual clock; wakes fire when the clock passes them; after each step the conversation is stored as its
document and read again, as the worker does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from schemas.events import TurnCompleted
from schemas.pipeline import AiCancel, TtsCancel
from schemas.reports import AiReply, AiStatus, Report, TtsStatus, WorkState
from tests.support.samples import SESSION, START
from worker.domain import turns
from worker.domain.conversation import Conversation, Utterance, from_json, to_json
from worker.domain.effects import Announce, AskAi, Broadcast, Count, Effect, Speak, Wake
from worker.domain.facts import Reported
from worker.domain.model import JobId, ParticipantSid, SessionId, SessionState, State
from worker.domain.policy import Policy

LEASE = timedelta(seconds=30)
_MOST_WAKES = 1000

_E = TypeVar("_E")


class Talk:
    """One session with its clock. What each step asked for is in `new`, and all of it in `effects`."""

    def __init__(self, *, speak: bool = True, session_id: str = "s1") -> None:
        session = replace(
            SESSION, session_id=SessionId(session_id), state=SessionState.ACTIVE, ai_speak=speak
        )
        self.state = State(session=session)
        self.policy = Policy(lease=LEASE)
        self.now = START
        self.effects: list[Effect] = []
        self.new: list[Effect] = []
        self._wake: datetime | None = None
        self._said = 0

    @property
    def talk(self) -> Conversation:
        assert self.state.conversation is not None
        return self.state.conversation

    @property
    def turn_id(self) -> str:
        """The turn in the making."""
        assert self.talk.turn is not None
        return self.talk.turn.turn_id

    @property
    def wake_pending(self) -> bool:
        """Whether a wake that was asked for has yet to come."""
        return self._wake is not None

    def say(self, text: str, by: str = "ada", **changes: object) -> None:
        self._said += 1
        utterance = Utterance(
            job_id=JobId(f"job_{by}"),
            utterance_id=f"utt{self._said}",
            participant_sid=ParticipantSid(f"PA_{by}"),
            identity=by,
            participant_name=by.title(),
            text=text,
            language="en",
            at=self.now,
        )
        given = replace(utterance, **changes)  # type: ignore[arg-type]
        self._step(lambda state: turns.said(state, given, self.now, self.policy))

    def speak_up(self) -> None:
        self._step(lambda state: turns.speech_started(state, self.now, self.policy))

    def leave(self, who: str) -> None:
        sid = ParticipantSid(f"PA_{who}")
        self._step(lambda state: turns.participant_left(state, sid, self.now, self.policy))

    def end(self) -> None:
        self._step(lambda state: turns.ended(state, self.now, self.policy))
        session = self.state.session
        assert session is not None
        self.state = replace(self.state, session=replace(session, state=SessionState.ENDED))

    def reply(
        self,
        part: int,
        text: str,
        *,
        final: bool = False,
        attempt: int | None = 1,
        source: str = "ai-1",
        turn: str | None = None,
    ) -> None:
        turn_id = turn or self.turn_id
        reply = AiReply(turn_id=turn_id, attempt=attempt, part=part, text=text, is_final=final)
        self.report(source, reply)

    def ai(
        self, state: WorkState | str, *, attempt: int = 1, source: str = "ai-1", turn: str | None = None
    ) -> None:
        turn_id = turn or self.turn_id
        self.report(source, AiStatus(turn_id=turn_id, attempt=attempt, state=WorkState(state)))

    def tts(
        self,
        part: int,
        state: WorkState | str,
        *,
        attempt: int = 1,
        source: str = "tts-1",
        turn: str | None = None,
    ) -> None:
        turn_id = turn or self.turn_id
        status = TtsStatus(turn_id=turn_id, part=part, attempt=attempt, state=WorkState(state))
        self.report(source, status)

    def report(self, source: str, report: Report) -> None:
        fact = Reported(source=source, report=report)
        self._step(lambda state: turns.reported(state, fact, self.now, self.policy))

    def wake(self) -> None:
        """The moment comes now, asked for or not."""
        self._step(lambda state: turns.time_came(state, turns.WAKE_KEY, self.now, self.policy))

    def pass_time(self, by: timedelta = LEASE) -> None:
        """The clock goes on; each wake on the way fires at its moment. `new` holds what all of them asked for."""
        until, asked = self.now + by, []
        fired = 0
        while self._wake is not None and self._wake <= until:
            fired += 1
            assert fired < _MOST_WAKES, "a wake brings on the next one, without end"
            self.now, self._wake = max(self.now, self._wake), None
            self.wake()
            asked += self.new
        self.now, self.new = until, asked

    def asked(self) -> list[AskAi]:
        return _of(AskAi, self.effects)

    def spoken(self) -> list[tuple[str, int, int]]:
        """What TTS was given: text, part and attempt."""
        return [(speak.text, speak.part, speak.attempt) for speak in _of(Speak, self.effects)]

    def completed(self) -> list[tuple[str, bool]]:
        """Text and `spoken` of the turns that are over."""
        return [(event.text, event.spoken) for event in self.completions()]

    def completions(self) -> list[TurnCompleted]:
        events = [announced.event for announced in _of(Announce, self.effects)]
        return [event for event in events if isinstance(event, TurnCompleted)]

    def cancels(self) -> list[tuple[str, int | None, str | None, str]]:
        """What the last step told whom to stop: `ai` or `tts`, attempt, instance, reason."""
        messages = [broadcast.message for broadcast in _of(Broadcast, self.new)]
        return [
            ("ai" if isinstance(told, AiCancel) else "tts", told.attempt, told.instance, told.reason.value)
            for told in messages
            if isinstance(told, AiCancel | TtsCancel)
        ]

    def counted(self) -> list[str]:
        return [count.name for count in _of(Count, self.new)]

    def history(self) -> list[tuple[str, str]]:
        return [(entry.role, entry.text) for entry in self.talk.history]

    def _step(self, decide: Callable[[State], tuple[State, tuple[Effect, ...]]]) -> None:
        after, effects = decide(self.state)
        if after.conversation is not None:
            document = to_json(after.conversation)
            assert from_json(document) == after.conversation
            after = replace(after, conversation=from_json(document))
        self.state, self.new = after, list(effects)
        self.effects += effects
        for wake in _of(Wake, effects):
            self._wake = wake.at


def _of(kind: type[_E], effects: list[Effect] | tuple[Effect, ...]) -> list[_E]:
    return [effect for effect in effects if isinstance(effect, kind)]
