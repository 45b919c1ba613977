"""Sending what a transaction stored: right after the commit, and again when a crash or an outage left something.

Promises: a message is forgotten only after the broker confirmed it; every copy has the same id and the same bytes;
what one call is given is sent in its order. Raises `BrokerUnavailable`; nothing is forgotten then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from worker.application.ports import Clock, OutboxMessage, Publisher, Store


class Outbox:
    """The way from stored messages to the broker."""

    def __init__(self, *, store: Store, publisher: Publisher, clock: Clock) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock

    async def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish with confirms, then forget. Again is harmless."""
        if messages:
            await self._publisher.publish(messages)
            await self._store.published([message.position for message in messages])

    async def sweep(self, *, older_than: timedelta, limit: int = 500) -> int:
        """Send what was left behind for longer than `older_than`; how many messages that were."""
        left = await self._store.unsent(older_than=self._clock.now() - older_than, limit=limit)
        await self.send(left)
        return len(left)
