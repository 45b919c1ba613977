"""Publishes with confirms: returns when the broker has the messages, or says what kept it from having them.

One channel for all callers. Frames of one turn of the event loop leave in one write, so many messages cost
little more than one. The messages of one call are in order on the wire; calls may interleave.
Never hangs: a broker that is silent or takes nothing (memory or disk alarm) ends in PublishTimeout. After
BrokerUnavailable and PublishTimeout a copy may have arrived: publish it again, under the same id.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from pamqp import commands

from messaging.confirms import Batch, Ledger, PublishOutcome
from messaging.connection import Broker
from messaging.declare import NOT_FOUND
from messaging.failures import BrokerUnavailable, PublishError, PublishTimeout, Unsendable
from messaging.message import Outgoing
from messaging.wire.channel import Channel, Silent
from messaging.wire.connection import Connection
from messaging.wire.errors import ChannelClosed, ConnectionLost, WireError
from messaging.wire.frames import Return, encode_publish
from messaging.wire.properties import NotEncodable, decode_properties

DEFAULT_PATIENCE: Final = timedelta(seconds=1)
"""How long a publish waits for a connection that is away: longer than a blip, shorter than a restart."""
_TURN_BYTES: Final = 256 * 1024
"""What is built in one turn of the event loop."""

log = structlog.get_logger(__name__)


class _Line(Silent):
    """The confirm channel of one connection, and what is in flight on it."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.channel: Channel | None = None

    @property
    def is_open(self) -> bool:
        return self.channel is not None and self.channel.is_open

    @property
    def is_clear(self) -> bool:
        """Open, and the broker reads what we write."""
        return self.channel is not None and self.channel.is_open and not self.channel.connection.congested

    async def cleared(self) -> None:
        """Wait until it is clear. Raises BrokerUnavailable when it ends before."""
        while not self.is_clear:
            if self.channel is None or not self.channel.is_open:
                error = "no channel" if self.channel is None else self.channel.error
                raise BrokerUnavailable(f"lost before it was sent: {error}")
            await self.channel.connection.drained()

    def write(self, batch: Batch, start: int) -> int:
        """Write messages from `start` on, as many as make a turn's bytes; says where to go on."""
        if (channel := self.channel) is None:
            raise BrokerUnavailable("no channel")
        unwritten_bytes = 0
        for index in range(start, len(batch.messages)):
            if unwritten_bytes >= _TURN_BYTES:
                return index
            try:
                frames = _encode(channel, batch.messages[index])
            except NotEncodable as error:
                batch.resolve(index, Unsendable(str(error)))
                continue
            self.ledger.sent(batch, index)
            channel.write(frames)
            unwritten_bytes += len(frames)
        return len(batch.messages)

    def returned(self, returned: Return, properties: bytes, body: bytes) -> None:
        known = self.ledger.returned(
            exchange=returned.exchange,
            routing_key=returned.routing_key,
            message_id=decode_properties(properties).message_id,
            body=body,
            why=f"{returned.code} {returned.text}",
        )
        if not known:
            log.error("publisher.unknown_return", exchange=returned.exchange)

    def confirmed(self, tag: int, *, multiple: bool, ok: bool) -> None:
        self.ledger.confirmed(tag, multiple=multiple, ok=ok)

    def ended(self, error: WireError) -> None:
        self.ledger.fail(BrokerUnavailable(f"lost before the confirm: {error}"))


class Publisher:
    """Publishes to `broker`. Any number of callers may use one publisher at once.

    `patience`: how long a call waits for a connection that is away, before BrokerUnavailable.
    """

    def __init__(self, broker: Broker, *, patience: timedelta = DEFAULT_PATIENCE) -> None:
        """Opens its channel with the first message."""
        self._broker = broker
        self._patience = patience
        self._opening = asyncio.Lock()
        self._line = _Line()

    async def publish(self, message: Outgoing, *, timeout: timedelta) -> None:
        """Return once the broker has it. Raises a PublishError (see `messaging.failures`)."""
        (outcome,) = await self.publish_many([message], timeout=timeout)
        if outcome is not None:
            raise outcome

    async def publish_many(self, messages: Sequence[Outgoing], *, timeout: timedelta) -> list[PublishOutcome]:
        """What became of each message, in their order: None for confirmed, else the PublishError.

        Never raises a PublishError itself, so that one bad message says nothing about the others.
        """
        batch = Batch(messages)
        until_s = asyncio.get_running_loop().time() + timeout.total_seconds()
        written = self._line.write(batch, 0) if self._line.is_clear else 0
        try:
            if written < len(messages):
                # Rare: no connection, a broker that does not read, or very much at once.
                async with asyncio.timeout_at(until_s):
                    await self._write_rest(batch, written)
            if not await batch.settled(until_s=until_s):
                raise TimeoutError
        except TimeoutError:
            batch.give_up(PublishTimeout(timeout))
        except BrokerUnavailable as error:
            batch.give_up(error)
        return batch.outcomes

    def give_up(self, error: PublishError) -> None:
        """What waits for its confirm waits no longer: this is its outcome. It may still arrive."""
        self._line.ledger.fail(error)

    async def _write_rest(self, batch: Batch, written: int) -> None:
        line = self._line if written else await self._ready()
        while written < len(batch.messages):
            await line.cleared()
            written = line.write(batch, written)
            # What is built is written, others may run, and a broker that does not read is noticed.
            await asyncio.sleep(0)

    async def _ready(self) -> _Line:
        if self._line.is_open:
            return self._line
        connection = await self._broker.publishing.connection(patience=self._patience)
        async with self._opening:
            if not self._line.is_open:
                self._line = await self._open(connection)
            return self._line

    async def _open(self, connection: Connection) -> _Line:
        try:
            if _missing_exchange(self._line.channel):
                await self._broker.restore_topology(connection)
            return await _confirm_channel(connection)
        except (ConnectionLost, ChannelClosed) as error:
            raise BrokerUnavailable(f"no channel to publish on: {error}") from error


async def _confirm_channel(connection: Connection) -> _Line:
    line = _Line()
    channel = await connection.open_channel(line)
    await channel.call(commands.Confirm.Select())
    line.channel = channel
    return line


def _missing_exchange(channel: Channel | None) -> bool:
    """The last channel ended because an exchange is not there any more."""
    return (
        channel is not None and isinstance(channel.error, ChannelClosed) and channel.error.code == NOT_FOUND
    )


def _encode(channel: Channel, message: Outgoing) -> bytes:
    return encode_publish(
        channel.number,
        exchange=message.exchange,
        routing_key=message.routing_key,
        mandatory=message.mandatory,
        properties=message.properties(),
        body=message.body,
        frame_max=channel.connection.frame_max,
    )
