"""Dead letters: a message set aside as it was, with the reason, and brought back to where it came from.

The broker sets messages aside, too: those that killed whoever took them, again and again. Then our headers are made
of what it noted (`x-death`), so that these are read and brought back like all others.

The body and the properties stay as they were. Not kept: headers that begin with `x-` (the broker's own), the
expiration (a dead letter must not vanish), the sender's user id (the broker takes it from nobody else), and a
sender's headers that fill a frame, so that ours have no room beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from messaging.failures import Unsendable
from messaging.message import Incoming, Outgoing
from messaging.publisher import Publisher
from messaging.wire.properties import HeaderValue
from schemas.topology import DEAD

OUR_HEADERS: Final = frozenset(
    {"reason", "error", "origin_exchange", "origin_routing_key", "attempts", "failed_at"}
)
ERROR_MAX_CHARS: Final = 1000


class NotReplayable(ValueError):
    """A dead letter without an origin: it never was in an exchange."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Why a message is set aside. `attempts`: how often it was tried; `at`: when it was given up."""

    reason: str
    error: str
    attempts: int
    at: datetime


def dead_letter_of(incoming: Incoming, failed: Failed) -> Outgoing:
    """The message to publish for an incoming one that failed."""
    return Outgoing(
        exchange=DEAD,
        routing_key=incoming.type or "",
        body=incoming.body,
        message_id=incoming.message_id,
        type=incoming.type,
        content_type=incoming.content_type,
        content_encoding=incoming.content_encoding,
        correlation_id=incoming.correlation_id,
        reply_to=incoming.reply_to,
        app_id=incoming.app_id,
        timestamp=_sendable(incoming.timestamp),
        headers=_kept(incoming.headers)
        | failure_headers(failed, exchange=incoming.exchange, routing_key=incoming.routing_key),
    )


def failure_headers(failed: Failed, *, exchange: str, routing_key: str) -> dict[str, HeaderValue]:
    """The headers of a dead letter. `exchange` and `routing_key` are empty where there is no origin."""
    return {
        "reason": failed.reason,
        "error": failed.error[:ERROR_MAX_CHARS],
        "origin_exchange": exchange,
        "origin_routing_key": routing_key,
        "attempts": failed.attempts,
        "failed_at": round(failed.at.timestamp() * 1000),
    }


def told_of(dead: Incoming) -> Mapping[str, HeaderValue]:
    """The headers of a dead letter, ours among them whoever set it aside; without them where nobody noted anything."""
    if dead.headers.keys() >= OUR_HEADERS:
        return dead.headers
    deaths = dead.headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    return {**dead.headers, **_noted(latest)} if isinstance(latest, dict) else dead.headers


def _noted(death: Mapping[str, HeaderValue]) -> dict[str, HeaderValue]:
    """Our headers out of an entry of `x-death`. The broker writes all of these fields."""
    keys, at, count = death.get("routing-keys"), death.get("time"), death.get("count")
    reason = str(death.get("reason"))
    failed = Failed(
        reason=reason,
        error=f"set aside by the broker, from {death.get('queue')}: {reason}",
        attempts=count if isinstance(count, int) else 1,
        at=at if isinstance(at, datetime) else datetime.fromtimestamp(0, UTC),
    )
    key = keys[0] if isinstance(keys, list) and keys else ""
    return failure_headers(failed, exchange=str(death.get("exchange") or ""), routing_key=str(key))


def replay_of(dead: Incoming) -> Outgoing:
    """The message as it was before it was set aside, same id, to where it came from. Raises NotReplayable."""
    headers = told_of(dead)
    exchange, routing_key = headers.get("origin_exchange"), headers.get("origin_routing_key")
    if not isinstance(exchange, str) or not isinstance(routing_key, str) or not (exchange or routing_key):
        raise NotReplayable("this dead letter has no origin to go back to")
    return Outgoing(
        exchange=exchange,
        routing_key=routing_key,
        body=dead.body,
        message_id=dead.message_id,
        type=dead.type,
        content_type=dead.content_type,
        content_encoding=dead.content_encoding,
        correlation_id=dead.correlation_id,
        reply_to=dead.reply_to,
        app_id=dead.app_id,
        timestamp=_sendable(dead.timestamp),
        headers={name: value for name, value in _kept(dead.headers).items() if name not in OUR_HEADERS},
    )


async def dead_letter(
    publisher: Publisher,
    incoming: Incoming,
    *,
    reason: str,
    error: str,
    attempts: int,
    now: datetime,
    timeout: timedelta,
) -> None:
    """Set a message aside, and return once the broker has it: only then ack it. Raises a PublishError."""
    failed = Failed(reason=reason, error=error, attempts=attempts, at=now)
    try:
        await publisher.publish(dead_letter_of(incoming, failed), timeout=timeout)
    except Unsendable:
        await publisher.publish(dead_letter_of(replace(incoming, headers={}), failed), timeout=timeout)


async def replay(publisher: Publisher, dead: Incoming, *, timeout: timedelta) -> None:
    """Send a dead letter back, and return once the broker has it: only then ack it.

    Twice is harmless: it keeps its id. Raises NotReplayable, a PublishError.
    """
    await publisher.publish(replay_of(dead), timeout=timeout)


def _kept(headers: Mapping[str, HeaderValue]) -> dict[str, HeaderValue]:
    return {name: value for name, value in headers.items() if not name.startswith("x-")}


def _sendable(timestamp: datetime | None) -> datetime | None:
    """A sender may have written a time that AMQP's unsigned seconds do not hold."""
    return timestamp if timestamp is not None and timestamp >= datetime(1970, 1, 1, tzinfo=UTC) else None
