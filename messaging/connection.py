"""The broker as a process sees it: two connections that come back by themselves, and the topology with them.

One connection publishes and one consumes, because under a memory or disk alarm the broker stops reading from
whoever publishes, and acks must still get through. After each reconnect the topology is declared again before
anybody publishes; consumers and publishers resume by themselves.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from messaging.declare import declare_on
from messaging.failures import TopologyMismatch
from messaging.link import Link
from messaging.wire.address import Address
from messaging.wire.connection import Connection
from schemas.topology import Topology

DEFAULT_HEARTBEAT: Final = timedelta(seconds=10)
"""A hung broker is given up after two of them."""

log = structlog.get_logger(__name__)


class Broker:
    """A RabbitMQ broker. `name` is shown in its management pages, followed by what the connection is for.

    `heartbeat`: unless the URL names one.
    """

    def __init__(self, url: str, *, name: str, heartbeat: timedelta = DEFAULT_HEARTBEAT) -> None:
        """Nothing is opened before `start`. Raises ValueError for a URL that cannot be right."""
        address = Address.parse(url)
        self.publishing = Link(
            address, name=f"{name} publish", heartbeat=heartbeat, prepare=self.restore_topology
        )
        self.consuming = Link(address, name=f"{name} consume", heartbeat=heartbeat, prepare=_nothing)
        self._topologies: list[Topology] = []
        self._declaring = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Both connections are up."""
        return self.publishing.connected and self.consuming.connected

    async def trouble(self) -> str | None:
        """Why it cannot be used now, in a sentence; None when it can. Takes less than a second."""
        publishing, consuming = await asyncio.gather(self.publishing.trouble(), self.consuming.trouble())
        return publishing or consuming

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages at the moment (an alarm), in its own words; else None."""
        return self.publishing.blocked

    async def start(self) -> None:
        """Connect, and return when both connections are up, however long that takes.

        One after the other: a broker that is not there is said once, and not by each.
        """
        for link in (self.publishing, self.consuming):
            link.start()
            await link.connection(patience=None)

    async def close(self) -> None:
        """Close both. Stop consumers first, else what they hold is delivered again. Idempotent."""
        await self.consuming.close()
        await self.publishing.close()

    def remember(self, topology: Topology) -> None:
        """Declare it again after each reconnect, and whenever something of it turns out to be missing."""
        if topology not in self._topologies:
            self._topologies.append(topology)

    async def restore_topology(self, connection: Connection) -> None:
        """Declare what was remembered, on `connection`: someone deleted an exchange or a queue.

        Raises WireError or TimeoutError when the broker cannot be asked. A mismatch is logged: it was checked
        at the start, and a process that runs does more good than one that stops.
        """
        async with self._declaring:
            for topology in self._topologies:
                try:
                    await declare_on(connection, topology)
                except TopologyMismatch as error:
                    log.error("topology.mismatch", error=str(error))


async def _nothing(connection: Connection) -> None:
    """The consuming connection needs no preparation."""
