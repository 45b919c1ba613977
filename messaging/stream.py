"""Reads a stream from an offset, in order, for as long as wanted: each message once, whatever the connection does.

The reader keeps its own place. After a reconnect it goes on with the first message that it has not handed out, so
there are no doubles and no gaps; only what the stream itself has dropped by age is skipped. `next` is settled as a
number before anything else, since a reader that has seen nothing yet would not know where to go on. A stream that
somebody deleted, or wiped with the whole broker, is made anew and counts from 0 again: it is read from there.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, Literal, Self, TypeAlias

import structlog
from pamqp import commands

from messaging.connection import Broker
from messaging.declare import NOT_FOUND
from messaging.delivery import Delivery
from messaging.failures import BrokerUnavailable
from messaging.message import Incoming
from messaging.subscription import Subscription
from messaging.wire.channel import Channel
from messaging.wire.connection import Connection
from messaging.wire.errors import ChannelClosed, WireError

Offset: TypeAlias = Literal["first", "next"] | int | datetime
"""`first`: the oldest that is kept; `next`: what is published from now on; a number: that message, else the oldest
after it; a time: what was published from then on, and up to a second and a chunk of what was before it."""

DEFAULT_PREFETCH: Final = 500
_FIRST_DELAY: Final = timedelta(milliseconds=100)
_LAST_DELAY: Final = timedelta(seconds=2)
_TAIL_WITHIN: Final = timedelta(seconds=5)
_TAIL_PAUSE: Final = timedelta(milliseconds=10)
_ANEW_LOOKS: Final = 5
_ANEW_PAUSE: Final = timedelta(seconds=1)
_TAIL_QUIET: Final = 3
"""Round trips in a row without a message, after which the last chunk has come as a whole."""

log = structlog.get_logger(__name__)


class StreamReader:
    """`async for offset, message in StreamReader(broker, "june.events.log", offset="first")`.

    One task at a time may iterate. At most `prefetch` messages are in memory.
    """

    def __init__(
        self, broker: Broker, stream: str, *, offset: Offset = "next", prefetch: int = DEFAULT_PREFETCH
    ) -> None:
        """Nothing is read before `open`, or the first step of the iteration."""
        self.stream = stream
        self._broker = broker
        self._offset = offset
        self._prefetch = prefetch
        self._subscription: Subscription | None = None
        self._batch: deque[Delivery] = deque()
        self._closed = False

    @property
    def subscribed(self) -> bool:
        """The broker sends us what comes, at this moment."""
        return self._subscription is not None and self._subscription.error is None

    @property
    def position(self) -> Offset:
        """Where it goes on: a number once it is known, and that is after `open` for `next`."""
        return self._offset

    async def open(self, *, patience: timedelta | None = None) -> None:
        """Subscribe; `next` means from here on. Raises BrokerUnavailable after `patience` (None: never)."""
        seconds = None if patience is None else patience.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                await self._subscribe()
        except TimeoutError as error:
            raise BrokerUnavailable(f"{self.stream} cannot be read") from error

    async def close(self) -> None:
        """Read no more; the iteration ends. Idempotent."""
        self._closed = True
        self._batch.clear()
        if self._subscription is not None:
            self._subscription.halt()
            await self._subscription.close()

    def __aiter__(self) -> Self:
        """Itself: a second loop goes on where the first one was left."""
        return self

    async def __anext__(self) -> tuple[int, Incoming]:
        """The next message and its offset, waited for as long as it takes, broker outages included."""
        while not self._closed:
            while self._batch:
                delivery = self._batch.popleft()
                delivery.ack()
                offset = _offset_of(delivery.message)
                if not isinstance(self._offset, int) or offset >= self._offset:
                    self._offset = offset + 1
                    return offset, delivery.message
            await self._refill()
        raise StopAsyncIteration

    async def _refill(self) -> None:
        await self._subscribe()
        if self._subscription is not None:
            self._batch.extend(await self._subscription.take(self._prefetch))
            if not self.subscribed:
                log.warning("stream.lost", stream=self.stream, error=str(self._subscription.error))

    async def _subscribe(self) -> None:
        """Until it works, or until closed. Idempotent."""
        delay = _FIRST_DELAY
        while not (self._closed or self.subscribed):
            try:
                await self._attempt()
            except (WireError, BrokerUnavailable, TimeoutError) as error:
                log.warning("stream.cannot_subscribe", stream=self.stream, error=str(error))
                await asyncio.sleep(delay.total_seconds())
                delay = min(delay * 2, _LAST_DELAY)

    async def _attempt(self) -> None:
        connection = await self._broker.consuming.connection(patience=None)
        try:
            if self._offset == "next":
                self._offset = await _tail(connection, self.stream)
            elif self._subscription is not None and isinstance(self._offset, int):
                self._offset = await _resumed(connection, self.stream, self._offset)
            self._subscription = await _subscribed(
                connection, self.stream, prefetch=self._prefetch, offset=self._offset
            )
        except ChannelClosed as error:
            if error.code == NOT_FOUND:
                await self._broker.restore_topology(connection)
                self._begin_anew()
            raise
        log.info("stream.subscribed", stream=self.stream, offset=self._offset)

    def _begin_anew(self) -> None:
        """The stream was deleted: at the old number nothing would come for a long time."""
        if isinstance(self._offset, int):
            log.warning("stream.begins_anew", stream=self.stream, was_at=self._offset)
            self._offset = 0


async def tail(broker: Broker, stream: str, *, patience: timedelta) -> int:
    """The offset that the next message will have. Whatever the broker had confirmed before is below it.

    Raises BrokerUnavailable.
    """
    connection = await broker.consuming.connection(patience=patience)
    try:
        return await _tail(connection, stream)
    except (WireError, TimeoutError) as error:
        raise BrokerUnavailable(f"the end of {stream} is not known: {error}") from error


async def _tail(connection: Connection, stream: str) -> int:
    """Reads the last chunk: AMQP 0-9-1 has no other way to ask."""
    async with asyncio.timeout(_TAIL_WITHIN.total_seconds()):
        async with _at_last_chunk(connection, stream) as last:
            asking = await connection.open_channel()
            try:
                return await _end_of(stream, last, asking)
            finally:
                asking.abandon("the end is known")


async def _end_of(stream: str, last: Subscription, asking: Channel) -> int:
    end, quiet = 0, 0
    while quiet < _TAIL_QUIET:
        messages = await _count(asking, stream)
        batch = last.taken_now()
        for delivery in batch:
            end = max(end, _offset_of(delivery.message) + 1)
            delivery.ack()
        if last.error is not None:
            raise last.error
        quiet = 0 if batch or (messages and not end) else quiet + 1
        await asyncio.sleep(_TAIL_PAUSE.total_seconds())
    return end


async def _resumed(connection: Connection, stream: str, offset: int) -> int:
    """The place to go on at after a loss: `offset`, or the beginning of a stream that others made anew meanwhile.

    A stream that ends before `offset` is not the same one, unless a replica of it lags behind: that is over within a
    moment. One that is empty may not be there as a whole yet. Raises BrokerUnavailable for that one.
    """
    looks = 1
    while (end := await _tail(connection, stream)) < offset and looks < _ANEW_LOOKS:
        await asyncio.sleep(_ANEW_PAUSE.total_seconds())
        looks += 1
    if end >= offset:
        return offset
    if not end:
        raise BrokerUnavailable(f"{stream} is empty, and was not")
    log.warning("stream.begins_anew", stream=stream, was_at=offset, ends_at=end)
    return 0


@asynccontextmanager
async def _at_last_chunk(connection: Connection, stream: str) -> AsyncIterator[Subscription]:
    subscription = await _subscribed(connection, stream, prefetch=DEFAULT_PREFETCH, offset="last")
    try:
        yield subscription
    finally:
        await subscription.close()


async def _subscribed(
    connection: Connection, stream: str, *, prefetch: int, offset: Offset | Literal["last"]
) -> Subscription:
    subscription = Subscription(stream)
    await subscription.open(
        connection, prefetch=prefetch, priority=None, exclusive=False, stream_offset=offset
    )
    return subscription


async def _count(channel: Channel, stream: str) -> int:
    """How many messages the stream has. As a round trip it says, too, that what came before it is here."""
    answer = await channel.call(commands.Queue.Declare(queue=stream, passive=True))
    return int(answer.message_count or 0) if isinstance(answer, commands.Queue.DeclareOk) else 0


def _offset_of(message: Incoming) -> int:
    offset = message.headers.get("x-stream-offset")
    return offset if isinstance(offset, int) else 0
