"""Where events are made safe: the port, and RabbitMQ behind it."""

from datetime import timedelta
from typing import Protocol

from messaging.failures import PublishError
from messaging.message import Outgoing
from messaging.publisher import Publisher


class NotSafe(Exception):
    """The message may be lost: LiveKit must send it again. A copy may have arrived all the same."""


class EventSink(Protocol):
    """Takes messages into safety."""

    async def put(self, message: Outgoing) -> None:
        """Return when the message is safe. Raises NotSafe, in time for an answer to the sender. Idempotent by id."""


class AmqpSink:
    """Safe is what the broker has confirmed within `timeout`."""

    def __init__(self, publisher: Publisher, timeout: timedelta) -> None:
        self._publisher = publisher
        self._timeout = timeout

    async def put(self, message: Outgoing) -> None:
        """Publish and wait for the confirm."""
        try:
            await self._publisher.publish(message, timeout=self._timeout)
        except PublishError as error:
            raise NotSafe(f"{type(error).__name__}: {error}") from error
