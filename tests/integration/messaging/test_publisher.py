"""Publishing, as real brokers confirm it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from messaging.connection import Broker
from messaging.failures import BrokerUnavailable, PublishTimeout, Refused, Unroutable, Unsendable
from messaging.publisher import Publisher
from tests.integration.messaging.tools import (
    QUEUE,
    SOON,
    connected,
    drained,
    message,
    quorum,
    topology,
)
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy


@asynccontextmanager
async def hung(amqp_url: str, *, heartbeat_s: int = 10) -> AsyncIterator[tuple[TcpProxy, Broker, Publisher]]:
    """A publisher that has published `first`, before a broker that has hung since."""
    async with (
        TcpProxy.before(amqp_url) as proxy,
        connected(proxy.url(amqp_url), heartbeat_s=heartbeat_s) as broker,
    ):
        publisher = Publisher(broker)
        await publisher.publish(message("first"), timeout=SOON)
        proxy.hang()
        yield proxy, broker, publisher


async def test_messages_arrive_in_order(amqp_url: str) -> None:
    """The messages of one call are in the queue in their order, each once."""
    async with connected(amqp_url) as broker:
        names = [f"m{n:04d}" for n in range(2000)]
        outcomes = await Publisher(broker).publish_many([message(name) for name in names], timeout=SOON)
    assert outcomes == [None] * 2000
    assert await drained(amqp_url) == names


async def test_many_callers_at_once(amqp_url: str) -> None:
    """Callers share a publisher: each learns of its own messages."""
    async with connected(amqp_url) as broker:
        publisher = Publisher(broker)
        good = [publisher.publish(message(f"g{n}"), timeout=SOON) for n in range(100)]
        lost = [
            publisher.publish(message(f"l{n}", exchange="", key="nowhere"), timeout=SOON) for n in range(100)
        ]
        mixed = [call for pair in zip(good, lost, strict=True) for call in pair]
        results = await asyncio.gather(*mixed, return_exceptions=True)
    assert results[::2] == [None] * 100
    assert all(isinstance(result, Unroutable) for result in results[1::2])
    assert len(await drained(amqp_url)) == 100


async def test_one_bad_message_says_nothing_about_the_others(amqp_url: str) -> None:
    """Unroutable and unsendable messages are told apart from those that arrived."""
    async with connected(amqp_url, topology(quorum(QUEUE, "good.#"))) as broker:
        outcomes = await Publisher(broker).publish_many(
            [
                message("1", key="good.a"),
                message("2", key="bad"),
                message("3", key="k" * 256),
                message("4", key="good.b"),
            ],
            timeout=SOON,
        )
    assert [type(outcome) for outcome in outcomes] == [type(None), Unroutable, Unsendable, type(None)]
    assert await drained(amqp_url) == ["1", "4"]


async def test_copies_in_flight_are_matched(amqp_url: str) -> None:
    """Copies of one id in flight at once, some returned and some routed, each get their own outcome."""
    async with connected(amqp_url, topology(quorum(QUEUE, "good"))) as broker:
        copies = [message("same", key=key) for key in ("good", "bad", "good", "bad", "bad", "good")]
        outcomes = await Publisher(broker).publish_many(copies, timeout=SOON)
    assert [outcome is None for outcome in outcomes] == [True, False, True, False, False, True]


async def test_a_full_queue_refuses(amqp_url: str) -> None:
    """A queue that rejects what is over its length is Refused, which may work later."""
    full = topology(quorum(QUEUE, "#", max_length=1, overflow="reject-publish"))
    async with connected(amqp_url, full) as broker:
        outcomes = [
            (await Publisher(broker).publish_many([message(str(n))], timeout=SOON))[0] for n in range(10)
        ]
    assert outcomes[0] is None
    assert isinstance(outcomes[-1], Refused)


async def test_large_messages_arrive_whole(amqp_url: str) -> None:
    """A body of many frames arrives, and so does an empty one."""
    async with connected(amqp_url) as broker:
        publisher = Publisher(broker)
        await publisher.publish(message("large", body=b"x" * 3_000_000), timeout=SOON)
        await publisher.publish(message("empty", body=b""), timeout=SOON)
    assert await drained(amqp_url) == ["large", "empty"]


async def test_nothing_is_published_without_a_connection(amqp_url: str) -> None:
    """While the broker is away a publish says so after its patience, and works again when it is back."""
    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url)) as broker:
        publisher = Publisher(broker, patience=timedelta(milliseconds=50))
        await proxy.refuse()
        await until(lambda: not broker.connected)
        began = asyncio.get_running_loop().time()
        calls = [publisher.publish(message(f"x{n}"), timeout=SOON) for n in range(50)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, BrokerUnavailable) for result in results)
        assert asyncio.get_running_loop().time() - began < 2
        await proxy.accept()
        await until(lambda: broker.connected)
        await publisher.publish(message("back"), timeout=SOON)
    assert await drained(amqp_url) == ["back"]


async def test_a_connection_that_is_cut_leaves_the_outcome_unknown(amqp_url: str) -> None:
    """A publish whose connection is lost before the confirm is BrokerUnavailable, and not a cancellation."""
    async with hung(amqp_url) as (proxy, _, publisher):
        calls = [asyncio.create_task(publisher.publish(message(f"x{n}"), timeout=SOON)) for n in range(20)]
        await asyncio.sleep(0)
        await proxy.cut()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {BrokerUnavailable}
        await publisher.publish(message("again"), timeout=SOON)


async def test_a_broker_that_hangs_ends_in_a_timeout(amqp_url: str) -> None:
    """A silent broker ends a publish at its deadline; the heartbeat then ends the connection."""
    async with hung(amqp_url, heartbeat_s=1) as (proxy, broker, publisher):
        with pytest.raises(PublishTimeout):
            await publisher.publish(message("hung"), timeout=timedelta(milliseconds=100))
        await until(lambda: not broker.connected)
        await proxy.cut()
        await until(lambda: broker.connected)
        await publisher.publish(message("after"), timeout=SOON)


async def test_who_is_given_up_waits_no_longer(amqp_url: str) -> None:
    """What is on its way has the outcome at once; its late confirm is nobody else's; the next message goes on."""
    async with hung(amqp_url) as (proxy, _, publisher):
        calls = [asyncio.create_task(publisher.publish(message(f"x{n}"), timeout=SOON)) for n in range(3)]
        await asyncio.sleep(0)
        publisher.give_up(BrokerUnavailable("too slow"))
        assert {str(result) for result in await asyncio.gather(*calls, return_exceptions=True)} == {
            "too slow"
        }
        next_call = asyncio.create_task(publisher.publish(message("next"), timeout=SOON))
        proxy.go_on()
        await next_call
    assert await drained(amqp_url) == ["first", "x0", "x1", "x2", "next"]


async def test_a_broker_that_does_not_read_ends_in_a_timeout(amqp_url: str) -> None:
    """More than all buffers hold ends in a timeout, and is not kept in memory."""
    async with hung(amqp_url) as (proxy, broker, publisher):
        heavy = [message(str(n), body=b"x" * 500_000) for n in range(100)]
        outcomes = await publisher.publish_many(heavy, timeout=timedelta(milliseconds=500))
        assert {type(outcome) for outcome in outcomes} == {PublishTimeout}
        transport = (await broker.publishing.connection(patience=SOON))._transport
        assert transport is not None
        assert transport.get_write_buffer_size() < 5_000_000
        await proxy.cut()


async def test_a_cancelled_caller_is_cancelled(amqp_url: str) -> None:
    """Cancelling a publish raises CancelledError in its caller, and harms no other publish."""
    async with hung(amqp_url) as (proxy, _, publisher):
        cancelled = asyncio.create_task(publisher.publish(message("x"), timeout=SOON))
        other = asyncio.create_task(publisher.publish(message("y"), timeout=SOON))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        proxy.go_on()
        await other
