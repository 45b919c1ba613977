"""Effects become rows: messages with id, sequence, time and token; errands for LiveKit; timers.

Promises: each message of a session has the next sequence number, in the order of the effects; its bytes are made
here, once, and never again. Refuses: sending; that is the outbox's work after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from schemas import topology
from schemas.events import SessionCreated, SessionEnded, SessionStarted
from schemas.model import Message, session_message
from schemas.participants import Speaker, VoiceOwner, VoiceTrack
from schemas.pipeline import AiTurn, HistoryEntry, HistoryRole, SttStart, TtsSpeak
from worker.application.config import Config
from worker.application.errands import FIRST_TRY
from worker.application.ids import random_id
from worker.application.ports import ErrandKind, OutboxMessage, RoomErrand, Tokens, Transaction
from worker.application.views import session_view
from worker.domain import effects as fx
from worker.domain.copies import replace
from worker.domain.model import Job, Session, State
from worker.domain.voices import speaker_identity, transcriber_identity


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """The message whose handling made the effects: its idempotency key, and its id as others know it."""

    key: str
    message_id: str
    traceparent: str | None = None


@dataclass(kw_only=True, slots=True)
class Rendered:
    """What one decision adds to its transaction. `state` has the session's raised sequence."""

    state: State
    messages: list[OutboxMessage] = field(default_factory=list)
    errands: list[RoomErrand] = field(default_factory=list)
    wakes: list[fx.Wake] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    """What is only counted, by name, as often as it was."""
    has_tokens: bool = False
    """Whether one of the messages lets its receiver into the room."""


class Renderer:
    """Makes rows of effects."""

    def __init__(self, *, config: Config, tokens: Tokens) -> None:
        self._config = config
        self._tokens = tokens

    def render(self, state: State, effects: Sequence[fx.Effect], cause: Cause, now: datetime) -> Rendered:
        """All effects of one decision, in order."""
        rendered = Rendered(state=state)
        for effect in effects:
            self._one(rendered, effect, cause, now)
        rendered.state = _with_sequence(state, len(rendered.messages))
        if rendered.has_tokens:
            rendered.state = _with_promise(rendered.state, now + self._config.bot_token_ttl)
        return rendered

    def _one(self, rendered: Rendered, effect: fx.Effect, cause: Cause, now: datetime) -> None:
        match effect:
            case fx.Count():
                rendered.counted.append(effect.name)
            case fx.Wake():
                rendered.wakes.append(effect)
            case fx.CloseRoom():
                errand = RoomErrand(kind=ErrandKind.CLOSE_ROOM, room_name=effect.room_name, due_at=now)
                rendered.errands.append(errand)
            case fx.RemoveParticipant():
                rendered.errands.append(
                    RoomErrand(
                        kind=ErrandKind.REMOVE_PARTICIPANT,
                        room_name=effect.room_name,
                        identity=effect.identity,
                        session_id=rendered.state.session.session_id if rendered.state.session else None,
                        due_at=now,
                    )
                )
            case _:
                self._message(rendered, effect, cause, now)

    def _message(
        self,
        rendered: Rendered,
        effect: fx.Announce | fx.AnnounceSession | fx.OfferJob | fx.Broadcast | fx.AskAi | fx.Speak,
        cause: Cause,
        now: datetime,
    ) -> None:
        session = rendered.state.session
        if session is None:
            raise AssertionError(f"{type(effect).__name__} without a session")
        exchange, data, expires_after = self._data(session, effect, now)
        if isinstance(data, SttStart | AiTurn | TtsSpeak) and data.attempt > 1:
            rendered.counted.append("attempt_again")
        rendered.has_tokens |= isinstance(data, SttStart | TtsSpeak)
        sequence = session.sequence + len(rendered.messages) + 1
        message_id = random_id()
        body = session_message(
            data,
            id=message_id,
            time=now,
            session_id=session.session_id,
            room_name=session.room_name,
            sequence=sequence,
            traceparent=cause.traceparent,
        )
        rendered.messages.append(
            OutboxMessage(
                message_id=message_id,
                session_id=session.session_id,
                cause=cause.key,
                correlation_id=cause.message_id,
                exchange=exchange,
                routing_key=data.TYPE,
                type=data.TYPE,
                body=body,
                created_at=now,
                expires_after=expires_after,
            )
        )

    def _data(
        self,
        session: Session,
        effect: fx.Announce | fx.AnnounceSession | fx.OfferJob | fx.Broadcast | fx.AskAi | fx.Speak,
        now: datetime,
    ) -> tuple[str, Message, timedelta | None]:
        lease = self._config.policy.lease
        match effect:
            case fx.Announce():
                return topology.EVENTS, effect.event, None
            case fx.AnnounceSession():
                return topology.EVENTS, _session_event(effect), None
            case fx.Broadcast():
                return topology.PIPELINE, effect.message, None
            case fx.OfferJob():
                return topology.PIPELINE, self._start(effect.job, now), lease
            case fx.AskAi():
                return topology.PIPELINE, self._turn(session, effect, now), lease
            case fx.Speak():
                return topology.PIPELINE, self._speak(session, effect, now), lease
            case _:
                assert_never(effect)

    def _start(self, job: Job, now: datetime) -> SttStart:
        lease = self._config.policy.lease
        return SttStart(
            job_id=job.job_id,
            attempt=job.attempt,
            session_id=job.session_id,
            room_name=job.room_name,
            room_sid=job.room_sid,
            participant=VoiceOwner(
                sid=job.participant_sid, identity=job.identity, name=job.participant_name, kind=job.kind
            ),
            track=VoiceTrack(sid=job.track_sid, source=job.source, mime_type=job.mime_type),
            language=job.language,
            livekit_url=self._config.public_url,
            token=self._tokens.transcriber(
                room_name=job.room_name, identity=transcriber_identity(job.job_id), now=now
            ),
            lease_s=int(lease.total_seconds()),
            expires_at=now + lease,
            report_to=topology.report_to(job.room_name),
        )

    def _turn(self, session: Session, ask: fx.AskAi, now: datetime) -> AiTurn:
        lease = self._config.policy.lease
        return AiTurn(
            turn_id=ask.turn_id,
            attempt=ask.attempt,
            session_id=session.session_id,
            room_name=session.room_name,
            participant=Speaker(sid=ask.participant_sid, identity=ask.identity, name=ask.participant_name),
            utterance_id=ask.utterance_id,
            text=ask.text,
            language=ask.language or session.stt_language,
            history=tuple(map(_history_entry, ask.history)),
            lease_s=int(lease.total_seconds()),
            expires_at=now + lease,
            report_to=topology.report_to(session.room_name),
        )

    def _speak(self, session: Session, speak: fx.Speak, now: datetime) -> TtsSpeak:
        lease = self._config.policy.lease
        identity = speaker_identity(session.session_id)
        return TtsSpeak(
            turn_id=speak.turn_id,
            part=speak.part,
            attempt=speak.attempt,
            session_id=session.session_id,
            room_name=session.room_name,
            text=speak.text,
            language=speak.language or session.stt_language,
            livekit_url=self._config.public_url,
            token=self._tokens.speaker(room_name=session.room_name, identity=identity, now=now),
            lease_s=int(lease.total_seconds()),
            expires_at=now + lease,
            report_to=topology.report_to(session.room_name),
        )


