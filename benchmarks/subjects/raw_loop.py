"""The worker's yardstick: aio-pika consumes the partitions, publishes one message with a confirm for each, and acks it.

No state, no decision. The same queues, prefetch and destination as the worker's, on Python's own event loop: what one
would write. Writes `done <monotonic seconds>` whenever as many as were asked for have been acked.
"""

from __future__ import annotations

import asyncio
import sys

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from benchmarks.load.report import moment_s
from benchmarks.plan import PREFETCH
from schemas.topology import EVENTS, PARTITIONS, partition_queue

_ROUTING_KEY = "june.participant.joined.v1"


class RawLoop:
    """Counts what it acks."""

    def __init__(self, exchange: AbstractExchange, each: int) -> None:
        self._exchange = exchange
        self._each = each
        self._acked = 0

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Publish, wait for the confirm, ack."""
        await self._exchange.publish(
            aio_pika.Message(
                message.body,
                message_id=message.message_id,
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            ),
            routing_key=_ROUTING_KEY,
        )
        await message.ack()
        self._acked += 1
        if self._acked % self._each == 0:
            print(f"done {moment_s()}", flush=True)


async def run(url: str, each: int) -> None:
    async with await aio_pika.connect(url) as connection:
        publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        loop = RawLoop(await publishing.get_exchange(EVENTS), each)
        for partition in range(PARTITIONS):
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await channel.get_queue(partition_queue(partition))
            await queue.consume(loop.take)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
