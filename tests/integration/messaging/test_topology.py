"""The topology, as brokers make it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from messaging.connection import Broker
from messaging.consumer import Consumer
from messaging.failures import BrokerUnavailable, TopologyMismatch
from messaging.publisher import Publisher
from messaging.topology import declare, establish, verify
from schemas.topology import TOPOLOGY, Binding, Exchange, Topology
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


async def test_the_projects_own_topology_is_made_as_asked(amqp_url: str) -> None:
    """Every exchange and queue of the project is made, twice without harm, and no argument is ignored."""
    async with connected(amqp_url, TOPOLOGY) as broker:
        await declare(broker, TOPOLOGY)
        assert await verify(broker, TOPOLOGY) == ()


async def test_what_cannot_be_made_yet_is_waited_for(amqp_url: str) -> None:
    """A broker that has just started may not have all of its queues yet: here it lacks what one is bound to."""
    missing = Topology(exchanges=(Exchange("test.missing"),), queues=())
    needy = topology(replace(quorum("test.needy"), bindings=(Binding("test.missing", "#"),)))
    async with connected(amqp_url) as broker, asyncio.TaskGroup() as tasks:
        with capture_logs() as logs:
            established = tasks.create_task(establish(broker, needy))
            await until(lambda: [one for one in logs if one["event"] == "broker.waiting"])
        assert "test.missing" in logs[0]["error"]
        await declare(broker, missing)
        await established
        assert await verify(broker, needy) == ()


async def test_a_queue_that_is_made_otherwise_is_named(amqp_url: str) -> None:
    """A queue with another argument is a TopologyMismatch that names the queue and the argument."""
    async with connected(amqp_url) as broker:
        with pytest.raises(TopologyMismatch, match=r"queue test\.queue.*x-delivery-limit") as raised:
            await declare(broker, topology(quorum(QUEUE, "#", delivery_limit=7)))
        assert "delete" in str(raised.value)
        assert broker.connected


async def test_a_misspelt_argument_is_found(amqp_url: str) -> None:
    """An argument that the broker takes and ignores is reported, or refused by a broker that knows better."""
    odd = topology(quorum("test.odd", delivery_limt=3))
    async with connected(amqp_url) as broker:
        refused = await _refusal(broker, odd)
        ignored = () if refused else await verify(broker, odd)
    assert "delivery-limt" in refused or ignored == ("queue test.odd: the broker ignores x-delivery-limt",)


async def _refusal(broker: Broker, made: Topology) -> str:
    """What the broker says against a topology; empty when it takes it."""
    try:
        await declare(broker, made)
    except (TopologyMismatch, BrokerUnavailable) as error:
        return str(error)
    return ""


async def test_half_of_at_least_once_is_found(amqp_url: str) -> None:
    """At-least-once dead-lettering without reject-publish is reported: brokers weaken it silently."""
    half = topology(quorum("test.half", dead_letter_exchange="x", dead_letter_strategy="at-least-once"))
    async with connected(amqp_url, half) as broker:
        assert await verify(broker, half) == (
            "queue test.half: at-least-once dead-lettering needs x-overflow=reject-publish",
        )


async def test_a_deleted_exchange_comes_back(amqp_url: str) -> None:
    """An exchange that somebody deleted is made again, with its bindings, when a publish misses it."""
    from pamqp import commands

    async with connected(amqp_url) as broker:
        publisher = Publisher(broker)
        channel = await (await broker.consuming.connection(patience=SOON)).open_channel()
        await channel.call(commands.Exchange.Delete(exchange="test.events"))
        await channel.close()
        with pytest.raises(BrokerUnavailable, match="no exchange"):
            await publisher.publish(message("1"), timeout=SOON)
        await publisher.publish(message("1"), timeout=SOON)


async def test_a_deleted_queue_comes_back_with_its_consumer(amqp_url: str) -> None:
    """A queue that somebody deleted is made again, and its consumer goes on."""
    from pamqp import commands

    keeper = Keeper()
    async with (
        connected(amqp_url) as broker,
        consuming(Consumer(broker, QUEUE, keeper, prefetch=5)) as consumer,
    ):
        channel = await (await broker.publishing.connection(patience=SOON)).open_channel()
        await channel.call(commands.Queue.Delete(queue=QUEUE))
        await channel.close()
        await until(lambda: not consumer.subscribed)
        await consumer.wait_subscribed(patience=SOON)
        await Publisher(broker).publish(message("after"), timeout=SOON)
        await until(lambda: keeper.ids == ["after"])


async def test_a_new_broker_gets_the_topology(amqp_url: str) -> None:
    """After a reconnect the topology is there before anybody can publish, also on an empty broker."""
    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url)) as broker:
        from pamqp import commands

        channel = await (await broker.publishing.connection(patience=SOON)).open_channel()
        await channel.call(commands.Queue.Delete(queue=QUEUE))
        await proxy.cut()
        await until(lambda: not broker.connected)
        publisher = Publisher(broker, patience=SOON)
        await publisher.publish(message("1"), timeout=SOON)


async def test_declaring_without_a_broker_ends(amqp_url: str) -> None:
    """A declare on a connection that hangs is BrokerUnavailable, not a hang."""
    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url), heartbeat_s=1) as broker:
        proxy.hang()
        with pytest.raises(BrokerUnavailable):
            await declare(broker, topology(replace(quorum("test.more", "x"))))
        proxy.go_on()


def test_a_wrong_url_is_refused_at_once() -> None:
    """A URL that cannot be right does not wait for a broker."""
    with pytest.raises(ValueError, match="amqp://"):
        Broker("http://localhost/", name="test", heartbeat=timedelta(seconds=10))
