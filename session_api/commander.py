"""Requests of HTTP as commands: one command for each, and its reply as a result or a Problem.

The broker down or silent is `unavailable` soon; a reply that does not come by the deadline is `deadline_exceeded`,
outcome unknown. In both cases the same request with the same `Idempotency-Key` is right, and does nothing twice.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import uuid4

import structlog

from messaging.failures import PublishError, RequestTimeout
from messaging.message import Incoming, Outgoing
from schemas.commands import Command
from schemas.envelope import CONTENT_TYPE, Envelope, decode, encode
from schemas.errors import FieldProblem, MessageInvalid, TypeUnknown
from schemas.replies import ReplyOk, parse_reply
from schemas.topology import COMMANDS
from session_api.problems import Code, Problem

CONFIRM_WITHIN: Final = timedelta(seconds=1.5)
"""The broker has the command by then, or the answer is 503: within the contract's 2 s."""

log = structlog.get_logger(__name__)


class Requests(Protocol):
    """Sends a command and gives its reply: `messaging.request_reply.Requester`, or a fake of it."""

    async def request(self, command: Outgoing, *, timeout: timedelta) -> Incoming:
        """The reply. Raises RequestTimeout and the PublishErrors."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Commander:
    """Asks the workers. `timeout` is the command's deadline."""

    def __init__(
        self, requests: Requests, *, timeout: timedelta, now: Callable[[], datetime] = _utc_now
    ) -> None:
        self._requests = requests
        self._timeout = timeout
        self._now = now

    async def ask(
        self,
        command: type[Command],
        data: Mapping[str, Any],
        *,
        source: str,
        command_id: str | None = None,
    ) -> dict[str, Any]:
        """The command's result. Without an id it gets one of its own. Raises Problem."""
        now = self._now()
        envelope = Envelope(
            id=command_id or str(uuid4()), source=source, type=command.TYPE, time=now, data=data
        )
        try:
            reply = await self._requests.request(
                _message(envelope, deadline=now + self._timeout), timeout=self._timeout
            )
        except RequestTimeout as error:
            raise Problem(
                code=Code.DEADLINE_EXCEEDED,
                detail=f"no answer within {self._timeout.total_seconds():g} s; whether it was carried out is not known",
            ) from error
        except PublishError as error:
            log.warning("command.not_sent", type=command.TYPE, error=str(error))
            raise Problem(
                code=Code.UNAVAILABLE, detail="June's message broker cannot be reached; try again"
            ) from error
        return _result(reply)


def _message(envelope: Envelope, *, deadline: datetime) -> Outgoing:
    return Outgoing(
        exchange=COMMANDS,
        routing_key=envelope.type,
        body=encode(envelope),
        message_id=envelope.id,
        type=envelope.type,
        content_type=CONTENT_TYPE,
        headers={"deadline": round(deadline.timestamp() * 1000)},
        timestamp=envelope.time,
    )


def _result(incoming: Incoming) -> dict[str, Any]:
    """The result that a reply carries. Raises Problem for its error, and for what is no reply."""
    try:
        reply = parse_reply(decode(incoming.body))
    except (MessageInvalid, TypeUnknown) as error:
        log.error("reply.unreadable", error=str(error))
        raise Problem(code=Code.INTERNAL, detail="the answer cannot be read") from error
    if isinstance(reply, ReplyOk):
        return reply.result
    raise Problem(
        code=Code(reply.error.code.value),
        detail=reply.error.message,
        details=[FieldProblem(one.field, one.problem) for one in reply.error.details],
    )
