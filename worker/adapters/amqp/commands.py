"""The command queue: each command is answered, retried later, or dead-lettered; each delivery is settled once.

Promises: commands are handled side by side, so that a slow one delays no other. A command without `reply_to` is carried
out all the same: when something is down it comes back by the retry queue, and when it is wrong it is dead-lettered. An
answer that its queue does not take is given up, so that no asker's full queue holds up the others; a command that could
not be read is then dead-lettered, for nobody was told of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import structlog

from messaging.delivery import Delivery
from messaging.failures import PublishError, Refused, Unroutable, Unsendable
from messaging.message import Incoming, Outgoing
from messaging.publisher import Publisher
from messaging.settlement import backoff
from messaging.wire.properties import HeaderValue, encode_table
from schemas.commands import COMMANDS as COMMAND_TYPES
from schemas.envelope import CONTENT_TYPE
from schemas.replies import ErrorCode, ReplyError, ReplyOk
from schemas.topology import COMMANDS_RETRY_QUEUE
from worker.adapters.amqp.dead import DeadLetters
from worker.application.commands.executor import Answered, Commands
from worker.application.failures import Outage
from worker.metrics import COMMAND_SECONDS, COMMANDS, MESSAGES, Result

log = structlog.get_logger(__name__)

PREFETCH = 512
"""So many may wait for a LiveKit or a database that hangs, and those behind them are still answered in time."""
_TIMEOUT = timedelta(seconds=5)
_ATTEMPTS_HEADER = "june-attempts"
_KEY_HEADER = "june-routing-key"
_NOT_REPEATED = frozenset({"CC", "BCC", _ATTEMPTS_HEADER, _KEY_HEADER})
"""`CC` would send a copy to every queue that it names, each time anew."""
_MOST_ATTEMPTS = 1_000_000
_DEADLINE_HEADER = "deadline"
_HEADERS_MAX_BYTES = 64_000
_REPLY_TRIES = 5
"""So often a queue may refuse an answer, over about a second and a half."""
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""What a datetime holds, in epoch milliseconds."""


class _Sent(Enum):
    """What became of a message."""

    TAKEN = auto()
    GIVEN_UP = auto()
    """Its queue is not there, or takes nothing."""
    NOT_OURS = auto()
    """The delivery behind it is somebody else's by now."""


class CommandHandler:
    """Handles one command at a time; many run side by side."""

    def __init__(self, *, commands: Commands, publisher: Publisher, dead_letters: DeadLetters) -> None:
        self._commands = commands
        self._publisher = publisher
        self._dead_letters = dead_letters

    async def __call__(self, deliveries: Sequence[Delivery]) -> None:
        """Return when it is settled, or not ours any more."""
        for delivery in deliveries:
            await self._one(delivery)

    async def _one(self, delivery: Delivery) -> None:
        started = time.perf_counter()
        answered = await self._answer(delivery)
        if answered is None:
            return
        await self._settle(delivery, answered)
        _say(delivery.message, answered, time.perf_counter() - started)

    async def _answer(self, delivery: Delivery) -> Answered | None:
        """`None` when the delivery is somebody else's by now."""
        tries = 0
        while delivery.current:
            try:
                return await self._commands.execute(
                    delivery.message.body, deadline=_deadline(delivery.message)
                )
            except Outage as error:
                tries += 1
                log.warning("command.waiting", command=delivery.message.message_id, error=str(error))
                await asyncio.sleep(backoff(tries).total_seconds())
        return None

    async def _settle(self, delivery: Delivery, answered: Answered) -> None:
        error = answered.error
        if delivery.message.reply_to:
            await self._reply(delivery, answered)
        elif error is None:
            MESSAGES.labels("command", Result.HANDLED).inc()
            delivery.ack()
        elif error.retryable:
            await self._later(delivery)
        else:
            await self._set_aside(delivery, error)

    async def _set_aside(self, delivery: Delivery, error: ReplyError) -> None:
        MESSAGES.labels("command", Result.DEAD).inc()
        said = "; ".join(f"{detail.field} {detail.problem}" for detail in error.details)
        text = f"{error.message}: {said}" if said else error.message
        await self._dead_letters.put(
            delivery,
            as_it_came=_as_it_came(delivery.message),
            reason=error.code,
            error=text,
            attempts=_attempts(delivery.message) + 1,
        )

    async def _reply(self, delivery: Delivery, answered: Answered) -> None:
        incoming = delivery.message
        reply = Outgoing(
            exchange="",
            routing_key=incoming.reply_to or "",
            body=answered.reply,
            message_id=answered.reply_id,
            type=ReplyOk.TYPE,
            content_type=CONTENT_TYPE,
            correlation_id=answered.command_id
            if incoming.correlation_id is None
            else incoming.correlation_id,
            timestamp=datetime.now(UTC),
        )
        sent = await self._publish(delivery, reply, refusals=_REPLY_TRIES)
        if sent is _Sent.GIVEN_UP and answered.error is not None and not answered.readable:
            await self._set_aside(delivery, answered.error)
        elif sent is not _Sent.NOT_OURS:
            MESSAGES.labels("command", Result.HANDLED).inc()
            delivery.ack()

    async def _later(self, delivery: Delivery) -> None:
        """By way of the retry queue: held here, it would take a place from commands that somebody waits for."""
        incoming = delivery.message
        again = Outgoing(
            exchange="",
            routing_key=COMMANDS_RETRY_QUEUE,
            body=incoming.body,
            message_id=incoming.message_id,
            type=incoming.type,
            content_type=incoming.content_type,
            content_encoding=incoming.content_encoding,
            correlation_id=incoming.correlation_id,
            app_id=incoming.app_id,
            timestamp=incoming.timestamp,
            headers={
                **_own_headers(incoming),
                _ATTEMPTS_HEADER: _attempts(incoming) + 1,
                _KEY_HEADER: _routing_key(incoming),
            },
        )
        if await self._publish(delivery, again) is not _Sent.NOT_OURS:
            MESSAGES.labels("command", Result.RETRIED).inc()
            delivery.ack()

    async def _publish(self, delivery: Delivery, message: Outgoing, *, refusals: int | None = None) -> _Sent:
        """Waits out the broker's trouble for as long as the delivery is ours, but no more than so many refusals of one
        queue, if they are bounded.
        """
        tries = 0
        while delivery.current:
            tries += 1
            try:
                await self._publisher.publish(message, timeout=_TIMEOUT)
            except (Unroutable, Unsendable) as error:
                log.warning("reply.nobody_there", command=delivery.message.message_id, error=str(error))
                return _Sent.GIVEN_UP
            except PublishError as error:
                if isinstance(error, Refused) and tries == refusals:
                    log.warning("reply.not_taken", command=delivery.message.message_id, error=str(error))
                    return _Sent.GIVEN_UP
                log.warning("reply.postponed", command=delivery.message.message_id, error=str(error))
                await asyncio.sleep(backoff(tries).total_seconds())
                continue
            return _Sent.TAKEN
        return _Sent.NOT_OURS


