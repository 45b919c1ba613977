"""The one way through which every command is answered.

Promises: every body gets an answer within `Config.answer_within`, whatever is down; errors carry the contract's codes;
the same command again is answered the same. Nothing is raised but `BrokerUnavailable` (nobody could be told anyway).
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from schemas.commands import (
    Command,
    GuestTokenCreate,
    ParticipantList,
    ParticipantRemove,
    RoomGet,
    SessionCreate,
    SessionDelete,
    SessionGet,
    SessionList,
    parse_command,
)
from schemas.envelope import SOURCE, Envelope, decode, encode, readable_id
from schemas.errors import FieldProblem, MessageInvalid, TypeUnknown
from schemas.replies import ErrorCode, ReplyError, ReplyFailed, ReplyOk
from worker.application.commands import create, people, sessions
from worker.application.commands.answers import (
    Asked,
    CommandRefused,
    Outcome,
    Refusal,
    digest_of,
    recall,
    remember,
    with_token,
)
from worker.application.commands.context import Context, promise_token
from worker.application.failures import (
    BrokerUnavailable,
    Conflict,
    LiveKitRefused,
    Outage,
    StoreUnavailable,
)
from worker.application.inbound import message_key
from worker.application.ports import Transaction
from worker.domain.model import Session

_BODY_MAX_BYTES = 4 << 20
_REMEMBER_WITHIN_S = 1.5
_WRONG_BY_ITSELF = frozenset({ErrorCode.INVALID_ARGUMENT, ErrorCode.UNIMPLEMENTED})
"""What the command's bytes alone decide, whatever is down."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A command's answer, ready to be sent. `readable` is false for what was no envelope at all."""

    command_id: str | None
    reply_id: str
    reply: bytes
    type: str
    session_id: str | None
    error: ReplyError | None
    readable: bool


class Commands:
    """Executes commands."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def execute(self, body: bytes, *, deadline: datetime | None) -> Answered:
        """Carry the command out, unless its deadline has passed."""
        if len(body) > _BODY_MAX_BYTES:
            return self._failed(_too_large(body), command_id=None, readable=False)
        try:
            envelope = decode(body)
        except MessageInvalid as error:
            refused = CommandRefused(ErrorCode.INVALID_ARGUMENT, error.message, error.problems)
            return self._failed(refused, command_id=readable_id(body), readable=False)
        try:
            outcome, result = await self._within_time(envelope, deadline)
        except CommandRefused as error:
            return self._failed(error, command_id=envelope.id, envelope=envelope)
        data = ReplyOk(command_id=envelope.id, result=result)
        return self._answered(envelope, outcome.session_id, data.as_json(), None)

    async def _within_time(
        self, envelope: Envelope, deadline: datetime | None
    ) -> tuple[Outcome, dict[str, Any]]:
        late = deadline is not None and deadline <= self._context.clock.now()
        try:
            async with asyncio.timeout(self._context.config.answer_within.total_seconds()):
                return await self._once(envelope, late=late)
        except TimeoutError as error:
            message = "what June needs did not answer in time; send the same command again"
            raise CommandRefused(ErrorCode.UNAVAILABLE, message) from error
        except BrokerUnavailable:
            raise
        except (Outage, Conflict) as error:
            raise CommandRefused(ErrorCode.UNAVAILABLE, str(error)) from error
        except LiveKitRefused as error:
            raise CommandRefused(ErrorCode.INTERNAL, f"LiveKit refused: {error}") from error
        except CommandRefused:
            raise
        except Exception as error:  # the asker gets an answer whatever fails here; the fault is logged whole
            log.exception("command.fault", type=envelope.type, command=envelope.id)
            raise CommandRefused(ErrorCode.INTERNAL, "a fault of June's; its log says more") from error

    async def _once(self, envelope: Envelope, *, late: bool) -> tuple[Outcome, dict[str, Any]]:
        asked = Asked(
            command_id=envelope.id,
            key=message_key(envelope),
            digest=digest_of(envelope),
            type=envelope.type,
            traceparent=envelope.traceparent,
        )
        try:
            outcome = await (self._done_before(asked) if late else self._dispatch(asked, _parse(envelope)))
        except CommandRefused as error:
            raise await self._remembered(asked, error) from error
        return outcome, await self._complete(outcome)

    async def _done_before(self, asked: Asked) -> Outcome:
        """What a command is answered that comes after its deadline, perhaps not for the first time."""
        known = await self._context.store.run(lambda tx: recall(tx, asked))
        if known is None:
            said = "the deadline had passed: nothing was begun"
            raise CommandRefused(ErrorCode.DEADLINE_EXCEEDED, said, kept=False)
        return known

    async def _dispatch(self, asked: Asked, command: Command) -> Outcome:
        match command:
            case SessionCreate():
                return await create.create(self._context, asked, command)
            case SessionGet():
                return await sessions.get(self._context, asked, command)
            case SessionList():
                return await sessions.list_(self._context, asked, command)
            case SessionDelete():
                return await sessions.delete(self._context, asked, command)
            case RoomGet():
                return await people.room_get(self._context, asked, command)
            case ParticipantList():
                return await people.participant_list(self._context, asked, command)
            case ParticipantRemove():
                return await people.participant_remove(self._context, asked, command)
            case GuestTokenCreate():
                return await people.guest_token(self._context, asked, command)
            case _:
                raise AssertionError(f"no use case for {type(command).__name__}")

    async def _remembered(self, asked: Asked, error: CommandRefused) -> CommandRefused:
        """Keep the error for the same command, unless it may be right next time; returns what is to be answered."""
        if not error.kept:
            return error
        by_itself = error.code in _WRONG_BY_ITSELF
        now = self._context.clock.now()

        def work(tx: Transaction) -> None:
            if recall(tx, asked) is None:
                remember(tx, asked, Refusal(error=error), now)

        try:
            async with asyncio.timeout(_REMEMBER_WITHIN_S if by_itself else None):
                await self._context.store.run(work)
        except CommandRefused as known:
            return known
        except (StoreUnavailable, TimeoutError):
            if not by_itself:
                raise
        return error

    async def _complete(self, outcome: Outcome) -> dict[str, Any]:
        grant, session_id = outcome.grant, outcome.session_id
        if grant is None or session_id is None:
            return dict(outcome.result)
        now = self._context.clock.now()

        def work(tx: Transaction) -> dict[str, Any]:
            session = tx.session(session_id)
            if session is None or not session.live or _is_out(tx, session, grant.identity, now):
                return dict(outcome.result)
            # An answer that is given again brings a token that works for longer than the first one.
            promise_token(tx, session, grant.ttl_s, now)
            return with_token(
                outcome,
                grant,
                room_name=session.room_name,
                tokens=self._context.tokens,
                public_url=self._context.config.public_url,
                now=now,
            )

        return await self._context.store.run(work)

    def _failed(
        self,
        error: CommandRefused,
        *,
        command_id: str | None,
        envelope: Envelope | None = None,
        readable: bool = True,
    ) -> Answered:
        said = ReplyError.of(error.code, error.message, error.problems)
        data = ReplyFailed(command_id=command_id, error=said)
        return self._answered(envelope, error.session_id, data.as_json(), said, readable=readable)

    def _answered(
        self,
        envelope: Envelope | None,
        session_id: str | None,
        data: dict[str, Any],
        error: ReplyError | None,
        *,
        readable: bool = True,
    ) -> Answered:
        reply_id = str(uuid.uuid4())
        reply = Envelope(
            id=reply_id,
            source=SOURCE,
            type=ReplyOk.TYPE,
            subject=session_id,
            time=self._context.clock.now(),
            traceparent=None if envelope is None else envelope.traceparent,
            data=data,
        )
        return Answered(
            command_id=data["command_id"],
            reply_id=reply_id,
            reply=encode(reply),
            type="unreadable" if envelope is None else envelope.type,
            session_id=session_id,
            error=error,
            readable=readable,
        )


def _too_large(body: bytes) -> CommandRefused:
    """Reading such a body would delay the commands behind it."""
    message = f"a command has at most {_BODY_MAX_BYTES:,} bytes; this one has {len(body):,}"
    return CommandRefused(ErrorCode.INVALID_ARGUMENT, message)


def _is_out(tx: Transaction, session: Session, identity: str, now: datetime) -> bool:
    removal = tx.removal(session.session_id, identity)
    return removal is not None and removal.until > now


def _parse(envelope: Envelope) -> Command:
    try:
        return parse_command(envelope)
    except TypeUnknown as error:
        message = f"June knows no command of the type {error.type!r}"
        problem = FieldProblem("type", "is not a command's type")
        raise CommandRefused(ErrorCode.UNIMPLEMENTED, message, [problem]) from error
    except MessageInvalid as error:
        raise CommandRefused(ErrorCode.INVALID_ARGUMENT, error.message, error.problems) from error
