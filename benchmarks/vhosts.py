"""The queues of a run, looked after from outside: made, emptied and counted with aio-pika."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import aio_pika

from messaging.connection import Broker
from messaging.topology import declare
from schemas.topology import PARTITIONS, STT_JOBS_QUEUE, TOPOLOGY, partition_queue

PARTITION_QUEUES: Final = tuple(partition_queue(number) for number in range(PARTITIONS))
JOB_QUEUES: Final = (STT_JOBS_QUEUE,)
_WITHIN_S: Final = 30


def make_topology(url: str) -> None:
    """All of June's exchanges and queues."""

    async def make() -> None:
        broker = Broker(url, name="benchmark")
        await broker.start()
        try:
            await declare(broker, TOPOLOGY)
        finally:
            await broker.close()

    asyncio.run(asyncio.wait_for(make(), _WITHIN_S))


def empty(url: str, queues: Iterable[str]) -> int:
    """Throw away what waits in the queues; how many messages that were."""

    async def purge() -> int:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            purged = [await (await channel.get_queue(name)).purge() for name in queues]
            return sum(answer.message_count or 0 for answer in purged)

    return asyncio.run(asyncio.wait_for(purge(), _WITHIN_S))
