"""How full queues are, and whether anybody consumes them: asked of the broker, changing nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pamqp import commands

from messaging.connection import Broker
from messaging.declare import NOT_FOUND
from messaging.failures import BrokerUnavailable
from messaging.wire.channel import Channel
from messaging.wire.connection import Connection
from messaging.wire.errors import ChannelClosed, WireError

_PATIENCE: Final = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueCounts:
    """`ready`: messages that wait and nobody holds; `consumers`: standbys of a single-active-consumer queue too."""

    ready: int
    consumers: int


async def queue_counts(broker: Broker, queues: Iterable[str]) -> dict[str, QueueCounts | None]:
    """By queue, in the order asked; None for one that is not there. Raises BrokerUnavailable."""
    connection = await broker.consuming.connection(patience=_PATIENCE)
    try:
        return await _all_counts(connection, queues)
    except (WireError, TimeoutError) as error:
        raise BrokerUnavailable(f"the queues could not be looked at: {error}") from error


async def _all_counts(connection: Connection, queues: Iterable[str]) -> dict[str, QueueCounts | None]:
    """On one channel, as long as it lasts: a queue that is not there closes it."""
    channel = await connection.open_channel()
    found: dict[str, QueueCounts | None] = {}
    try:
        for queue in queues:
            if not channel.is_open:
                channel = await connection.open_channel()
            found[queue] = await _counts(channel, queue)
    finally:
        channel.abandon("they are counted")
    return found


async def _counts(channel: Channel, queue: str) -> QueueCounts | None:
    try:
        answer = await channel.call(commands.Queue.Declare(queue=queue, passive=True))
    except ChannelClosed as error:
        if error.code == NOT_FOUND:
            return None
        raise
    if not isinstance(answer, commands.Queue.DeclareOk):
        return None
    return QueueCounts(ready=int(answer.message_count or 0), consumers=int(answer.consumer_count or 0))
