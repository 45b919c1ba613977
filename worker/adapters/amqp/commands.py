"""The command queue: each command is answered, retried later, or dead-lettered; each delivery is settled once.

Promises: commands are handled side by side, so that a slow one delays no other. A command without `reply_to` is carried
out all the same: when something is down it comes back by the retry queue, and when it is wrong it is dead-lettered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from messaging.delivery import Delivery
from messaging.failures import PublishError, Unroutable, Unsendable
from messaging.message import Incoming, Outgoing
from messaging.publisher import Publisher
from messaging.settlement import backoff
from schemas.commands import COMMANDS as COMMAND_TYPES
from schemas.envelope import CONTENT_TYPE
from schemas.replies import ErrorCode, ReplyOk
from schemas.topology import COMMANDS_RETRY_QUEUE
from worker.adapters.amqp.dead import DeadLetters
from worker.application.commands.executor import Answered, Commands
from worker.application.failures import Outage
from worker.metrics import COMMAND_SECONDS, COMMANDS, MESSAGES, Result

log = structlog.get_logger(__name__)

PREFETCH = 64
_TIMEOUT = timedelta(seconds=5)
_ATTEMPTS_HEADER = "june-attempts"
_MOST_ATTEMPTS = 1_000_000
_DEADLINE_HEADER = "deadline"
_HEADERS_MAX_BYTES = 64_000


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
            MESSAGES.labels("command", Result.DEAD).inc()
            said = "; ".join(f"{detail.field} {detail.problem}" for detail in error.details)
            text = f"{error.message}: {said}" if said else error.message
            await self._dead_letters.put(
                delivery, reason=error.code, error=text, attempts=_attempts(delivery) + 1
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
            correlation_id=incoming.correlation_id or answered.command_id,
            timestamp=datetime.now(UTC),
        )
        if await self._publish(delivery, reply):
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
            correlation_id=incoming.correlation_id,
            headers={**_own_headers(incoming), _ATTEMPTS_HEADER: _attempts(delivery) + 1},
        )
        if await self._publish(delivery, again):
            MESSAGES.labels("command", Result.RETRIED).inc()
            delivery.ack()

    async def _publish(self, delivery: Delivery, message: Outgoing) -> bool:
        """Whether the delivery is to be acked; waits out the broker's trouble for as long as it is ours."""
        tries = 0
        while delivery.current:
            tries += 1
            try:
                await self._publisher.publish(message, timeout=_TIMEOUT)
            except (Unroutable, Unsendable) as error:
                log.warning("reply.nobody_there", command=delivery.message.message_id, error=str(error))
                return True
            except PublishError as error:
                log.warning("reply.postponed", command=delivery.message.message_id, error=str(error))
                await asyncio.sleep(backoff(tries).total_seconds())
                continue
            return True
        return False


def _own_headers(incoming: Incoming) -> dict[str, str | int]:
    """The sender's, as far as they leave room in a frame; the one that decides something in any case."""
    own = {
        name: value
        for name, value in incoming.headers.items()
        if isinstance(value, str | int) and not name.startswith("x-")
    }
    size = sum(len(f"{name}{value}".encode()) for name, value in own.items()) + 6 * len(own)
    if size <= _HEADERS_MAX_BYTES:
        return own
    deadline = own.get(_DEADLINE_HEADER)
    return {_DEADLINE_HEADER: deadline} if isinstance(deadline, int) else {}


def _attempts(delivery: Delivery) -> int:
    """As our header counts them; a sender may have written anything there."""
    count = delivery.message.headers.get(_ATTEMPTS_HEADER)
    return min(count, _MOST_ATTEMPTS) if type(count) is int and count >= 0 else 0


def _deadline(incoming: Incoming) -> datetime | None:
    """The header `deadline`, epoch milliseconds; one that is no such number decides nothing."""
    value = incoming.headers.get(_DEADLINE_HEADER)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return datetime.fromtimestamp(float(value) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
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
