"""Listens for a while to what exchanges bring, by a queue of our own that ends with the connection.

What comes before the block or while the broker is away is not heard: who must miss nothing reads a stream.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from uuid import uuid4

from pamqp import commands

from messaging.connection import Broker
from messaging.failures import BrokerUnavailable
from messaging.message import Incoming
from messaging.subscription import Subscription
from messaging.wire.connection import Connection
from messaging.wire.errors import WireError
from schemas.topology import Binding

_PATIENCE: Final = timedelta(seconds=5)
_PREFETCH: Final = 200


@asynccontextmanager
async def listening(broker: Broker, bindings: Sequence[Binding]) -> AsyncIterator[AsyncIterator[Incoming]]:
    """What comes by these bindings, from the block's first line on. Raises BrokerUnavailable, in the loop too."""
    subscription = Subscription(f"june.listening.{uuid4()}")
    try:
        connection = await broker.consuming.connection(patience=_PATIENCE)
        await subscription.open(connection, prefetch=_PREFETCH, priority=None, exclusive=True)
        await _bind(connection, subscription.queue, bindings)
    except (WireError, TimeoutError) as error:
        await subscription.close()
        raise BrokerUnavailable(f"cannot listen: {error}") from error
    try:
        yield _messages(subscription)
    finally:
        await subscription.close()
        await _delete(connection, subscription.queue)


async def _bind(connection: Connection, queue: str, bindings: Sequence[Binding]) -> None:
    channel = await connection.open_channel()
    for binding in bindings:
        await channel.call(
            commands.Queue.Bind(queue=queue, exchange=binding.exchange, routing_key=binding.routing_key)
        )
    await channel.close()


async def _delete(connection: Connection, queue: str) -> None:
    """Else the queue would go on filling until the connection ends."""
    try:
        channel = await connection.open_channel()
        await channel.call(commands.Queue.Delete(queue=queue))
        await channel.close()
    except (WireError, TimeoutError):
        pass  # the connection is gone, and the queue with it


async def _messages(subscription: Subscription) -> AsyncIterator[Incoming]:
    while batch := await subscription.take(_PREFETCH):
        for delivery in batch:
            yield delivery.message
            delivery.ack()
    raise BrokerUnavailable(f"cannot listen any more: {subscription.error}")
