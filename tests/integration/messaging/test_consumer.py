"""Consuming, as real brokers deliver."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from messaging import consumer as consumer_module
from messaging.consumer import Consumer
from messaging.delivery import Delivery
from messaging.failures import AlreadySettled
from messaging.publisher import Publisher
from tests.integration.messaging.tools import (
    QUEUE,
    SOON,
    Keeper,
    connected,
    consuming,
    drained,
    message,
    quorum,
    topology,
)
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy

NAMES = [f"m{n:03d}" for n in range(200)]


async def publish(broker_publisher: Publisher, names: Sequence[str]) -> None:
    """All of them, confirmed."""
    outcomes = await broker_publisher.publish_many([message(name) for name in names], timeout=SOON)
    assert not any(outcomes)


async def test_what_is_buffered_is_one_batch(amqp_url: str) -> None:
    """Messages come in order, in batches of what is there, never more than was asked for."""
    keeper = Keeper()
    async with connected(amqp_url) as broker:
        await publish(Publisher(broker), NAMES)
        async with consuming(Consumer(broker, QUEUE, keeper, prefetch=50, batch_max=20)):
            await until(lambda: len(keeper.ids) == len(NAMES))
    assert keeper.ids == NAMES
    assert max(len(batch) for batch in keeper.batches) == 20
    assert await drained(amqp_url) == []


async def test_a_message_arrives_as_it_was_sent(amqp_url: str) -> None:
    """Every property of a published message is in the delivery."""
    seen: list[Delivery] = []

    async def keep(batch: Sequence[Delivery]) -> None:
        seen.extend(batch)
        for delivery in batch:
            delivery.ack()

    async with connected(amqp_url) as broker, consuming(Consumer(broker, QUEUE, keep, prefetch=5)):
        await Publisher(broker).publish(
            message("m1", key="a.b.c", body=b"\x00\xff", room="Küche"), timeout=SOON
        )
        await until(lambda: seen)
    got = seen[0].message
    assert (got.queue, got.exchange, got.routing_key) == (QUEUE, "test.events", "a.b.c")
    assert (got.message_id, got.type, got.content_type) == ("m1", "test.v1", "application/json")
    assert (got.body, got.headers, got.redelivered, got.delivery_count) == (
        b"\x00\xff",
        {"room": "Küche"},
        False,
        0,
    )
    assert (got.correlation_id, got.reply_to, got.timestamp) == (None, None, None)


async def test_each_verdict_reaches_the_broker(amqp_url: str) -> None:
    """Acked is gone, dropped is gone, requeued comes again with its count, and first in line."""
    handled: list[tuple[str, int]] = []

    async def handle(batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            name, count = delivery.message.message_id or "", delivery.message.delivery_count
            handled.append((name, count))
            match int(name[1:]) % 3, count:
                case 0, _:
                    delivery.ack()
                case 1, 0:
                    delivery.requeue()
                case 1, _:
                    delivery.ack()
                case _:
                    delivery.drop()

    async with connected(amqp_url) as broker:
        await publish(Publisher(broker), NAMES[:30])
        async with consuming(Consumer(broker, QUEUE, handle, prefetch=10)):
            await until(lambda: len(handled) == 40)
    assert sorted(name for name, count in handled if count == 1) == NAMES[1:30:3]
    assert await drained(amqp_url) == []


async def test_a_second_settlement_is_refused(amqp_url: str) -> None:
    """Settling twice raises in the handler, and tells the broker nothing more."""
    async with connected(amqp_url) as broker:
        refused = asyncio.Event()

        async def handle(batch: Sequence[Delivery]) -> None:
            batch[0].ack()
            with pytest.raises(AlreadySettled):
                batch[0].requeue()
            refused.set()

        async with consuming(Consumer(broker, QUEUE, handle, prefetch=5)):
            await publish(Publisher(broker), ["one"])
            await asyncio.wait_for(refused.wait(), 10)
    assert await drained(amqp_url) == []


@pytest.mark.parametrize("fault", ["raises", "forgets"])
async def test_a_faulty_handler_loses_nothing(
    amqp_url: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a handler did not settle, because it raised or forgot, is delivered again; the consumer goes on."""
    monkeypatch.setattr(consumer_module, "FAULT_PAUSE", timedelta(milliseconds=20))
    done: list[str] = []

    async def handle(batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            if delivery.message.message_id == "m003" and not delivery.message.redelivered:
                if fault == "raises":
                    raise KeyError("a bug")
                return
            done.append(delivery.message.message_id or "")
            delivery.ack()

    async with connected(amqp_url) as broker:
        await publish(Publisher(broker), NAMES[:10])
        async with consuming(Consumer(broker, QUEUE, handle, prefetch=10)):
            await until(lambda: len(done) == 10)
    assert sorted(done) == NAMES[:10]
    assert await drained(amqp_url) == []


async def test_concurrent_handlers(amqp_url: str) -> None:
    """With `concurrent`, as many as the prefetch are handled at once, and no more."""
    running = most = done = 0
    gate = asyncio.Event()

    async def handle(batch: Sequence[Delivery]) -> None:
        nonlocal running, most, done
        assert len(batch) == 1
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        done += 1
        batch[0].ack()

    async with connected(amqp_url) as broker:
        await publish(Publisher(broker), NAMES[:40])
        async with consuming(Consumer(broker, QUEUE, handle, prefetch=8, concurrent=True)):
            await until(lambda: running == 8)
            gate.set()
            await until(lambda: done == 40)
            assert most == 8
    assert await drained(amqp_url) == []


async def test_a_lost_connection_makes_deliveries_stale(amqp_url: str) -> None:
    """What was in hand when the connection was lost is stale, what was buffered is dropped, and all comes again."""
    held: list[Delivery] = []
    resumed: list[str] = []
    gate = asyncio.Event()

    async def handle(batch: Sequence[Delivery]) -> None:
        if not gate.is_set():
            held.extend(batch)
            await gate.wait()
        else:
            resumed.extend(delivery.message.message_id or "" for delivery in batch)
        for delivery in batch:
            delivery.ack()

    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url)) as broker:
        await publish(Publisher(broker), NAMES[:20])
        async with consuming(Consumer(broker, QUEUE, handle, prefetch=10, batch_max=4)) as consumer:
            await until(lambda: held)
            assert held[0].current
            await proxy.cut()
            await until(lambda: not held[0].current)
            gate.set()
            await until(lambda: len(resumed) == 20)
            assert consumer.active
    assert sorted(resumed) == NAMES[:20]
    assert await drained(amqp_url) == []


