"""Counting, browsing and listening, on real brokers."""

import asyncio

from messaging.browse import browsing
from messaging.counts import QueueCounts, queue_counts
from messaging.listen import listening
from messaging.publisher import Publisher
from schemas.topology import Binding
from tests.integration.messaging.tools import EXCHANGE, QUEUE, SOON, connected, message
from tests.support.polling import until


async def test_browsing_leaves_a_queue_as_it_was(amqp_url: str) -> None:
    """What is looked at and not settled is there again, in the same order, as soon as the look is over."""
    async with connected(amqp_url) as broker:
        await Publisher(broker).publish_many([message(name) for name in "abc"], timeout=SOON)
        await _until_ready(amqp_url, 3)
        for _ in range(5):
            async with browsing(broker, QUEUE) as held:
                assert [one.message.message_id for one in held] == ["a", "b", "c"]


async def test_what_is_settled_while_browsing_is_gone(amqp_url: str) -> None:
    """An ack inside the block takes that message alone out of the queue."""
    async with connected(amqp_url) as broker:
        await Publisher(broker).publish_many([message(name) for name in "abc"], timeout=SOON)
        await _until_ready(amqp_url, 3)
        async with browsing(broker, QUEUE) as held:
            held[1].ack()
        await _until_ready(amqp_url, 2)
        async with browsing(broker, QUEUE, at_most=1) as held:
            assert [one.message.message_id for one in held] == ["a"]


async def test_a_queue_that_is_not_there_is_empty_and_is_not_made(amqp_url: str) -> None:
    """Looking makes nothing."""
    async with connected(amqp_url) as broker:
        async with browsing(broker, "no.such.queue") as held:
            assert held == []
        assert await queue_counts(broker, ["no.such.queue", QUEUE]) == {
            "no.such.queue": None,
            QUEUE: QueueCounts(ready=0, consumers=0),
        }


async def test_who_listens_hears_what_its_bindings_bring_and_leaves_nothing(amqp_url: str) -> None:
    """Only messages of the bound keys come, from the first line of the block on."""
    async with connected(amqp_url) as broker:
        publisher = Publisher(broker)
        async with listening(broker, [Binding(EXCHANGE, "a.*")]) as messages:
            await publisher.publish(message("other", key="b.b"), timeout=SOON)
            await publisher.publish(message("mine", key="a.b"), timeout=SOON)
            async with asyncio.timeout(SOON.total_seconds()):
                assert (await anext(messages)).message_id == "mine"
        assert broker.connected


async def _until_ready(amqp_url: str, wanted: int) -> None:
    """A quorum queue says how much is ready a moment after the confirm."""
    async with connected(amqp_url) as broker:

        async def is_ready() -> bool:
            return (await queue_counts(broker, [QUEUE]))[QUEUE] == QueueCounts(ready=wanted, consumers=0)

        await until(is_ready)
