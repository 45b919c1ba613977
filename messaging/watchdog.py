"""Watches for "connected, but nobody consumes": a state that no reconnect ends, since nothing looks broken.

Asks the broker itself, by a passive declare, whether each queue has a consumer. While the broker is away there
is nothing to watch. When it stays wrong, `run` raises ConsumersLost, so that the process ends and is begun anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog
from pamqp import commands

from messaging.connection import Broker
from messaging.consumer import Consumer
from messaging.failures import BrokerUnavailable, ConsumersLost
from messaging.wire.channel import Channel
from messaging.wire.errors import ChannelClosed, WireError

DEFAULT_INTERVAL: Final = timedelta(seconds=10)
DEFAULT_FAILURES: Final = 6
"""A minute: longer than any reconnect with its pauses takes."""

log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[None]]


class Watchdog:
    """Checks `consumers` every `interval`; after `failures` bad checks in a row it gives up."""

    def __init__(
        self,
        broker: Broker,
        consumers: Sequence[Consumer],
        *,
        interval: timedelta = DEFAULT_INTERVAL,
        failures: int = DEFAULT_FAILURES,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`sleep` takes seconds; tests pass a clock of their own."""
        self._broker = broker
        self._consumers = consumers
        self._interval = interval
        self._failures = failures
        self._sleep = sleep

    async def run(self) -> None:
        """Watch until cancelled. Raises ConsumersLost."""
        bad = 0
        while True:
            await self._sleep(self._interval.total_seconds())
            problems = await self.check()
            bad = bad + 1 if problems else 0
            if problems:
                log.warning("watchdog.no_consumer", problems=problems, in_a_row=bad)
            if bad >= self._failures:
                raise ConsumersLost("; ".join(problems))

    async def check(self) -> tuple[str, ...]:
        """What is wrong at this moment, a sentence each. Empty while the broker is away."""
        if not self._broker.connected:
            return ()
        problems = [f"{each.queue}: not subscribed" for each in self._consumers if not each.subscribed]
        try:
            connection = await self._broker.consuming.connection(patience=timedelta(0))
            channel = await connection.open_channel()
            queues = sorted({each.queue for each in self._consumers if each.subscribed})
            counts = {queue: await _consumer_count(channel, queue) for queue in queues}
            problems += [f"{queue}: no consumer at the broker" for queue in queues if not counts[queue]]
            await channel.close()
        except ChannelClosed as error:
            problems.append(str(error))
        except (WireError, BrokerUnavailable, TimeoutError):
            return ()  # lost in this moment: the connection's own matter
        return tuple(problems)


async def _consumer_count(channel: Channel, queue: str) -> int:
    answer = await channel.call(commands.Queue.Declare(queue=queue, passive=True))
    return int(answer.consumer_count or 0) if isinstance(answer, commands.Queue.DeclareOk) else 0
