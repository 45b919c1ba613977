"""The broker's connections: waiting, coming back, ending."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from structlog.testing import capture_logs

from messaging.connection import Broker
from messaging.consumer import Consumer
from messaging.delivery import Delivery
from messaging.publisher import Publisher
from tests.integration.messaging.tools import (
    QUEUE,
    SOON,
    Keeper,
    connected,
    consuming,
    message,
    quorum,
    topology,
)
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy


async def test_a_broker_that_is_not_there_yet_is_waited_for(amqp_url: str) -> None:
    """Start waits, says so with the host and without the password, and goes on when the broker is there."""
    async with TcpProxy.before(amqp_url) as proxy:
        await proxy.refuse()
        broker = Broker(proxy.url(amqp_url).replace("guest:guest", "guest:gu%65st"), name="test")
        with capture_logs() as logs:
            starting = asyncio.create_task(broker.start())
            await until(lambda: any(line["event"] == "broker.waiting" for line in logs))
            assert not starting.done()
            await proxy.accept()
            await asyncio.wait_for(starting, 10)
        assert broker.connected
        await broker.close()
        waiting = next(line for line in logs if line["event"] == "broker.waiting")
        assert f"127.0.0.1:{proxy.port}" in waiting["host"]
        assert "guest" not in repr(logs)


async def test_a_wrong_password_is_said(amqp_url: str) -> None:
    """A refused login is waited out like an absent broker, with the broker's own words in the log."""
    broker = Broker(amqp_url.replace("guest:guest", "guest:hunter2"), name="test")
    with capture_logs() as logs:
        starting = asyncio.create_task(broker.start())
        await until(lambda: any("ACCESS_REFUSED" in line.get("error", "") for line in logs))
        starting.cancel()
        await asyncio.wait([starting])
        await broker.close()
    assert "hunter2" not in repr(logs)


async def test_a_handshake_that_hangs_can_be_ended(amqp_url: str) -> None:
    """A broker that accepts and says nothing does not keep the process from closing."""
    async with TcpProxy.before(amqp_url) as proxy:
        proxy.hang()
        broker = Broker(proxy.url(amqp_url), name="test")
        starting = asyncio.create_task(broker.start())
        await until(lambda: proxy.connections == 1)
        starting.cancel()
        await asyncio.wait([starting])
        await asyncio.wait_for(broker.close(), 5)


async def test_the_url_says_how_soon_a_broker_that_hangs_is_given_up(amqp_url: str) -> None:
    """Two of its heartbeats after it fell silent, and after its time-out when it does not even begin."""
    async with TcpProxy.before(amqp_url) as proxy:
        url = proxy.url(amqp_url) + "?heartbeat=1&connection_timeout=300"
        with capture_logs() as logs:
            async with connected(url):
                proxy.hang()
                await until(lambda: "broker.waiting" in {line["event"] for line in logs}, within_s=5)
                waited = next(line for line in logs if line["event"] == "broker.waiting")
                proxy.go_on()
        assert waited["error"] == "TimeoutError"


async def test_a_broker_that_hangs_is_told_long_before_it_is_given_up(amqp_url: str) -> None:
    """It is asked when nothing has come from it for a second: one question, however many want to know."""
    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url)) as broker:
        assert await broker.trouble() is None
        links = broker.publishing, broker.consuming
        connections = [await link.connection(patience=SOON) for link in links]
        await until(lambda: min(each.silent_s for each in connections) > 1)
        assert await broker.trouble() is None
        await until(lambda: not any(each._channels for each in connections))
        proxy.hang()
        await until(lambda: min(each.silent_s for each in connections) > 1)
        async with asyncio.timeout(2):
            told = await asyncio.gather(*(link.trouble() for link in links for _ in range(10)))
            told += await asyncio.gather(*(link.trouble() for link in links))
        assert all(each is not None and each.startswith("RabbitMQ has not answered for ") for each in told)
        assert [len(each._channels) for each in connections] == [1, 1]
        assert broker.connected
        proxy.go_on()
        await until(lambda: max(each.silent_s for each in connections) < 1)
        assert await broker.trouble() is None
        await proxy.refuse()
        await until(lambda: not broker.connected)
        assert await broker.trouble() == "not connected to RabbitMQ"


async def test_many_cuts_lose_nothing(amqp_url: str) -> None:
    """Over many cut connections, what was confirmed is delivered, at least once and in order of first arrival."""
    seen: list[str] = []

    async def handle(batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            seen.append(delivery.message.message_id or "")
            delivery.ack()

    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url)) as broker:
        publisher = Publisher(broker, patience=SOON)
        names = [f"m{n:03d}" for n in range(200)]
        async with consuming(Consumer(broker, QUEUE, handle, prefetch=16)):
            for n in range(0, 200, 10):
                waiting = [message(name) for name in names[n : n + 10]]
                if n % 40 == 0:
                    asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(proxy.cut()))
                while waiting:
                    outcomes = await publisher.publish_many(waiting, timeout=SOON)
                    waiting = [m for m, error in zip(waiting, outcomes, strict=True) if error is not None]
            await until(lambda: set(seen) == set(names))
    assert list(dict.fromkeys(seen)) == names


async def test_the_higher_priority_takes_over(amqp_url: str, rabbitmq_version: str) -> None:
    """On RabbitMQ 4 a later consumer of higher priority becomes the active one; on 3.10 the first one stays."""
    single = topology(quorum(QUEUE, "#", single_active_consumer=True))
    low, high = Keeper(), Keeper()
    async with (
        connected(amqp_url, single) as broker,
        consuming(Consumer(broker, QUEUE, low, prefetch=4, priority=1)),
    ):
        publisher = Publisher(broker)
        await publisher.publish(message("before"), timeout=SOON)
        await until(lambda: low.ids == ["before"])
        async with consuming(Consumer(broker, QUEUE, high, prefetch=4, priority=2)):
            await publisher.publish(message("after"), timeout=SOON)
            await until(lambda: "after" in low.ids + high.ids)
    assert ("after" in high.ids) is (rabbitmq_version == "4")


async def test_closing_is_in_order(amqp_url: str) -> None:
    """Close ends both connections and may be called twice, or before start."""
    async with connected(amqp_url) as broker:
        await broker.close()
        assert not broker.connected
        await broker.close()
    await Broker(amqp_url, name="test", heartbeat=timedelta(seconds=1)).close()
