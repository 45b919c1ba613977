"""One AMQP 0-9-1 connection, from the handshake to its end. It never comes back: the owner makes another.

Promises: frames that are written in one turn of the event loop leave in one write, or in few; a peer that is silent for
two heartbeats is given up; whatever happens, `lost` is done exactly once and every channel is told. Refuses
(HandshakeRefused) what the broker refuses: a wrong password, an unknown virtual host.
"""

import asyncio
import itertools
import ssl
import struct
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar, cast

from pamqp import commands
from pamqp.base import Frame as Method
from pamqp.common import FieldValue

from messaging.wire import frames
from messaging.wire.address import Address
from messaging.wire.channel import Channel, Listener, Silent
from messaging.wire.errors import ChannelClosed, ConnectionLost, ProtocolViolation

_CLOSE_TIMEOUT: Final = timedelta(seconds=2)
_MAX_FRAME_BYTES: Final = 128 * 1024
_HIGH_WATER_BYTES: Final = 1 << 20
_MANY_BYTES: Final = 8 * 1024
"""So many do not wait for the end of the turn: the broker works on them while we make more."""
_M = TypeVar("_M", bound=Method)


class HandshakeRefused(ConnectionLost):
    """The broker answered, and said no; its words are the message."""


class Connection(asyncio.Protocol):
    """A live connection; made by `connect`."""

    def __init__(self, *, heartbeat: timedelta) -> None:
        """Prepare; `heartbeat` is what we offer, the broker may ask for less."""
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[ConnectionLost] = loop.create_future()
        self.frame_max = _MAX_FRAME_BYTES
        self.server = ""
        self.blocked: str | None = None
        self.on_blocked: Callable[[str | None], None] = lambda _: None
        self._loop = loop
        self._heartbeat_s = int(heartbeat.total_seconds())
        self._channel_max = 2047
        self._channels: dict[int, Channel] = {}
        self._numbers = itertools.count()
        self._released: dict[int, asyncio.Future[None]] = {}
        self._splitter = frames.FrameSplitter()
        self._answers: asyncio.Queue[Method] = asyncio.Queue()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flow = asyncio.Event()
        self._flow.set()
        self._full = False
        self._heard = self._told = loop.time()
        self._beat: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    # --- what owners use -----------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """False from the moment that it is lost or closed."""
        return not self.lost.done()

    @property
    def silent_s(self) -> float:
        """For how long nothing has come from the broker, heartbeats included."""
        return self._loop.time() - self._heard

    @property
    def congested(self) -> bool:
        """True while the broker does not read what we write: an alarm, a hang, or plain load."""
        return not self._flow.is_set()

    async def drained(self) -> None:
        """Wait until there is room to write again, or the connection is lost."""
        await self._flow.wait()

    async def open_channel(self, listener: Listener | None = None) -> Channel:
        """A new channel. Raises ConnectionLost, ChannelClosed, TimeoutError."""
        if self.lost.done():
            raise self.lost.result()
        number = self._free_number()
        channel = self._channels[number] = Channel(self, number, listener or Silent())
        await channel.call(commands.Channel.Open())
        return channel

    def _free_number(self) -> int:
        """Numbers go round, so that a late frame of a closed channel finds nobody."""
        if len(self._channels) >= self._channel_max:
            raise ChannelClosed(
                0, f"the broker allows no more than {self._channel_max} channels (channel_max)"
            )
        while (number := next(self._numbers) % self._channel_max + 1) in self._channels:
            pass
        return number

    def write(self, data: bytes) -> None:
        """Queue whole frames for the write at the end of this turn of the event loop; many leave before it."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes >= _MANY_BYTES:
            self._flush()

    async def close(self) -> None:
        """Say goodbye and wait for the answer, 2 s at most. Idempotent."""
        if not self.lost.done():
            self.write(frames.encode_method(commands.Connection.Close(200, "closing", 0, 0), 0))
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT.total_seconds()):
                    await asyncio.shield(self.lost)
            except TimeoutError:
                self.give_up(ConnectionLost("the broker did not answer our close"))

    def give_up(self, error: ConnectionLost, *, politely: bool = False) -> None:
        """End it now, for this reason; the first reason stands. Idempotent.

        `politely` lets what is written out first; a peer that hangs would hold that for ever.
        """
        if self.lost.done():
            return
        self.lost.set_result(error)
        if self._beat is not None:
            self._beat.cancel()
        for channel in list(self._channels.values()):
            channel.end(error)
            self.forget(channel.number)
        self._flow.set()
        self._answers.put_nowait(commands.Connection.Close(0, str(error), 0, 0))
        if self._transport is not None:
            (self._transport.close if politely else self._transport.abort)()

    # --- what channels use ---------------------------------------------------------------------------------

    def forget(self, number: int) -> None:
        """The broker has let go of this channel: its number is free."""
        self._channels.pop(number, None)
        if (released := self._released.pop(number, None)) is not None and not released.done():
            released.set_result(None)

    async def released(self, number: int) -> None:
        """Wait until the broker has let go of this channel, 2 s at most; then the connection is hopeless."""
        if number not in self._channels:
            return
        waiting = self._released.setdefault(number, self._loop.create_future())
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT.total_seconds()):
                await asyncio.shield(waiting)
        except TimeoutError:
            self.give_up(ConnectionLost("the broker did not answer the close of a channel"))

    # --- asyncio.Protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start talking."""
        # A cast, since uvloop's transports are no subclass of asyncio's.
        stream = cast("asyncio.Transport", transport)
        self._transport = stream
        stream.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        stream.write(frames.PROTOCOL_HEADER)

    def data_received(self, data: bytes) -> None:
        """Hand each complete frame to whom it belongs."""
        self._heard = self._loop.time()
        try:
            for kind, number, payload in self._splitter.feed(data):
                if number == 0:
                    self._receive(kind, payload)
                elif (channel := self._channels.get(number)) is not None:
                    channel.receive(kind, payload)
        except ProtocolViolation as error:
            self.give_up(error)
        except (struct.error, IndexError) as error:
            self.give_up(ProtocolViolation(f"a frame that is cut short: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self.give_up(ConnectionLost(str(exc) if exc else "the peer closed the connection"))

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._full = True
        self._set_flow()

    def resume_writing(self) -> None:
        """There is room again."""
        self._full = False
        self._set_flow()

    # --- inside --------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if not self._out:
            return
        data, self._out, self._out_bytes = b"".join(self._out), [], 0
        if self._transport is not None and not self.lost.done():
            self._told = self._loop.time()
            self._transport.write(data)

    def _receive(self, kind: int, payload: bytes) -> None:
        if kind != frames.METHOD:
            return
        match frames.decode_method(payload):
            case commands.Connection.Blocked(reason=reason):
                self._set_blocked(_text(reason))
            case commands.Connection.Unblocked():
                self._set_blocked(None)
            case commands.Connection.Close(reply_code=code, reply_text=text) if self._beat is not None:
                self.write(frames.encode_method(commands.Connection.CloseOk(), 0))
                self._flush()
                self.give_up(ConnectionLost(f"closed by the broker: {code} {text!s}"), politely=True)
            case commands.Connection.CloseOk():
                self.give_up(ConnectionLost("closed by us"), politely=True)
            case method:
                self._answers.put_nowait(method)

    def _set_flow(self) -> None:
        """An alarm counts as a full buffer: what is written then would wait in sockets, and come late."""
        if (self._full or self.blocked is not None) and not self.lost.done():
            self._flow.clear()
        else:
            self._flow.set()

    def _set_blocked(self, reason: str | None) -> None:
        self.blocked = reason
        self._set_flow()
        self.on_blocked(reason)

    async def handshake(self, address: Address, *, name: str) -> None:
        """Introduce ourselves and agree on sizes and heartbeats. Raises HandshakeRefused, ConnectionLost."""
        start = await self._expect(commands.Connection.Start)
        about = start.server_properties
        self.server = f"{about.get('product')!s} {about.get('version')!s}"
        self.write(frames.encode_method(_introduction(address, name), 0))
        self._tune(await self._expect(commands.Connection.Tune))
        self.write(frames.encode_method(commands.Connection.Open(virtual_host=address.vhost), 0))
        await self._expect(commands.Connection.OpenOk)
        self._keep_beating()

    def _tune(self, tune: commands.Connection.Tune) -> None:
        self._channel_max = min(tune.channel_max or 2047, 2047)
        self.frame_max = min(tune.frame_max or _MAX_FRAME_BYTES, _MAX_FRAME_BYTES)
        if tune.heartbeat:
            self._heartbeat_s = min(self._heartbeat_s, tune.heartbeat)
        answer = commands.Connection.TuneOk(self._channel_max, self.frame_max, self._heartbeat_s)
        self.write(frames.encode_method(answer, 0))

    async def _expect(self, wanted: type[_M]) -> _M:
        method = await self._answers.get()
        if isinstance(method, wanted):
            return method
        if self.lost.done():
            raise self.lost.result()
        if isinstance(method, commands.Connection.Close):
            raise HandshakeRefused(f"{method.reply_code} {method.reply_text}")
        raise ProtocolViolation(f"{method.name} in place of {wanted.name}")

    def _keep_beating(self) -> None:
        now = self._loop.time()
        if now - self._heard > 2 * self._heartbeat_s:
            self.give_up(ConnectionLost(f"nothing heard for {now - self._heard:.1f} s"))
            return
        if now - self._told >= self._heartbeat_s / 2:
            self.write(frames.HEARTBEAT_FRAME)
        self._beat = self._loop.call_later(self._heartbeat_s / 4, self._keep_beating)


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _introduction(address: Address, name: str) -> commands.Connection.StartOk:
    capabilities: dict[str, FieldValue] = {
        "authentication_failure_close": True,
        "basic.nack": True,
        "connection.blocked": True,
        "consumer_cancel_notify": True,
        "publisher_confirms": True,
    }
    return commands.Connection.StartOk(
        client_properties={"product": "june", "connection_name": name, "capabilities": capabilities},
        mechanism="PLAIN",
        response=f"\0{address.user}\0{address.password}",
        locale="en_US",
    )


async def connect(address: Address, *, name: str, heartbeat: timedelta, timeout: timedelta) -> Connection:
    """Open a connection that is ready for channels. `name` is what the broker's own tools show.

    Raises OSError, TimeoutError, HandshakeRefused, ConnectionLost.
    """
    async with asyncio.timeout(timeout.total_seconds()):
        context: ssl.SSLContext | None = address.tls_context()
        connection = Connection(heartbeat=heartbeat)
        await asyncio.get_running_loop().create_connection(
            lambda: connection, address.host, address.port, ssl=context
        )
        try:
            await connection.handshake(address, name=name)
        except BaseException:
            connection.give_up(ConnectionLost("the handshake failed"))
            raise
    return connection
