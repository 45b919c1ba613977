"""The log of events on RabbitMQ: the stream `june.events.log`."""

import asyncio
from datetime import timedelta
from typing import Final

from messaging.connection import Broker
from messaging.failures import BrokerUnavailable
from messaging.stream import StreamReader, tail
from schemas.topology import EVENTS_LOG

PATIENCE: Final = timedelta(seconds=1.5)


class StreamLog:
    """Satisfies `session_api.events.feed.Log`."""

    def __init__(self, broker: Broker) -> None:
        """Nothing is read yet."""
        self._broker = broker

    async def tail(self) -> int:
        """The place of the next event. Raises BrokerUnavailable."""
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                return await tail(self._broker, EVENTS_LOG, patience=PATIENCE)
        except TimeoutError as error:
            raise BrokerUnavailable("the broker is silent") from error

    def read(self, place: int, *, ahead: int) -> StreamReader:
        """Reads from there on."""
        return StreamReader(self._broker, EVENTS_LOG, offset=place, prefetch=ahead)
