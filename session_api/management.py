"""RabbitMQ's management API: it knows what AMQP does not tell, who consumes a queue and which policies are on it.

Promises: asked as the user of the AMQP URL and about its vhost; an answer within 1.5 s or none at all.
"""

from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import aiohttp

_WITHIN_S: Final = 1.5


class ManagementUnavailable(Exception):
    """It does not answer, refuses, or is something else. The text says which."""


class Management:
    """The API at `url`. Nothing is asked before `listed`."""

    def __init__(self, url: str, amqp_url: str) -> None:
        """`url` as in `http://127.0.0.1:15672`."""
        parts = urlsplit(amqp_url)
        self._url = f"{url.rstrip('/')}/api"
        self._vhost = quote(unquote(parts.path.removeprefix("/") or "%2F"), safe="")
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        self._headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}

    async def listed(self, what: str) -> list[Any]:
        """All `consumers`, `queues` and the like of the vhost. Raises ManagementUnavailable."""
        limit = aiohttp.ClientTimeout(total=_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=limit, raise_for_status=True) as session,
                session.get(f"{self._url}/{what}/{self._vhost}", allow_redirects=False) as answer,
            ):
                things = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ManagementUnavailable(f"{type(error).__name__}: {error}") from error
        if not isinstance(things, list):
            raise ManagementUnavailable(f"no list of {what}")
        return things
