"""A connection before a peer that is no broker, half a broker, or a slow one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pamqp.frame
import pytest
from pamqp import commands
from pamqp.base import Frame as Method

from messaging.wire import frames
from messaging.wire.address import Address
from messaging.wire.connection import Connection, HandshakeRefused, connect
from messaging.wire.errors import ChannelClosed, ConnectionLost, ProtocolViolation

START = commands.Connection.Start(0, 9, {"product": "Fake", "version": "1"}, "PLAIN", "en_US")
TUNE = commands.Connection.Tune(10, 4096, 0)
SHORT = timedelta(seconds=5)

Script = Sequence[bytes]
"""What the peer says, a piece after each thing that it has heard."""


def method(method: Method, channel: int = 0) -> bytes:
    """The frame of a method."""
    return pamqp.frame.marshal(method, channel)


def good() -> list[bytes]:
    """A whole handshake."""
    return [method(START), method(TUNE), method(commands.Connection.OpenOk())]


@asynccontextmanager
async def peer(script: Script, *, piece_bytes: int | None = None) -> AsyncIterator[Address]:
    """Listens, and says its pieces in turn to whoever comes; closes when there is nothing left to say."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in script:
                await reader.read(65536)
                size = piece_bytes or max(1, len(answer))
                for at in range(0, len(answer), size):
                    writer.write(answer[at : at + size])
                    await writer.drain()
                    await asyncio.sleep(0)
            if piece_bytes is not None:
                await reader.read(65536)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Address.parse(f"amqp://me:hunter2@127.0.0.1:{port}/")


async def connected(address: Address) -> Connection:
    return await connect(address, name="test", heartbeat=timedelta(seconds=10), timeout=SHORT)


async def test_frames_may_come_byte_by_byte() -> None:
    """A broker behind a slow line is a broker."""
    async with peer([*good(), method(commands.Connection.CloseOk())], piece_bytes=1) as address:
        connection = await connected(address)
        assert (connection.is_open, connection.server, connection.frame_max) == (True, "Fake 1", 4096)
        await connection.close()
        assert "did not answer" not in str(connection.lost.result())


NO_BROKER: dict[str, tuple[Script, type[Exception]]] = {
    "closes at once": ([b""], ConnectionLost),
    "speaks HTTP": ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], ProtocolViolation),
    "speaks another AMQP": ([b"AMQP\x00\x01\x00\x00"], ProtocolViolation),
    "cuts a frame short": ([method(START)[:-5]], ConnectionLost),
    "forgets the end of a frame": ([method(START)[:-1] + b"\x00"], ProtocolViolation),
    "has a method that is unknown": (
        [b"\x01\x00\x00\x00\x00\x00\x04\x00\x63\x00\x63\xce"],
        ProtocolViolation,
    ),
    "has a method without arguments": (
        [b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce"],
        ProtocolViolation,
    ),
    "has an empty method": ([b"\x01\x00\x00\x00\x00\x00\x00\xce"], ProtocolViolation),
    "begins with the wrong method": ([method(TUNE)], ProtocolViolation),
    "refuses the login": (
        [method(START), method(commands.Connection.Close(403, "ACCESS_REFUSED", 0, 0))],
        HandshakeRefused,
    ),
    "refuses the virtual host": (
        [method(START), method(TUNE), method(commands.Connection.Close(530, "NOT_ALLOWED", 0, 0))],
        HandshakeRefused,
    ),
}


@pytest.mark.parametrize(("script", "error"), NO_BROKER.values(), ids=NO_BROKER.keys())
async def test_a_peer_that_is_no_broker_is_an_error_of_the_connection(
    script: Script, error: type[Exception]
) -> None:
    """One that whoever connects again and again knows, and without the password."""
    async with peer(script) as address:
        with pytest.raises(error) as raised:
            await connected(address)
    assert isinstance(raised.value, ConnectionLost)
    assert "hunter2" not in str(raised.value)


