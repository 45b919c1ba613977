"""Sending what a transaction stored: right after the commit, and again when a crash or an outage left something.

Promises: a message is forgotten only after the broker confirmed it; every copy has the same id and the same bytes;
what one call is given is sent in its order. Raises `BrokerUnavailable`; nothing is forgotten then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import islice

from worker.application.ports import Clock, OutboxMessage, Publisher, Store

_REMEMBERED = 4096


class Outbox:
    """The way from stored messages to the broker."""

    def __init__(self, *, store: Store, publisher: Publisher, clock: Clock) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        # The store forgets a little later: until then a copy of the cause still finds them there.
        self._confirmed: dict[int, None] = {}

    async def send(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish with confirms, then forget. Again is harmless, and what was just confirmed is not sent again."""
        waiting = {each.position: each for each in messages if each.position not in self._confirmed}
        if waiting:
            await self._publisher.publish(list(waiting.values()))
            await self._store.published(list(waiting))
            self._remember(waiting)

    def _remember(self, positions: Iterable[int]) -> None:
        self._confirmed.update(dict.fromkeys(positions))
        for oldest in list(islice(self._confirmed, max(0, len(self._confirmed) - _REMEMBERED))):
            del self._confirmed[oldest]

    async def sweep(self, *, older_than: timedelta, limit: int = 500) -> int:
        """Send what was left behind for longer than `older_than`; how many messages that were."""
        left = await self._store.unsent(older_than=self._clock.now() - older_than, limit=limit)
        await self.send(left)
        return len(left)
