"""Which worker holds a partition: RabbitMQ's management API knows which consumer of a queue is the active one.

AMQP itself tells how many consumers a queue has, and not who they are. Workers give their consumers their own name.
Promises: never raises and never waits for long; what cannot be had is left out, and said in the log once.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import structlog

_WITHIN: Final = timedelta(seconds=1.5)

log = structlog.get_logger(__name__)


class Holders:
    """Asks the management API at `url`, as the user and about the vhost of `amqp_url`. Without `url` it asks nobody."""

    def __init__(self, url: str | None, amqp_url: str) -> None:
        """Nothing is asked yet."""
        parts = urlsplit(amqp_url)
        vhost = parts.path.removeprefix("/") or "%2F"
        self._url = url and f"{url.rstrip('/')}/api/consumers/{quote(unquote(vhost), safe='')}"
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        self._headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}
        self._well = True

    async def by_queue(self) -> Mapping[str, str]:
        """The name of the active consumer of each queue that has one."""
        if not self._url:
            return {}
        try:
            consumers = await self._consumers(self._url)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            if self._well:
                log.warning("holders.unknown", error=f"{type(error).__name__}: {error}")
            self._well = False
            return {}
        self._well = True
        return dict(found for one in consumers if (found := _active(one)) is not None)

    async def _consumers(self, url: str) -> list[Any]:
        limit = aiohttp.ClientTimeout(total=_WITHIN.total_seconds())
        async with (
            aiohttp.ClientSession(headers=self._headers, timeout=limit, raise_for_status=True) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            match await answer.json():
                case list(consumers):
                    return consumers
                case _:
                    raise ValueError("no list of consumers")


def _active(consumer: object) -> tuple[str, str] | None:
    match consumer:
        case {"active": True, "queue": {"name": str(queue)}, "consumer_tag": str(name)}:
            return queue, name
        case _:
            return None
