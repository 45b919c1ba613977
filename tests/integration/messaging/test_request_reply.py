"""Requests and replies over a real broker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from messaging.connection import Broker
from messaging.consumer import Consumer
from messaging.delivery import Delivery
from messaging.failures import BrokerUnavailable, PublishTimeout, RequestTimeout, Unroutable
from messaging.message import Outgoing
from messaging.publisher import Publisher
from messaging.request_reply import Requester
from tests.integration.messaging.tools import QUEUE, SOON, connected, consuming, message
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy


@asynccontextmanager
async def echo(broker: Broker) -> AsyncIterator[None]:
    """A service that answers each command with its own body."""
    publisher = Publisher(broker)

    async def answer(batch: Sequence[Delivery]) -> None:
        replies = [
            Outgoing(
                exchange="",
                routing_key=delivery.message.reply_to or "",
                body=delivery.message.body,
                message_id=f"re-{delivery.message.message_id}",
                type="test.reply.v1",
                content_type="application/json",
                correlation_id=delivery.message.correlation_id,
            )
            for delivery in batch
        ]
        await publisher.publish_many(replies, timeout=SOON)
        for delivery in batch:
            delivery.ack()

    async with consuming(Consumer(broker, QUEUE, answer, prefetch=50)):
        yield


@asynccontextmanager
async def requesting(broker: Broker) -> AsyncIterator[Requester]:
    """A requester that is ready."""
    requester = Requester(broker)
    requester.start()
    try:
        await until(lambda: requester.ready)
        yield requester
    finally:
        await requester.close()


async def test_each_request_gets_its_own_reply(amqp_url: str) -> None:
    """Many requests at once, one id twice among them: each gets the answer to it."""
    async with connected(amqp_url) as broker, echo(broker), requesting(broker) as requester:
        bodies = [f"body {n}".encode() for n in range(100)]
        calls = [
            requester.request(message(f"m{n % 50}", body=body), timeout=SOON) for n, body in enumerate(bodies)
        ]
        replies = await asyncio.gather(*calls)
    assert [reply.body for reply in replies] == bodies


async def test_no_reply_is_a_timeout(amqp_url: str) -> None:
    """A command that nobody answers ends at its deadline."""
    async with connected(amqp_url) as broker, requesting(broker) as requester:
        with pytest.raises(RequestTimeout):
            await requester.request(message("m"), timeout=timedelta(milliseconds=200))


async def test_a_command_that_nobody_takes_is_told_at_once(amqp_url: str) -> None:
    """A command without a queue is Unroutable, long before the deadline."""
    async with connected(amqp_url) as broker, requesting(broker) as requester:
        with pytest.raises(Unroutable):
            await requester.request(message("m", exchange="", key="nowhere"), timeout=SOON)


async def test_replies_come_after_a_reconnect(amqp_url: str) -> None:
    """The reply queue keeps its name over a lost connection, and requests work again."""
    async with (
        TcpProxy.before(amqp_url) as proxy,
        connected(amqp_url) as service,
        echo(service),
        connected(proxy.url(amqp_url)) as broker,
        requesting(broker) as requester,
    ):
        name = requester.reply_queue
        await proxy.cut()
        await until(lambda: not requester.ready)
        await until(lambda: requester.ready)
        assert (await requester.request(message("m", body=b"again"), timeout=SOON)).body == b"again"
        assert requester.reply_queue == name


async def test_a_broker_that_is_away_is_told_soon(amqp_url: str) -> None:
    """Without a broker a request says so after its patience, not at its deadline."""
    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url)) as broker:
        requester = Requester(broker, patience=timedelta(milliseconds=100))
        requester.start()
        await until(lambda: requester.ready)
        await proxy.refuse()
        await until(lambda: not requester.ready)
        began = asyncio.get_running_loop().time()
        with pytest.raises(BrokerUnavailable):
            await requester.request(message("m"), timeout=SOON)
        assert asyncio.get_running_loop().time() - began < 2
        await requester.close()


async def test_a_request_whose_reply_is_lost_is_told_at_once(amqp_url: str) -> None:
    """Who waits for a reply when the connection is cut does not wait until the deadline."""
    async with (
        TcpProxy.before(amqp_url) as proxy,
        connected(proxy.url(amqp_url)) as broker,
        requesting(broker) as requester,
    ):
        waiting = asyncio.create_task(requester.request(message("m"), timeout=timedelta(seconds=60)))
        await until(lambda: len(requester._waiting) == 1)
        await confirmed(broker)
        await proxy.cut()
        with pytest.raises(BrokerUnavailable):
            await asyncio.wait_for(waiting, SOON.total_seconds())


async def confirmed(broker: Broker) -> None:
    """What was published before is confirmed."""
    await Publisher(broker).publish(message("later"), timeout=SOON)


async def test_a_silent_broker_is_told_before_the_deadline(amqp_url: str) -> None:
    """A broker that is connected and answers nothing is a PublishTimeout, after `confirm_within` or at the deadline."""
    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url)) as broker:
        requester = Requester(broker, confirm_within=timedelta(milliseconds=200))
        requester.start()
        await until(lambda: requester.ready)
        proxy.hang()
        began = asyncio.get_running_loop().time()
        for deadline in (timedelta(seconds=60), timedelta(milliseconds=100)):
            with pytest.raises(PublishTimeout):
                await requester.request(message("m"), timeout=deadline)
        assert asyncio.get_running_loop().time() - began < 2
        proxy.go_on()
        await requester.close()