def store(tx: Transaction, before: State, rendered: Rendered) -> None:
    """Put a decision into the transaction: its state, then what follows of it."""
    tx.save(before, rendered.state)
    if rendered.messages:
        rendered.messages = list(tx.put_outbox(rendered.messages))
    session = rendered.state.session
    for wake in rendered.wakes:
        if session is None:
            raise AssertionError(f"a wake for {wake.key} without a session")
        tx.set_timer(session.session_id, session.room_name, wake.key, wake.at)
    rendered.errands = [
        replace(errand, errand_id=tx.put_errand(errand, claim=FIRST_TRY)) for errand in rendered.errands
    ]


def _with_sequence(state: State, messages: int) -> State:
    """The state after so many messages of its session."""
    if state.session is None or not messages:
        return state
    session = replace(state.session, sequence=state.session.sequence + messages)
    return replace(state, session=session)


def promised(session: Session, until: datetime) -> Session:
    """The session that knows of a token of its that works until then; to the minute, so that most change nothing."""
    until = until.replace(second=0, microsecond=0) + timedelta(minutes=1)
    if session.tokens_until is not None and session.tokens_until >= until:
        return session
    return replace(session, tokens_until=until)


def _with_promise(state: State, until: datetime) -> State:
    """A bot that comes late must not bring a deleted session's room back. Where June let nobody else in, people have
    tokens of others, and a room that comes back is theirs."""
    session = state.session
    if session is None or session.tokens_until is None:
        return state
    return replace(state, session=promised(session, until))


def _history_entry(entry: fx.HistoryEntry) -> HistoryEntry:
    return HistoryEntry(role=HistoryRole(entry.role), identity=entry.identity, text=entry.text, at=entry.at)


def _session_event(effect: fx.AnnounceSession) -> Message:
    view = session_view(effect.session)
    match effect.what:
        case "created":
            return SessionCreated(session=view)
        case "started":
            return SessionStarted(session=view)
        case "ended":
            return SessionEnded(session=view)
