"""Declares a topology on one connection. Idempotent; several processes may do it at once."""

from collections.abc import Mapping

from pamqp import commands
from pamqp.common import FieldTable

from messaging.failures import TopologyMismatch
from messaging.wire.channel import Channel
from messaging.wire.connection import Connection
from messaging.wire.errors import ChannelClosed
from schemas.topology import Exchange, Queue, Topology

PRECONDITION_FAILED = 406
NOT_FOUND = 404


async def declare_on(connection: Connection, topology: Topology) -> None:
    """Exchanges, then queues, then bindings.

    Raises TopologyMismatch, ChannelClosed, ConnectionLost, TimeoutError.
    """
    channel = await connection.open_channel()
    for exchange in topology.exchanges:
        await _declare_exchange(channel, exchange)
    for queue in topology.queues:
        await _declare_queue(channel, queue)
    await channel.close()


async def _declare_exchange(channel: Channel, exchange: Exchange) -> None:
    try:
        await channel.call(
            commands.Exchange.Declare(exchange=exchange.name, exchange_type=exchange.kind, durable=True)
        )
    except ChannelClosed as error:
        raise _explained(error, f"exchange {exchange.name}") from error


async def _declare_queue(channel: Channel, queue: Queue) -> None:
    try:
        await channel.call(queue_declare(queue.name, queue.arguments))
        for binding in queue.bindings:
            await channel.call(
                commands.Queue.Bind(
                    queue=queue.name, exchange=binding.exchange, routing_key=binding.routing_key
                )
            )
    except ChannelClosed as error:
        raise _explained(error, f"queue {queue.name}") from error


def queue_declare(name: str, arguments: Mapping[str, str | int | bool]) -> commands.Queue.Declare:
    """The declaration of a durable queue."""
    table: FieldTable = dict(arguments)
    return commands.Queue.Declare(queue=name, durable=True, arguments=table)


def _explained(error: ChannelClosed, what: str) -> ChannelClosed | TopologyMismatch:
    if error.code != PRECONDITION_FAILED:
        return error
    return TopologyMismatch(
        f"the broker has {what}, made otherwise: {error.text}. Empty and delete it, and it is made anew"
    )
