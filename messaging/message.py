"""Messages as values: what is published, what came in, and what was dead-lettered and is neither.

What comes in was written by anybody. No property of it raises or has another type than is written here; a
property that cannot be read as its type is `None`. Text may hold any Unicode character, NUL included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from messaging.wire.properties import HeaderValue, Properties

_NO_HEADERS: Mapping[str, HeaderValue] = MappingProxyType({})


class Outgoing(NamedTuple):
    """A message to publish. Always persistent. Name its fields; it is a tuple since every event makes some.

    `timestamp` has whole seconds on the wire. `expiration`: how long a queue may keep it; None is for ever.
    `mandatory`: a message that no queue takes is reported as Unroutable, in place of being lost in silence.
    """

    exchange: str
    routing_key: str
    body: bytes
    message_id: str | None
    type: str | None
    content_type: str | None
    correlation_id: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, HeaderValue] = _NO_HEADERS
    timestamp: datetime | None = None
    expiration: timedelta | None = None
    mandatory: bool = True
    content_encoding: str | None = None
    app_id: str | None = None

    def properties(self) -> Properties:
        """The AMQP properties of it."""
        expiration = self.expiration
        return Properties(
            content_type=self.content_type,
            content_encoding=self.content_encoding,
            headers=self.headers or None,
            delivery_mode=2,
            correlation_id=self.correlation_id,
            reply_to=self.reply_to,
            expiration=None if expiration is None else str(max(0, round(expiration.total_seconds() * 1000))),
            message_id=self.message_id,
            timestamp=self.timestamp,
            type=self.type,
            app_id=self.app_id,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Incoming:
    """A message that came from `queue`. `exchange` and `routing_key` are those it was published with.

    `delivery_count`: how often it was given back before, as far as the queue counts it (quorum queues do).
    """

    queue: str
    body: bytes
    message_id: str | None
    type: str | None
    content_type: str | None
    correlation_id: str | None
    reply_to: str | None
    headers: Mapping[str, HeaderValue]
    exchange: str
    routing_key: str
    redelivered: bool
    delivery_count: int
    timestamp: datetime | None
    content_encoding: str | None = None
    app_id: str | None = None


def delivery_count_of(headers: Mapping[str, HeaderValue]) -> int:
    """The queue's own count, or 0 when there is none that makes sense."""
    count = headers.get("x-delivery-count")
    return count if type(count) is int and count >= 0 else 0
