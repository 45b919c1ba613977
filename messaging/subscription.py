"""One channel that consumes one queue: what it brought and nobody took yet, and what was settled.

Ends with its channel, and does not come back; `messaging.consumer` makes another. What is buffered when the
channel ends is dropped, never handled, because the broker gives it to somebody else.
"""

import asyncio
from collections import deque
from datetime import datetime
from functools import partial
from typing import TypeAlias

from pamqp import commands
from pamqp.common import FieldTable

from messaging.acknowledger import Acknowledger, Verdict
from messaging.delivery import Delivery
from messaging.message import Incoming, delivery_count_of
from messaging.wire.channel import Channel, Silent
from messaging.wire.connection import Connection
from messaging.wire.errors import WireError
from messaging.wire.frames import Deliver
from messaging.wire.properties import decode_properties

StreamOffset: TypeAlias = str | int | datetime


class Subscription(Silent):
    """Deliveries of `queue`, in order; at most the prefetch of `open` are out at once."""

    def __init__(self, queue: str) -> None:
        """Not subscribed yet."""
        self.queue = queue
        self.received = False
        self.error: WireError | None = None
        self._channel: Channel | None = None
        self._buffer: deque[Delivery] = deque()
        self._settled = Acknowledger()
        self._wake = asyncio.Event()
        self._halted = False

    async def open(
        self,
        connection: Connection,
        *,
        prefetch: int,
        priority: int | None,
        exclusive: bool,
        name: str = "",
        stream_offset: StreamOffset | None = None,
    ) -> None:
        """Subscribe. Raises WireError, TimeoutError. `exclusive`: the queue is made here, for us alone.
        `name`: of this consumer, for those who look at the broker (its consumer tag); empty: the broker makes one.

        `stream_offset`: where to begin in a stream, in RabbitMQ's words.
        """
        channel = self._channel = await connection.open_channel(self)
        if exclusive:
            await channel.call(commands.Queue.Declare(queue=self.queue, exclusive=True))
        await channel.call(commands.Basic.Qos(prefetch_count=prefetch))
        arguments: FieldTable = {} if priority is None else {"x-priority": priority}
        if stream_offset is not None:
            arguments["x-stream-offset"] = stream_offset
        await channel.call(commands.Basic.Consume(queue=self.queue, consumer_tag=name, arguments=arguments))

    async def take(self, at_most: int) -> list[Delivery]:
        """What is buffered, waited for when there is nothing; empty once halted or ended."""
        while not self._buffer and not self._halted and self.error is None:
            self._wake.clear()
            await self._wake.wait()
        if self._halted:
            return []
        return [self._buffer.popleft() for _ in range(min(at_most, len(self._buffer)))]

    def taken_now(self) -> list[Delivery]:
        """What is buffered, without waiting."""
        batch = list(self._buffer)
        self._buffer.clear()
        return batch

    def halt(self) -> None:
        """Hand out nothing more. What is buffered goes back when the channel is closed."""
        self._halted = True
        self._wake.set()

    async def close(self) -> None:
        """Settle what was settled, and close the channel: never basic.cancel first.

        A cancel would let the next consumer of a single-active-consumer queue begin while deliveries of ours
        are open, and order would be lost.
        """
        self._flush()
        if self._channel is not None:
            await self._channel.close()

    # --- Origin of deliveries ------------------------------------------------------------------------------

    @property
    def current(self) -> bool:
        """The channel is open."""
        return self.error is None

    def settle(self, tag: int, verdict: Verdict) -> None:
        """Gather a verdict for the write at the end of this turn of the event loop."""
        if self.error is None and self._settled.settle(tag, verdict):
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._channel is not None and self.error is None:
            number = self._channel.number
            frames = b"".join(settle.encode(number) for settle in self._settled.take())
            if frames:
                self._channel.write(frames)

    # --- Listener of the channel ---------------------------------------------------------------------------

    def delivered(self, deliver: Deliver, properties: bytes, body: bytes) -> None:
        """Buffer it."""
        self.received = True
        read = partial(_incoming, self.queue, deliver, properties, body)
        self._buffer.append(Delivery(body, read, tag=deliver.delivery_tag, origin=self))
        self._wake.set()

    def ended(self, error: WireError) -> None:
        """Drop what is buffered: it is somebody else's now."""
        self.error = error
        self._buffer.clear()
        self._wake.set()


def _incoming(queue: str, deliver: Deliver, raw_properties: bytes, body: bytes) -> Incoming:
    properties = decode_properties(raw_properties)
    headers = properties.headers or {}
    return Incoming(
        queue=queue,
        body=body,
        message_id=properties.message_id,
        type=properties.type,
        content_type=properties.content_type,
        correlation_id=properties.correlation_id,
        reply_to=properties.reply_to,
        headers=headers,
        exchange=deliver.exchange,
        routing_key=deliver.routing_key,
        redelivered=deliver.redelivered,
        delivery_count=delivery_count_of(headers),
        timestamp=properties.timestamp,
        content_encoding=properties.content_encoding,
        app_id=properties.app_id,
    )
