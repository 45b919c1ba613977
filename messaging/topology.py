"""The topology at the start of a process: declared, then checked against what the broker made of it.

RabbitMQ 3.10 takes arguments that it does not know without a word, and then does not act on them. `verify`
finds them by declaring each queue once more with one argument changed: who compares it says no.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from messaging.connection import Broker
from messaging.declare import PRECONDITION_FAILED, declare_on, queue_declare
from messaging.failures import BrokerUnavailable
from messaging.wire.connection import Connection
from messaging.wire.errors import ChannelClosed, ConnectionLost
from schemas.topology import Queue, Topology

_PATIENCE: Final = timedelta(seconds=30)
_TRY_AGAIN_S: Final = 1
_AT_LEAST_ONCE: Final[Mapping[str, object]] = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
# Alternatives that a broker accepts as values, so that only the difference can be what it minds.
_OTHER_WORDS: Final[Mapping[str, str]] = {
    "x-queue-type": "classic",
    "x-overflow": "drop-head",
    "x-dead-letter-strategy": "at-most-once",
    "x-max-age": "13D",
}

log = structlog.get_logger(__name__)


async def declare(broker: Broker, topology: Topology) -> None:
    """Make the topology, now and after each reconnect. Idempotent.

    Raises TopologyMismatch, which says which queue and what to do; BrokerUnavailable.
    """
    connection = await broker.publishing.connection(patience=_PATIENCE)
    try:
        await declare_on(connection, topology)
    except (ConnectionLost, ChannelClosed, TimeoutError) as error:
        raise BrokerUnavailable(
            f"the topology could not be declared: {str(error) or 'no answer in time'}"
        ) from error
    broker.remember(topology)


async def establish(broker: Broker, topology: Topology) -> None:
    """`declare`, then `verify`: again each second, and said, while the broker cannot, however long that takes.

    One that has just started answers before all its queues are there: "is down or inaccessible". What it made weaker
    than asked is a warning. Raises TopologyMismatch.
    """
    while True:
        try:
            await declare(broker, topology)
            for problem in await verify(broker, topology):
                log.warning("topology.weaker_than_asked", problem=problem)
        except BrokerUnavailable as error:
            log.warning("broker.waiting", error=str(error))
            await asyncio.sleep(_TRY_AGAIN_S)
        else:
            return


async def verify(broker: Broker, topology: Topology) -> tuple[str, ...]:
    """What the broker did not make as asked, a sentence each; empty when all is well. Changes nothing.

    The queues must have been declared. Raises BrokerUnavailable.
    """
    connection = await broker.publishing.connection(patience=_PATIENCE)
    problems = [problem for queue in topology.queues for problem in contradictions(queue)]
    try:
        for queue in _one_of_each(topology.queues):
            problems += [
                f"queue {queue.name}: the broker ignores {argument}"
                for argument in queue.arguments
                if await _is_ignored(connection, queue, argument)
            ]
    except (ConnectionLost, ChannelClosed, TimeoutError) as error:
        raise BrokerUnavailable(
            f"the topology could not be verified: {str(error) or 'no answer in time'}"
        ) from error
    return tuple(problems)


def contradictions(queue: Queue) -> tuple[str, ...]:
    """Arguments that a broker takes and then silently weakens."""
    if queue.arguments.get("x-dead-letter-strategy") != "at-least-once":
        return ()
    return tuple(
        f"queue {queue.name}: at-least-once dead-lettering needs {name}={value}"
        for name, value in _AT_LEAST_ONCE.items()
        if queue.arguments.get(name) != value
    )


def _one_of_each(queues: tuple[Queue, ...]) -> list[Queue]:
    """The broker treats queues with the same arguments alike: one of them tells of all."""
    return list({frozenset(queue.arguments.items()): queue for queue in reversed(queues)}.values())


async def _is_ignored(connection: Connection, queue: Queue, argument: str) -> bool:
    changed = {**queue.arguments, argument: other_value(argument, queue.arguments[argument])}
    channel = await connection.open_channel()
    try:
        await channel.call(queue_declare(queue.name, changed))
    except ChannelClosed as error:
        if error.code == PRECONDITION_FAILED:
            return False
        raise
    await channel.close()
    return True


def other_value(argument: str, value: str | int | bool) -> str | int | bool:
    """Another value of the same kind that the broker would accept."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return _OTHER_WORDS.get(argument, f"{value}.other")
