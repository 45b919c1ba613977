"""Messages that were made to break their reader."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from pamqp import commands

from messaging.consumer import Consumer
from messaging.dead_letters import dead_letter, replay, told_of
from messaging.delivery import Delivery
from messaging.message import Incoming
from messaging.publisher import Publisher
from messaging.wire import frames
from schemas.topology import TOPOLOGY
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

NESTED = b"\x01kF" + struct.pack(">I", 10) + b"\x01kF" + struct.pack(">I", 3) + b"\x01kV"
HOSTILE = {
    "a correlation id that is not UTF-8": struct.pack(">H", 1 << 10) + b"\x02\xff\xfe",
    "a time beyond all years": struct.pack(">HQ", 1 << 6, 2**63),
    "a time in milliseconds": struct.pack(">HQ", 1 << 6, 1_800_000_000_000_000),
    "a priority out of range": struct.pack(">HB", 1 << 11, 255),
    "nested headers": struct.pack(">HI", 1 << 13, len(NESTED)) + NESTED,
}


async def publish_raw(publisher_url: str, properties: bytes, body: bytes = b"odd") -> None:
    """Publish with these bytes as properties."""
    async with connected(publisher_url) as broker:
        channel = await (await broker.publishing.connection(patience=SOON)).open_channel()
        await channel.call(commands.Confirm.Select())
        whole = frames.encode_publish(
            channel.number,
            exchange="test.events",
            routing_key="odd",
            mandatory=False,
            properties=message("x").properties(),
            body=body,
            frame_max=131_072,
        )
        method, _, content = frames.FrameSplitter().feed(whole)
        header = struct.pack(">HHQ", 60, 0, len(body)) + properties
        for kind, payload in ((1, method.payload), (2, header), (3, content.payload)):
            channel.write(struct.pack(">BHI", kind, channel.number, len(payload)) + payload + b"\xce")
        await channel.close()


@pytest.mark.parametrize("properties", HOSTILE.values(), ids=HOSTILE.keys())
async def test_odd_properties_do_not_stop_the_consumer(amqp_url: str, properties: bytes) -> None:
    """A message with properties that cannot be read is delivered like any other, and the next one after it."""
    keeper = Keeper()
    async with connected(amqp_url) as broker, consuming(Consumer(broker, QUEUE, keeper, prefetch=5)):
        await publish_raw(amqp_url, properties)
        await Publisher(broker).publish(message("next"), timeout=SOON)
        await until(lambda: keeper.ids[-1:] == ["next"])
        assert len(keeper.ids) == 2
        assert broker.connected


class Kept:
    """A handler that acks everything, and keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []

    async def __call__(self, batch: Sequence[Delivery]) -> None:
        self.messages.extend(delivery.message for delivery in batch)
        for delivery in batch:
            delivery.ack()


async def set_aside(publisher: Publisher, incoming: Incoming) -> None:
    """As a worker does it."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    await dead_letter(
        publisher, incoming, reason="invalid", error="odd", attempts=1, now=now, timeout=timedelta(seconds=5)
    )


async def test_a_hostile_message_can_be_set_aside_and_brought_back(amqp_url: str) -> None:
    """A dead letter holds the body and the reason, and its replay arrives where it came from."""
    keep = Kept()
    seen = keep.messages
    async with connected(amqp_url, TOPOLOGY) as broker:
        publisher = Publisher(broker)
        async with (
            connected(amqp_url, topology(quorum(QUEUE, "odd"))) as other,
            consuming(Consumer(other, QUEUE, keep, prefetch=5)),
            consuming(Consumer(broker, "june.dead.v1", keep, prefetch=5)),
        ):
            await publish_raw_to(amqp_url)
            await until(lambda: len(seen) == 1)
            await set_aside(publisher, seen[0])
            await until(lambda: len(seen) == 2)
            assert (seen[1].queue, seen[1].body, seen[1].headers["reason"]) == (
                "june.dead.v1",
                b"\xff\x00",
                "invalid",
            )
            await replay(publisher, seen[1], timeout=SOON)
            await until(lambda: len(seen) == 3)
            assert (seen[2].queue, seen[2].body, seen[2].routing_key) == (QUEUE, b"\xff\x00", "odd")
            assert "reason" not in seen[2].headers


LONG_NAME = b"\xff" + b"\xe9" * 255 + b"I\x00\x00\x00\x07"
LONG_VALUE = b"\x01hS" + struct.pack(">I", 130_900) + b"a" * 130_900


@pytest.mark.parametrize("table", [LONG_NAME, LONG_VALUE], ids=["a name that is not UTF-8", "a frame full"])
async def test_no_headers_keep_a_message_from_being_set_aside(amqp_url: str, table: bytes) -> None:
    """Where a sender's headers leave no room for ours, they are left out; the connection lives on."""
    before, dead = Kept(), Kept()
    async with (
        connected(amqp_url, TOPOLOGY) as broker,
        connected(amqp_url) as other,
        consuming(Consumer(other, QUEUE, before, prefetch=5)),
        consuming(Consumer(broker, "june.dead.v1", dead, prefetch=5)),
    ):
        connection = await broker.publishing.connection(patience=SOON)
        await publish_raw(amqp_url, struct.pack(">HI", 1 << 13, len(table)) + table)
        await until(lambda: before.messages)
        await set_aside(Publisher(broker), before.messages[0])
        await until(lambda: dead.messages)
        assert connection.is_open
    (letter,) = dead.messages
    assert (letter.body, letter.headers["reason"]) == (b"odd", "invalid")
    assert letter.headers["origin_routing_key"] == "odd"


async def test_what_the_broker_set_aside_is_told_and_brought_back(amqp_url: str) -> None:
    """A message that was refused, or killed its readers, has our headers by what the broker noted."""
    dead, back = Kept(), Kept()

    async def refuse(batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            delivery.drop()

    refusing = topology(quorum(QUEUE, "odd", dead_letter_exchange="june.dead"))
    async with (
        connected(amqp_url, TOPOLOGY) as broker,
        connected(amqp_url, refusing) as other,
        consuming(Consumer(broker, "june.dead.v1", dead, prefetch=5)),
    ):
        publisher = Publisher(other)
        async with consuming(Consumer(other, QUEUE, refuse, prefetch=5)):
            await publisher.publish(message("bad", key="odd", colour="red"), timeout=SOON)
            await until(lambda: dead.messages)
        told = told_of(dead.messages[0])
        assert (told["reason"], told["origin_exchange"], told["origin_routing_key"]) == (
            "rejected",
            "test.events",
            "odd",
        )
        assert isinstance(told["failed_at"], int)
        async with consuming(Consumer(other, QUEUE, back, prefetch=5)):
            await replay(publisher, dead.messages[0], timeout=SOON)
            await until(lambda: back.messages)
    (again,) = back.messages
    assert (again.message_id, again.body, again.headers) == ("bad", b"{}", {"colour": "red"})


async def publish_raw_to(url: str) -> None:
    """A hostile message for the queue that takes `odd` alone."""
    async with connected(url, topology(quorum(QUEUE, "odd"))) as broker:
        await Publisher(broker).publish(message("bad", key="odd", body=b"\xff\x00"), timeout=SOON)
