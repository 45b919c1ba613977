"""Looks into a queue: its first messages are held for a while, in order, and go back unless they are settled.

AMQP has no reading without taking. So while the block runs nobody else gets these messages, and those that are
not settled are then back at their places, each counted once more as delivered (`x-delivery-count`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

from messaging.connection import Broker
from messaging.counts import queue_counts
from messaging.delivery import Delivery
from messaging.failures import BrokerUnavailable
from messaging.subscription import Subscription
from messaging.wire.errors import WireError

MOST: Final = 10_000
"""How many messages are held at once, at most: all of them are in memory."""
_PATIENCE: Final = timedelta(seconds=5)
_ALL_WITHIN: Final = timedelta(seconds=5)
_BACK_WITHIN: Final = timedelta(seconds=1)
_BACK_PAUSE: Final = timedelta(milliseconds=5)


@asynccontextmanager
async def browsing(broker: Broker, queue: str, *, at_most: int = MOST) -> AsyncIterator[list[Delivery]]:
    """The first messages of `queue`, at most so many; none when there is no such queue. Settle them inside.

    Those that another consumer holds are not seen. Raises BrokerUnavailable.
    """
    counts = (await queue_counts(broker, [queue]))[queue]
    wanted = min(at_most, MOST, counts.ready if counts else 0)
    if not wanted:
        yield []
        return
    subscription = Subscription(queue)
    try:
        connection = await broker.consuming.connection(patience=_PATIENCE)
        await subscription.open(connection, prefetch=wanted, priority=None, exclusive=False)
        deliveries = await _taken(subscription, wanted)
    except (WireError, TimeoutError) as error:
        raise BrokerUnavailable(f"{queue} could not be looked into: {error}") from error
    try:
        yield deliveries
    finally:
        await subscription.close()
    await _back(broker, queue, sum(not delivery.settled for delivery in deliveries))


async def _back(broker: Broker, queue: str, count: int) -> None:
    """Return when the queue has them again: it takes them back a moment after the channel is closed."""
    with suppress(TimeoutError, BrokerUnavailable):
        async with asyncio.timeout(_BACK_WITHIN.total_seconds()):
            while not await _has(broker, queue, count):  # noqa: ASYNC110 - the broker does not tell
                await asyncio.sleep(_BACK_PAUSE.total_seconds())


async def _has(broker: Broker, queue: str, count: int) -> bool:
    counts = (await queue_counts(broker, [queue]))[queue]
    return counts is None or counts.ready >= count


async def _taken(subscription: Subscription, wanted: int) -> list[Delivery]:
    """Fewer when somebody else was quicker."""
    taken: list[Delivery] = []
    try:
        async with asyncio.timeout(_ALL_WITHIN.total_seconds()):
            while len(taken) < wanted and subscription.error is None:
                taken += await subscription.take(wanted - len(taken))
    except TimeoutError:
        pass
    if subscription.error is not None:
        raise subscription.error
    return taken
