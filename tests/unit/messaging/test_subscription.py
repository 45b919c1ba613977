"""When what was settled is told to the broker."""

import asyncio
from collections.abc import Sequence
from typing import cast

from messaging.delivery import Delivery
from messaging.subscription import Subscription
from messaging.wire.channel import Channel
from messaging.wire.connection import Connection
from messaging.wire.frames import Deliver, encode_settle

PREFETCH = 8


class Wire:
    """A connection and its only channel, that keep what is written."""

    number = 1

    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def open_channel(self, _listener: object) -> Channel:
        return cast("Channel", self)

    async def call(self, _method: object) -> None:
        """Answered at once."""

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def close(self) -> None:
        self.written.append(b"closed")


async def deliveries_of(wire: Wire, count: int) -> tuple[Subscription, Sequence[Delivery]]:
    subscription = Subscription("june.some.queue")
    await subscription.open(cast("Connection", wire), prefetch=PREFETCH, priority=None, exclusive=False)
    for tag in range(1, count + 1):
        deliver = Deliver(delivery_tag=tag, redelivered=False, exchange="e", routing_key="k")
        subscription.delivered(deliver, b"", b"body")
    return subscription, await subscription.take(count)


class HeldClock(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until it is moved."""

    now_s = 1000.001

    def time(self) -> float:
        return self.now_s


def test_acks_wait_for_those_of_other_queues() -> None:
    """Of two queues that are settled at two moments, both acks leave in one turn of the event loop."""

    async def settle(loop: HeldClock) -> None:
        wire = Wire()
        (_, (first,)), (_, (second,)) = await deliveries_of(wire, 1), await deliveries_of(wire, 1)
        first.ack()
        loop.now_s += 0.015
        await asyncio.sleep(0)
        second.ack()
        await asyncio.sleep(0)
        assert wire.written == []
        loop.now_s += 0.006
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert wire.written == [encode_settle(1, 1, multiple=True, nack=False)] * 2

    loop = HeldClock()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(settle(loop))


async def test_half_of_the_prefetch_does_not_wait() -> None:
    """Under load the broker learns at once that it may send more, in one frame."""
    wire = Wire()
    _, deliveries = await deliveries_of(wire, PREFETCH)
    for delivery in deliveries[: PREFETCH // 2]:
        delivery.ack()
    await asyncio.sleep(0)
    assert wire.written == [encode_settle(1, PREFETCH // 2, multiple=True, nack=False)]


async def test_what_is_given_back_does_not_wait() -> None:
    """It is wanted elsewhere; what was acked before goes along."""
    wire = Wire()
    _, (first, second) = await deliveries_of(wire, 2)
    first.ack()
    second.requeue()
    await asyncio.sleep(0)
    acked = encode_settle(1, 1, multiple=True, nack=False)
    requeued = encode_settle(1, 2, multiple=True, nack=True, requeue=True)
    assert wire.written == [acked + requeued]


async def test_closing_tells_what_was_settled_first() -> None:
    """Else the next consumer would get it again."""
    wire = Wire()
    subscription, (delivery,) = await deliveries_of(wire, 1)
    delivery.ack()
    await subscription.close()
    assert wire.written == [encode_settle(1, 1, multiple=True, nack=False), b"closed"]
