"""Reading a stream on a real broker: places to begin at, and going on after the connection was cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pamqp import commands

from messaging.connection import Broker
from messaging.failures import BrokerUnavailable
from messaging.publisher import Publisher
from messaging.stream import Offset, StreamReader, tail
from messaging.topology import declare
from schemas.topology import Binding, Queue, Topology
from tests.integration.messaging.tools import EXCHANGE, SOON, connected, message, topology
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy

LOG = "test.log"
STREAM: Topology = topology(
    Queue(
        name=LOG,
        kind="stream",
        arguments={"x-queue-type": "stream", "x-max-age": "7D"},
        bindings=(Binding(EXCHANGE, "#"),),
    )
)


async def publish(broker: Broker, *names: str) -> None:
    """Confirmed, in this order."""
    outcomes = await Publisher(broker).publish_many([message(name) for name in names], timeout=SOON)
    assert outcomes == [None] * len(names)


async def take(reader: StreamReader, count: int) -> list[tuple[int, str]]:
    """The next messages: offset and id."""
    async with asyncio.timeout(SOON.total_seconds()):
        return [
            (offset, read.message_id or "") for offset, read in [await anext(reader) for _ in range(count)]
        ]


@asynccontextmanager
async def reading(broker: Broker, offset: Offset, *, prefetch: int = 500) -> AsyncIterator[StreamReader]:
    """A reader that is subscribed."""
    reader = StreamReader(broker, LOG, offset=offset, prefetch=prefetch)
    await reader.open(patience=SOON)
    try:
        yield reader
    finally:
        await reader.close()


async def test_first_is_the_oldest_and_a_number_is_that_message(amqp_url: str) -> None:
    """Offsets count from 0 without a gap, and lead to their messages again."""
    names = [f"m{n}" for n in range(5)]
    async with connected(amqp_url, STREAM) as broker:
        await publish(broker, *names)
        async with reading(broker, "first") as reader:
            assert await take(reader, 5) == list(enumerate(names))
        async with reading(broker, 3) as reader:
            assert await take(reader, 2) == [(3, "m3"), (4, "m4")]


async def test_next_begins_with_what_is_published_after_open(amqp_url: str) -> None:
    """What was confirmed before is not seen; what is published afterwards is."""
    async with connected(amqp_url, STREAM) as broker:
        await publish(broker, "before")
        async with reading(broker, "next") as reader:
            assert reader.position == 1
            await publish(broker, "after")
            assert await take(reader, 1) == [(1, "after")]


async def test_a_time_begins_no_later_than_what_was_published_then(amqp_url: str) -> None:
    """Nothing published from that time on is missing."""
    async with connected(amqp_url, STREAM) as broker:
        then = datetime.now(UTC) - timedelta(seconds=2)
        await publish(broker, "m0", "m1")
        async with reading(broker, then) as reader:
            assert [name for _, name in await take(reader, 2)] == ["m0", "m1"]


@pytest.mark.parametrize("prefetch", [1, 7])
async def test_a_small_prefetch_reads_everything(amqp_url: str, prefetch: int) -> None:
    """More messages than may be out at once come in order, each once."""
    names = [f"m{n}" for n in range(40)]
    async with connected(amqp_url, STREAM) as broker:
        await publish(broker, *names)
        async with reading(broker, "first", prefetch=prefetch) as reader:
            assert [name for _, name in await take(reader, 40)] == names


async def test_a_cut_connection_brings_no_doubles_and_no_gaps(amqp_url: str) -> None:
    """Cut between, during and after deliveries, what was published meanwhile included."""
    async with (
        connected(amqp_url, STREAM) as outside,
        TcpProxy.before(amqp_url) as proxy,
        connected(proxy.url(amqp_url), STREAM) as broker,
        reading(broker, "next", prefetch=4) as reader,
    ):
        seen: list[tuple[int, str]] = []
        for turn in range(4):
            await publish(outside, *(f"{turn}.{n}" for n in range(10)))
            seen += await take(reader, 7)
            await proxy.refuse()
            await publish(outside, f"{turn}.away")
            await proxy.accept()
        seen += await take(reader, 44 - len(seen))
    names = [name for turn in range(4) for name in (*(f"{turn}.{n}" for n in range(10)), f"{turn}.away")]
    assert seen == list(enumerate(names))


async def test_a_reader_that_saw_nothing_yet_goes_on_from_its_place(amqp_url: str) -> None:
    """`next` keeps its place over a cut that comes before the first message."""
    async with (
        connected(amqp_url, STREAM) as outside,
        TcpProxy.before(amqp_url) as proxy,
        connected(proxy.url(amqp_url), STREAM) as broker,
    ):
        await publish(outside, "before")
        async with reading(broker, "next") as reader:
            await proxy.refuse()
            await until(lambda: not reader.subscribed)
            await publish(outside, "meanwhile")
            await proxy.accept()
            assert await take(reader, 1) == [(1, "meanwhile")]


async def test_a_stream_that_was_made_anew_is_read_from_its_beginning(amqp_url: str) -> None:
    """Whoever wiped the broker began at 0 again: nothing of the new stream is skipped, and nothing comes twice."""
    async with (
        connected(amqp_url, STREAM) as outside,
        TcpProxy.before(amqp_url) as proxy,
        connected(proxy.url(amqp_url), STREAM) as broker,
    ):
        await publish(outside, "old-0", "old-1", "old-2")
        async with reading(broker, "first") as reader:
            assert len(await take(reader, 3)) == 3
            await proxy.refuse()
            channel = await (await outside.consuming.connection(patience=SOON)).open_channel()
            await channel.call(commands.Queue.Delete(queue=LOG))
            await declare(outside, STREAM)
            await publish(outside, "new-0", "new-1")
            await proxy.accept()
            assert await take(reader, 2) == [(0, "new-0"), (1, "new-1")]


async def test_tail_is_above_all_that_was_confirmed(amqp_url: str) -> None:
    """0 for a stream that never had a message, then one more for each confirmed one."""
    async with connected(amqp_url, STREAM) as broker:
        end = 0
        for count in (0, 1, 30, 1, 700):
            await publish(broker, *(f"m{end + n}" for n in range(count)))
            end += count
            assert await tail(broker, LOG, patience=SOON) == end


async def test_closing_ends_the_iteration(amqp_url: str) -> None:
    """Whoever waits for the next message is told that there is none."""
    async with connected(amqp_url, STREAM) as broker:
        reader = StreamReader(broker, LOG, offset="first")
        await reader.open(patience=SOON)

        async def read_all() -> list[int]:
            return [offset async for offset, _ in reader]

        waiting = asyncio.create_task(read_all())
        await reader.close()
        assert await asyncio.wait_for(waiting, SOON.total_seconds()) == []


async def test_a_broker_that_is_away_is_told_after_the_patience(amqp_url: str) -> None:
    """`open` and `tail` say so; they do not wait for ever."""
    async with TcpProxy.before(amqp_url) as proxy, connected(proxy.url(amqp_url), STREAM) as broker:
        await proxy.refuse()
        await until(lambda: not broker.connected)
        reader = StreamReader(broker, LOG, offset="first")
        with pytest.raises(BrokerUnavailable):
            await reader.open(patience=timedelta(milliseconds=100))
        with pytest.raises(BrokerUnavailable):
            await tail(broker, LOG, patience=timedelta(milliseconds=100))


async def test_a_stream_that_was_deleted_is_read_from_its_new_beginning(amqp_url: str) -> None:
    """It is made anew by whoever misses it first, and its offsets begin at 0 again: nothing of it is skipped."""
    async with connected(amqp_url, STREAM) as broker, connected(amqp_url, topology()) as other:
        await publish(broker, *(f"old{n}" for n in range(5)))
        async with reading(broker, "first") as reader:
            assert len(await take(reader, 5)) == 5
            waiting = asyncio.create_task(take(reader, 2))
            channel = await (await other.consuming.connection(patience=SOON)).open_channel()
            await channel.call(commands.Queue.Delete(queue=LOG))
            await channel.close()
            await until(lambda: reader.position == 0 and reader.subscribed)
            await publish(broker, "new0", "new1")
            assert await waiting == [(0, "new0"), (1, "new1")]
