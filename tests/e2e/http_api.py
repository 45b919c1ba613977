"""A client of the HTTP API that sends targets exactly as they are written, and reads server-sent events.

Knows the contract alone; nothing of June is imported.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest_asyncio
from yarl import URL

from deploy.servers import free_port
from tests.e2e.installation import Installation
from tests.e2e.processes import Part, Parts

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
TOKENS = ("access_token", "identity", "livekit_url", "token_expires_at")
SOON_S = 30.0


def unique(prefix: str = "s") -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


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

    async def ok(self, method: str, target: str, body: Any = None, **more: str) -> Any:
        """The JSON of an answer that is a success."""
        answer = await self(method, target, body, **more)
        assert answer.status in {200, 201, 204}, answer
        return answer.json if answer.body else None

    async def problem(self, method: str, target: str, body: Any = None, **more: str) -> tuple[int, str]:
        """Status and code of an answer that is none."""
        answer = await self(method, target, body, **more)
        assert answer.headers["Content-Type"] == "application/problem+json", answer
        assert answer.json["status"] == answer.status
        return answer.status, answer.json["code"]

    @asynccontextmanager
    async def events(self, query: str = "", *, last: str | None = None) -> AsyncIterator[Stream]:
        """An event stream whose headers have come."""
        headers = {"Authorization": "Bearer backendbackend"} | ({"Last-Event-ID": last} if last else {})
        target = URL(f"{self.url}/api/events{query}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(target, headers=headers, timeout=timeout) as answer:
            assert answer.status == 200, await answer.read()
            yield Stream(answer)


@dataclass
class Stream:
    """Server-sent events, one by one."""

    answer: aiohttp.ClientResponse

    async def next(self) -> tuple[str, Json]:
        """The next event: its id and its envelope."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(SOON_S):
            while True:
                line = (await self.answer.content.readuntil(b"\n")).decode().rstrip("\n")
                if not line and "data" in fields:
                    envelope = json.loads(fields["data"])
                    assert fields["event"] == envelope["type"]
                    return fields["id"], envelope
                name, _, value = line.partition(": ")
                fields[name] = value

    async def types(self, count: int) -> list[str]:
        """The types of the next events, without `june.` and `.v1`."""
        found = [(await self.next())[1]["type"] for _ in range(count)]
        return [type_.removeprefix("june.").removesuffix(".v1") for type_ in found]


@asynccontextmanager
async def api_of(parts: Parts, *, ready: bool = True, **settings: str) -> AsyncIterator[tuple[Http, Part]]:
    """The API as a process of its own."""
    port = free_port()
    part = await parts.start(
        "session_api", ready=ready, JUNE_API_PORT=str(port), JUNE_API_KEYS=KEYS, **settings
    )
    async with aiohttp.ClientSession() as session:
        http = Http(f"http://127.0.0.1:{port}", session)
        await _listening(http)
        yield http, part


async def _listening(http: Http) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                await http("GET", "/docs")
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
            else:
                return


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(june: Installation) -> AsyncIterator[Http]:
    """The API of the module's installation."""
    async with api_of(june.parts) as (http, _):
        yield http