def _own_headers(incoming: Incoming) -> dict[str, HeaderValue]:
    """The sender's, as far as they leave room in a frame; the one that decides something in any case."""
    own = {
        name: value
        for name, value in incoming.headers.items()
        if not name.startswith("x-") and name not in _NOT_REPEATED
    }
    if len(encode_table(own)) <= _HEADERS_MAX_BYTES:
        return own
    deadline = own.get(_DEADLINE_HEADER)
    return {_DEADLINE_HEADER: deadline} if isinstance(deadline, int | float | datetime) else {}


def _is_again(incoming: Incoming) -> bool:
    """It comes back by the retry queue, with our headers."""
    return incoming.routing_key == COMMANDS_RETRY_QUEUE


def _attempts(incoming: Incoming) -> int:
    """How often it was tried before. A sender may have written anything there."""
    count = incoming.headers.get(_ATTEMPTS_HEADER) if _is_again(incoming) else 0
    return min(count, _MOST_ATTEMPTS) if type(count) is int and count >= 0 else 0


def _routing_key(incoming: Incoming) -> str:
    """The one that it was sent with at first."""
    key = incoming.headers.get(_KEY_HEADER) if _is_again(incoming) else None
    return key if isinstance(key, str) else incoming.routing_key


def _as_it_came(incoming: Incoming) -> Incoming:
    """Without what the way by the retry queue made of it."""
    if not _is_again(incoming):
        return incoming
    return replace(incoming, routing_key=_routing_key(incoming), headers=_own_headers(incoming))


def _deadline(incoming: Incoming) -> datetime | None:
    """The header `deadline`, epoch milliseconds; one that is no such number decides nothing."""
    value = incoming.headers.get(_DEADLINE_HEADER)
    if isinstance(value, datetime):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        since_1970_ms = min(max(float(value), _FIRST_MS), _LAST_MS)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=since_1970_ms)
    except (ValueError, OverflowError):
        return None


def _say(incoming: Incoming, answered: Answered, seconds: float) -> None:
    code = "ok" if answered.error is None else answered.error.code
    type_ = answered.type if answered.type in COMMAND_TYPES else "other"
    COMMANDS.labels(type_, code).inc()
    COMMAND_SECONDS.labels(type_).observe(seconds)
    level = log.error if code == ErrorCode.INTERNAL else log.info
    level(
        "command.answered",
        type=answered.type,
        command=answered.command_id,
        session=answered.session_id,
        code=code,
        reply=bool(incoming.reply_to),
        ms=round(seconds * 1000, 1),
    )