async def test_stopping_lets_the_batch_finish(amqp_url: str) -> None:
    """Stop waits for the running batch and its acks; the rest stays in the queue, in order."""
    started, gate = asyncio.Event(), asyncio.Event()

    async def handle(batch: Sequence[Delivery]) -> None:
        started.set()
        await gate.wait()
        for delivery in batch:
            delivery.ack()

    async with connected(amqp_url) as broker:
        await publish(Publisher(broker), NAMES[:20])
        consumer = Consumer(broker, QUEUE, handle, prefetch=10, batch_max=1)
        consumer.start()
        await started.wait()
        stopping = asyncio.create_task(consumer.stop(SOON))
        await asyncio.sleep(0)
        assert not stopping.done()
        gate.set()
        await stopping
        assert broker.connected
        assert not consumer.subscribed
    assert await drained(amqp_url) == NAMES[1:20]


async def test_stopping_does_not_wait_for_ever(amqp_url: str) -> None:
    """A handler that does not finish within the drain is cancelled; its messages stay in the queue."""
    started = asyncio.Event()

    async def handle(batch: Sequence[Delivery]) -> None:
        started.set()
        await asyncio.Event().wait()

    async with connected(amqp_url) as broker:
        await publish(Publisher(broker), NAMES[:3])
        consumer = Consumer(broker, QUEUE, handle, prefetch=10)
        consumer.start()
        await started.wait()
        await consumer.stop(timedelta(milliseconds=50))
        assert broker.connected
    assert await drained(amqp_url) == NAMES[:3]


async def test_one_active_consumer_hands_over_in_order(amqp_url: str) -> None:
    """With a single active consumer, stopping one while messages flow leaves none twice and none out of order."""
    order: list[str] = []

    async def handle(batch: Sequence[Delivery]) -> None:
        await asyncio.sleep(0.001)
        order.extend(delivery.message.message_id or "" for delivery in batch)
        for delivery in batch:
            delivery.ack()

    single = topology(quorum(QUEUE, "#", single_active_consumer=True))
    async with connected(amqp_url, single) as one, connected(amqp_url, single) as two:
        await publish(Publisher(one), NAMES)
        first = Consumer(one, QUEUE, handle, prefetch=8, batch_max=4)
        async with consuming(Consumer(two, QUEUE, handle, prefetch=8, batch_max=4)) as second:
            first.start()
            await until(lambda: len(order) > 40)
            assert second.active
            await second.stop(SOON)
            assert order == NAMES[: len(order)]
            await until(lambda: len(order) == len(NAMES))
            assert first.active
        await first.stop(SOON)
    assert order == NAMES
