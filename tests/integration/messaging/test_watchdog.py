"""Connected, but nobody consumes."""

import asyncio
from datetime import timedelta

import pytest
from pamqp import commands

from messaging.consumer import Consumer
from messaging.failures import ConsumersLost
from messaging.watchdog import Watchdog
from tests.integration.messaging.tools import QUEUE, SOON, Keeper, connected, consuming
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy


async def no_pause(seconds: float) -> None:
    """Time that passes at once."""
    await asyncio.sleep(0)


async def test_all_is_well_with_a_consumer(amqp_url: str) -> None:
    """A queue that has its consumer is no problem."""
    async with connected(amqp_url) as broker, consuming(Consumer(broker, QUEUE, Keeper(), prefetch=5)) as one:
        assert await Watchdog(broker, [one]).check() == ()


async def test_a_consumer_that_never_subscribes_ends_the_process(amqp_url: str) -> None:
    """After so many bad checks in a row, ConsumersLost names the queue."""
    async with connected(amqp_url) as broker:
        idle = Consumer(broker, QUEUE, Keeper(), prefetch=5)
        with pytest.raises(ConsumersLost, match=QUEUE):
            await Watchdog(broker, [idle], failures=3, sleep=no_pause).run()


async def test_the_broker_itself_is_asked(amqp_url: str) -> None:
    """A consumer that believes to be subscribed, and is not known to the broker, is found."""
    async with connected(amqp_url) as broker, consuming(Consumer(broker, QUEUE, Keeper(), prefetch=5)) as one:
        one.queue = "test.other"
        channel = await (await broker.consuming.connection(patience=SOON)).open_channel()
        await channel.call(commands.Queue.Declare(queue="test.other", durable=True))
        assert await Watchdog(broker, [one]).check() == ("test.other: no consumer at the broker",)


async def test_an_absent_broker_is_not_the_watchdogs_matter(amqp_url: str) -> None:
    """While the broker is away nothing is counted: coming back is the connection's work."""
    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url)) as broker:
        one = Consumer(broker, QUEUE, Keeper(), prefetch=5)
        await proxy.refuse()
        await until(lambda: not broker.connected)
        assert await Watchdog(broker, [one], interval=timedelta(seconds=1)).check() == ()
