"""Which worker holds a partition: RabbitMQ's management API knows which consumer of a queue is the active one.

AMQP itself tells how many consumers a queue has, and not who they are. Workers give their consumers their own name.
Promises: never raises and never waits for long; what cannot be had is left out, and said in the log once.
"""

from collections.abc import Mapping

import structlog

from session_api.management import Management, ManagementUnavailable

log = structlog.get_logger(__name__)


class Holders:
    """Asks the management API at `url`, as the user and about the vhost of `amqp_url`. Without `url` it asks nobody."""

    def __init__(self, url: str | None, amqp_url: str) -> None:
        """Nothing is asked yet."""
        self._management = Management(url, amqp_url) if url else None
        self._well = True

    async def by_queue(self) -> Mapping[str, str]:
        """The name of the active consumer of each queue that has one."""
        if self._management is None:
            return {}
        try:
            consumers = await self._management.listed("consumers")
        except ManagementUnavailable as error:
            if self._well:
                log.warning("holders.unknown", error=str(error))
            self._well = False
            return {}
        self._well = True
        return dict(found for one in consumers if (found := _active(one)) is not None)


def _active(consumer: object) -> tuple[str, str] | None:
    match consumer:
        case {"active": True, "queue": {"name": str(queue)}, "consumer_tag": str(name)}:
            return queue, name
        case _:
            return None
