"""What every command's use case has at hand, and the few steps that several of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.replies import ErrorCode
from worker.application.commands.answers import Asked, CommandRefused
from worker.application.config import Config
from worker.application.errands import Errands
from worker.application.failures import LiveKitUnavailable
from worker.application.outbox import Outbox
from worker.application.ports import Clock, LiveKit, Store, Tokens, Transaction
from worker.application.rendering import Cause, Rendered, Renderer, promised, store
from worker.domain.effects import Effect
from worker.domain.model import Session, SessionState, State


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The ports and helpers of the commands."""

    store: Store
    livekit: LiveKit
    tokens: Tokens
    outbox: Outbox
    errands: Errands
    renderer: Renderer
    config: Config
    clock: Clock


def the_session(tx: Transaction, session_id: str) -> Session:
    """The session, live or ended. Raises `not_found`; one whose room is still being made is not there yet."""
    session = tx.session(session_id)
    if session is None or session.state is SessionState.RESERVED:
        raise CommandRefused(ErrorCode.NOT_FOUND, "there is no session with this session_id")
    return session


def the_live_session(tx: Transaction, session_id: str) -> Session:
    """The session. Raises `not_found`, or `failed_precondition` after its end."""
    session = the_session(tx, session_id)
    if not session.live:
        raise CommandRefused(
            ErrorCode.FAILED_PRECONDITION, "the session has ended", session_id=session.session_id
        )
    return session


@contextmanager
def about(session: Session) -> Iterator[None]:
    """What fails in here is said of this session."""
    try:
        yield
    except LiveKitUnavailable as error:
        raise CommandRefused(ErrorCode.UNAVAILABLE, str(error), session_id=session.session_id) from error


def promise_token(tx: Transaction, session: Session, ttl_s: int, now: datetime) -> Session:
    """Note until when a token of the session works. Returns the session as it is after that."""
    after = promised(session, now + timedelta(seconds=ttl_s))
    if after is session:
        return session
    tx.save(State(session=session), State(session=after))
    return tx.session(session.session_id) or session


def settle(
    context: Context,
    tx: Transaction,
    before: State,
    decided: tuple[State, Sequence[Effect]],
    asked: Asked,
    now: datetime,
) -> Rendered:
    """Store a decision that the command made."""
    after, effects = decided
    cause = Cause(key=asked.key, message_id=asked.command_id, traceparent=asked.traceparent)
    rendered = context.renderer.render(after, effects, cause, now)
    store(tx, before, rendered)
    return rendered