GARBAGE: dict[str, Callable[[], bytes]] = {
    "no frame": lambda: b"garbage, and then more of it",
    "content without a method": lambda: frame(frames.BODY, 1, b"x"),
    "a header that is cut short": lambda: (
        method(commands.Basic.Deliver("t", 1, False, "e", "k"), 1) + frame(frames.HEADER, 1, b"\x00\x3c")
    ),
    "a delivery that is cut short": lambda: frame(frames.METHOD, 1, b"\x00\x3c\x00\x3c\x09t"),
    "a confirm that is cut short": lambda: frame(frames.METHOD, 1, b"\x00\x3c\x00\x50\x01"),
    "a table that has no end": lambda: method(
        commands.Connection.Start(0, 9, {"a": {"b": {}}}, "PLAIN", "en_US")
    ).replace(b"\x01bF", b"\x01b?"),
}


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Any frame."""
    return bytes([kind, 0, channel]) + len(payload).to_bytes(4, "big") + payload + b"\xce"


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_ends_the_connection_and_whoever_waits_is_told(garbage: Callable[[], bytes]) -> None:
    """The call that was under way fails, the channel is closed, and `lost` says why."""
    script = [*good(), method(commands.Channel.OpenOk(), 1), garbage()]
    async with peer(script) as address:
        connection = await connected(address)
        channel = await connection.open_channel()
        with pytest.raises(ConnectionLost):
            await channel.call(commands.Queue.Declare(queue="q", passive=True))
        assert isinstance(await connection.lost, ConnectionLost)
        assert not channel.is_open
        with pytest.raises(ConnectionLost):
            await connection.open_channel()


async def test_a_channel_that_the_broker_closes_leaves_the_connection() -> None:
    """The call fails with the broker's words; another channel can be opened."""
    refusal = method(commands.Channel.Close(406, "PRECONDITION_FAILED - other", 50, 10), 1)
    script = [*good(), method(commands.Channel.OpenOk(), 1), refusal, method(commands.Channel.OpenOk(), 2)]
    async with peer(script) as address:
        connection = await connected(address)
        channel = await connection.open_channel()
        with pytest.raises(ChannelClosed, match="406 PRECONDITION_FAILED - other"):
            await channel.call(commands.Queue.Declare(queue="q"))
        assert connection.is_open
        assert (await connection.open_channel()).is_open
        connection.give_up(ConnectionLost("done"))


async def test_more_channels_than_the_broker_allows_are_refused() -> None:
    """At once, and in words; the connection and its channels go on."""
    opened = [method(commands.Channel.OpenOk(), number) for number in range(1, 11)]
    async with peer([*good(), *opened, b""]) as address:
        connection = await connected(address)
        channels = [await connection.open_channel() for _ in range(10)]
        with pytest.raises(ChannelClosed, match="no more than 10 channels"):
            await connection.open_channel()
        assert connection.is_open
        assert all(channel.is_open for channel in channels)
        connection.give_up(ConnectionLost("done"))


async def test_an_alarm_counts_as_a_broker_that_does_not_read() -> None:
    """Nothing should be written while it lasts; its reason is the broker's, and its end lets writers go on."""
    told: list[str | None] = []
    blocked = method(commands.Connection.Blocked("low on memory"))
    unblocked = method(commands.Connection.Unblocked())
    opened = method(commands.Channel.OpenOk(), 1)
    async with peer(
        [*good(), opened + blocked, method(commands.Channel.CloseOk(), 1) + unblocked]
    ) as address:
        connection = await connected(address)
        connection.on_blocked = told.append
        channel = await connection.open_channel()
        assert (connection.congested, connection.blocked) == (True, "low on memory")
        draining = asyncio.create_task(connection.drained())
        await channel.close()
        await asyncio.wait_for(draining, SHORT.total_seconds())
        assert (connection.congested, connection.blocked, told) == (False, None, ["low on memory", None])
        connection.give_up(ConnectionLost("done"))


class Wire(asyncio.Transport):
    """What was written, a write for each."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits in here."""


async def test_few_frames_leave_together_and_many_at_once() -> None:
    """At the end of the turn in one write; but a broker may work on many while more are made. None is lost or moved."""
    connection = Connection(heartbeat=timedelta(seconds=10))
    wire = Wire()
    connection.connection_made(wire)
    wire.writes.clear()
    for number in range(3):
        connection.write(b"%d" % number)
    assert wire.writes == []
    await asyncio.sleep(0)
    assert wire.writes == [b"012"]
    frames_of_a_turn = [b"%04d" % number * 256 for number in range(20)]
    for frame_ in frames_of_a_turn:
        connection.write(frame_)
    assert [len(write) for write in wire.writes[1:]] == [8192, 8192]
    await asyncio.sleep(0)
    assert b"".join(wire.writes) == b"012" + b"".join(frames_of_a_turn)
