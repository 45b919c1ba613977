"""A client of the HTTP API that sends targets exactly as they are written, and reads server-sent events.

Knows the contract alone; nothing of June is imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from deploy.servers import free_port
from tests.e2e.processes import Part, Parts
from tests.support.http_answers import Answer, EventStream
from tests.support.polling import until

Json = dict[str, Any]
SCOPES = {
    "backend": "sessions:read,sessions:write,events:read,system:read",
    "reader": "sessions:read",
    "other": "sessions:read,sessions:write",
}
# A key is its name twice.
KEYS = "\n".join(
    f"{name} {hashlib.sha256((name * 2).encode()).hexdigest()} {scopes}" for name, scopes in SCOPES.items()
)


@dataclass
class Http:
    """A client of the API that sends targets exactly as they are written."""

    url: str
    session: aiohttp.ClientSession

    async def __call__(
        self, method: str, target: str, body: Any = None, *, key: str = "backend", **headers: str
    ) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        request = self.session.request(
            method,
            URL(self.url + target, encoded=True),
            json=body,
            headers={"Authorization": f"Bearer {key * 2}", **given},
        )
        async with request as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def listens(self) -> bool:
        """Whether anything answers there."""
        try:
            await self("GET", "/docs")
        except aiohttp.ClientError:
            return False
        return True

    async def ok(self, method: str, target: str, body: Any = None, **more: str) -> Any:
        """The JSON of an answer that is a success."""
        answer = await self(method, target, body, **more)
        assert answer.status in {200, 201, 204}, answer
        return answer.json if answer.body else None

    async def problem(self, method: str, target: str, body: Any = None, **more: str) -> tuple[int, str]:
        """Status and code of an answer that is none."""
        answer = await self(method, target, body, **more)
        assert answer.json["status"] == answer.status
        return answer.status, answer.code

    @asynccontextmanager
    async def events(self, query: str = "", *, last: str | None = None) -> AsyncIterator[EventStream]:
        """An event stream whose headers have come."""
        headers = {"Authorization": "Bearer backendbackend"} | ({"Last-Event-ID": last} if last else {})
        target = URL(f"{self.url}/api/events{query}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(target, headers=headers, timeout=timeout) as answer:
            assert answer.status == 200, await answer.read()
            yield EventStream(answer)


@asynccontextmanager
async def api_of(parts: Parts, *, ready: bool = True, **settings: str) -> AsyncIterator[tuple[Http, Part]]:
    """The API as a process of its own."""
    port = free_port()
    part = await parts.start(
        "session_api", ready=ready, JUNE_API_PORT=str(port), JUNE_API_KEYS=KEYS, **settings
    )
    async with aiohttp.ClientSession() as session:
        http = Http(f"http://127.0.0.1:{port}", session)
        await until(http.listens)
        yield http, part
