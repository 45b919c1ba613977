"""Publishing what the application stored, on its exchanges, with confirms.

Promises: returns when the broker has all of them, in order. Anything less is `BrokerUnavailable`: all of them may be
sent again, with the same ids and bytes. A job that waited to be sent has less time left in its queue: the broker drops
it when its `expires_at` has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from messaging.message import Outgoing
from messaging.publisher import Publisher
from schemas.envelope import CONTENT_TYPE
from worker.application.failures import BrokerUnavailable
from worker.application.ports import Clock, OutboxMessage

_TIMEOUT = timedelta(seconds=5)


class Sender:
    """The application's `Publisher`, on RabbitMQ."""

    def __init__(self, publisher: Publisher, clock: Clock, *, timeout: timedelta = _TIMEOUT) -> None:
        self._publisher = publisher
        self._clock = clock
        self._timeout = timeout

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """See the port. Events always have a queue (their log), so that an unroutable one is trouble, too."""
        now = self._clock.now()
        outcomes = await self._publisher.publish_many(
            [outgoing(message, now) for message in messages], timeout=self._timeout
        )
        failed = [outcome for outcome in outcomes if outcome is not None]
        if failed:
            raise BrokerUnavailable(
                f"{len(failed)} of {len(messages)} not confirmed: {failed[0]}"
            ) from failed[0]


def outgoing(message: OutboxMessage, now: datetime) -> Outgoing:
    """As it goes over the wire; the properties mirror the envelope."""
    return Outgoing(
        exchange=message.exchange,
        routing_key=message.routing_key,
        body=message.body,
        message_id=message.message_id,
        type=message.type,
        content_type=CONTENT_TYPE,
        correlation_id=message.correlation_id,
        timestamp=message.created_at,
        expiration=_time_left(message, now),
    )


def _time_left(message: OutboxMessage, now: datetime) -> timedelta | None:
    """In its queue, less the whole seconds that it waited to be sent."""
    if message.expires_after is None:
        return None
    waited = timedelta(seconds=max(0, (now - message.created_at) // timedelta(seconds=1)))
    return max(timedelta(0), message.expires_after - waited)
