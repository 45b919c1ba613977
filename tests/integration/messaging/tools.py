"""What the tests of messaging share: a broker by URL, queues, messages, a handler that keeps what it gets."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from messaging.connection import Broker
from messaging.consumer import Consumer
from messaging.delivery import Delivery
from messaging.message import Outgoing
from messaging.topology import declare
from messaging.wire.properties import HeaderValue
from schemas.topology import Binding, Exchange, Queue, Topology
from tests.support.polling import until

SOON = timedelta(seconds=10)
EXCHANGE = "test.events"
QUEUE = "test.queue"


def quorum(name: str, *keys: str, **more: str | int | bool) -> Queue:
    """A quorum queue, bound to the test exchange."""
    arguments: dict[str, str | int | bool] = {"x-queue-type": "quorum", "x-delivery-limit": 20}
    extra = {f"x-{key.replace('_', '-')}": value for key, value in more.items()}
    return Queue(
        name=name,
        kind="quorum",
        arguments={**arguments, **extra},
        bindings=tuple(Binding(EXCHANGE, key) for key in keys),
    )


def topology(*queues: Queue) -> Topology:
    """The test exchange and these queues; without any, one that takes every message."""
    return Topology(exchanges=(Exchange(EXCHANGE),), queues=queues or (quorum(QUEUE, "#"),))


@asynccontextmanager
async def connected(
    url: str, made: Topology | None = None, *, heartbeat_s: int = 10
) -> AsyncIterator[Broker]:
    """A started broker with a topology, closed at the end."""
    broker = Broker(url, name="test", heartbeat=timedelta(seconds=heartbeat_s))
    try:
        async with asyncio.timeout(SOON.total_seconds()):
            await broker.start()
        await declare(broker, made or topology())
        yield broker
    finally:
        await broker.close()


def message(
    name: str, *, key: str = "a.b", body: bytes = b"{}", exchange: str = EXCHANGE, **more: str
) -> Outgoing:
    """A message to the test exchange."""
    headers: dict[str, HeaderValue] = dict(more)
    return Outgoing(
        exchange=exchange,
        routing_key=key,
        body=body,
        message_id=name,
        type="test.v1",
        content_type="application/json",
        headers=headers,
    )


class Keeper:
    """A handler that acks everything and keeps the ids, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    @property
    def ids(self) -> list[str]:
        """All ids, in the order of handling."""
        return [name for batch in self.batches for name in batch]

    async def __call__(self, batch: Sequence[Delivery]) -> None:
        self.batches.append([delivery.message.message_id or "" for delivery in batch])
        for delivery in batch:
            delivery.ack()


@asynccontextmanager
async def consuming(consumer: Consumer) -> AsyncIterator[Consumer]:
    """A consumer that is subscribed, and stopped at the end."""
    consumer.start()
    try:
        await consumer.wait_subscribed(patience=SOON)
        yield consumer
    finally:
        await consumer.stop(timedelta(seconds=2))


async def drained(url: str, queue: str = QUEUE) -> list[str]:
    """The ids that are in a queue, taken by a connection of its own."""
    keeper = Keeper()
    async with connected(url, Topology(exchanges=(), queues=())) as broker:
        count = await _ready(broker, queue)
        async with consuming(Consumer(broker, queue, keeper, prefetch=100)):
            await until(lambda: len(keeper.ids) >= count)
    return keeper.ids


async def _ready(broker: Broker, queue: str) -> int:
    from pamqp import commands

    channel = await (await broker.consuming.connection(patience=SOON)).open_channel()
    answer = await channel.call(commands.Queue.Declare(queue=queue, passive=True))
    await channel.close()
    assert isinstance(answer, commands.Queue.DeclareOk)
    return int(answer.message_count or 0)
