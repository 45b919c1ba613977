"""One AMQP channel: calls with an answer, deliveries, returns and confirms as callbacks, and a clear end.

Order: callbacks run in the order of the wire, inside the event loop's read, so they must not block or raise.
A channel ends once, for one reason (`ended`); every call that waits is told so. A call that is cancelled or
runs out of time closes its channel, because its answer could be taken for another's.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from pamqp import commands
from pamqp.base import Frame as Method

from messaging.wire import frames
from messaging.wire.errors import ChannelClosed, ProtocolViolation, WireError

if TYPE_CHECKING:
    from messaging.wire.connection import Connection

CALL_TIMEOUT = timedelta(seconds=20)
"""For a declare on a loaded broker; a dead one is found by the heartbeat."""


class Listener(Protocol):
    """What a channel tells its owner. Called inside the event loop's read: quick, and never raising."""

    def delivered(self, deliver: frames.Deliver, properties: bytes, body: bytes) -> None:
        """Take a message for our consumer."""

    def returned(self, returned: frames.Return, properties: bytes, body: bytes) -> None:
        """Take back a mandatory message that no queue took; its confirm follows."""

    def confirmed(self, tag: int, *, multiple: bool, ok: bool) -> None:
        """Learn that the broker has, or refuses (`ok` false), what was published as `tag`."""

    def ended(self, error: WireError) -> None:
        """Learn that the channel is gone. Comes once, last."""


class Silent:
    """A Listener for channels that only make calls."""

    def delivered(self, deliver: frames.Deliver, properties: bytes, body: bytes) -> None:
        """Nothing is consumed on this channel."""

    def returned(self, returned: frames.Return, properties: bytes, body: bytes) -> None:
        """Nothing is published on this channel."""

    def confirmed(self, tag: int, *, multiple: bool, ok: bool) -> None:
        """Nothing is published on this channel."""

    def ended(self, error: WireError) -> None:
        """Calls are told by their own errors."""


@dataclass(slots=True)
class _Content:
    """A message on its way in: the method has come, the header and the body follow."""

    method: frames.Deliver | frames.Return
    missing_bytes: int = 0
    properties: bytes = b""
    parts: list[bytes] = field(default_factory=list)


class Channel:
    """A channel of `connection`; made by `Connection.open_channel`."""

    def __init__(self, connection: "Connection", number: int, listener: Listener) -> None:
        """Remember who listens; nothing is sent yet."""
        self.connection = connection
        self.number = number
        self.error: WireError | None = None
        self._listener = listener
        self._calls = asyncio.Lock()
        self._answer: asyncio.Future[Method] | None = None
        self._content: _Content | None = None

    @property
    def is_open(self) -> bool:
        """False from the moment that either side closed it."""
        return self.error is None

    async def call(self, method: Method, *, timeout: timedelta = CALL_TIMEOUT) -> Method:
        """Send a method and wait for its answer. Raises ChannelClosed, ConnectionLost, TimeoutError."""
        async with asyncio.timeout(timeout.total_seconds()), self._calls:
            self._check_open()
            self._answer = asyncio.get_running_loop().create_future()
            self.write(frames.encode_method(method, self.number))
            try:
                return await self._answer
            except asyncio.CancelledError:
                self.abandon(f"{method.name} was given up")
                raise
            finally:
                self._answer = None

    def write(self, data: bytes) -> None:
        """Queue whole frames. What is queued in one turn of the event loop leaves in one write."""
        if self.error is None:
            self.connection.write(data)

    async def close(self) -> None:
        """Close in order: what was written before still counts. Idempotent; never raises for a lost peer."""
        self.abandon("closed by its owner")
        await self.connection.released(self.number)

    def abandon(self, reason: str) -> None:
        """Close without waiting for the broker's answer. Idempotent."""
        if self.error is None:
            self.write(frames.encode_method(commands.Channel.Close(200, reason[:200], 0, 0), self.number))
            self.end(ChannelClosed(0, reason))

    def end(self, error: WireError) -> None:
        """The channel is gone, for this reason. The first reason stands."""
        if self.error is not None:
            return
        self.error = error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self._listener.ended(error)

    def receive(self, kind: int, payload: bytes) -> None:
        """Take a frame of this channel. Raises ProtocolViolation."""
        if kind == frames.METHOD:
            self._receive_method(frames.method_index(payload), payload)
        elif self._content is None:
            raise ProtocolViolation("content that belongs to no message")
        elif kind == frames.HEADER:
            self._content.missing_bytes, self._content.properties = frames.decode_content_header(payload)
            self._finish(self._content)
        else:
            self._content.parts.append(payload)
            self._content.missing_bytes -= len(payload)
            self._finish(self._content)

    def _receive_method(self, index: int, payload: bytes) -> None:
        match index:
            case frames.DELIVER:
                self._content = _Content(frames.decode_deliver(payload))
            case frames.ACK | frames.NACK:
                tag, multiple = frames.decode_confirm(payload)
                if self.error is None:
                    self._listener.confirmed(tag, multiple=multiple, ok=index == frames.ACK)
            case frames.RETURN:
                self._content = _Content(frames.decode_return(payload))
            case _:
                self._receive_rare(frames.decode_method(payload))

    def _receive_rare(self, method: Method) -> None:
        match method:
            case commands.Channel.Close(reply_code=code, reply_text=text):
                self.connection.write(frames.encode_method(commands.Channel.CloseOk(), self.number))
                self.end(ChannelClosed(int(code or 0), str(text)))
                self.connection.forget(self.number)
            case commands.Channel.CloseOk():
                self.connection.forget(self.number)
            case commands.Basic.Cancel():
                self.abandon("the broker cancelled the consumer: its queue was deleted or moved")
            case _ if self._answer is not None and not self._answer.done():
                self._answer.set_result(method)
            case _:
                pass  # the late answer to a call that was given up, on a channel that is closing

    def _finish(self, content: _Content) -> None:
        if content.missing_bytes > 0:
            return
        self._content = None
        if self.error is not None:
            return
        body = b"".join(content.parts)
        if isinstance(content.method, frames.Deliver):
            self._listener.delivered(content.method, content.properties, body)
        else:
            self._listener.returned(content.method, content.properties, body)

    def _check_open(self) -> None:
        if self.error is not None:
            raise self.error
