"""A stand-in for June's HTTP API, for tests of the live page: it serves the page, and answers from memory.

Promises: the shapes of contract.md §8, the page's own content security policy, and a stream that a test writes and
cuts. Keeps every request that came. Knows one key, `KEY`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.samples import session_json

Json = dict[str, Any]

PAGE = Path(__file__).parents[2] / "session_api" / "page"
KEY = "a-key-of-the-test"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def now() -> str:
    """As June writes times."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def session(session_id: str, **fields: Any) -> Json:
    """One that was just begun."""
    begun = {"status": "active", "created_at": now(), "started_at": now()}
    return session_json(session_id, **(begun | fields))


def system(**fields: Any) -> Json:
    """June at a glance, when all is well."""
    queues = {name: {"name": name, "waiting": 0, "consumers": 1} for name in ("stt", "ai", "tts", "commands")}
    return {
        "version": "0.1.0",
        "at": now(),
        "broker": {"server": "RabbitMQ 4.0.5", "blocked": None},
        "workers": 2,
        **queues,
        "dead_letters": {"name": "june.dead.v1", "waiting": 0, "consumers": 0},
        "job_lease_s": 30,
        "event_streams": 1,
    } | fields


def partitions(*, held: int = 16) -> Json:
    """The first `held` of sixteen have a worker."""
    return {
        "partitions": [
            {
                "partition": f"p{at:02}",
                "queue": f"june.rooms.v1.p{at:02}",
                "waiting": 0,
                "consumers": int(at < held),
            }
            for at in range(16)
        ]
    }


@dataclass(kw_only=True)
class Request:
    """What the page asked."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json | None


@dataclass
class PageApi:
    """The state of it. Change it at will."""

    sessions: dict[str, Json] = field(default_factory=dict)
    participants: dict[str, list[Json]] = field(default_factory=dict)
    system: Json = field(default_factory=system)
    partitions: Json = field(default_factory=partitions)
    dead_letters: Json = field(default_factory=lambda: {"waiting": 0, "dead_letters": []})
    guest: Json = field(default_factory=dict)
    token_of: Callable[[Json, str], Json] | None = None
    """Makes the token fields of an answer from a session and an identity; without it they are null."""
    scopes: set[str] = field(
        default_factory=lambda: {"sessions:read", "sessions:write", "events:read", "system:read"}
    )
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    _events: list[bytes] = field(default_factory=list)
    _sequence: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _cuts: int = 0

    def tell(self, type_: str, data: Json, *, id_: str | None = None) -> None:
        """An event of June's, to every stream that is open or comes back."""
        self._sequence += 1
        subject = data.get("session_id") or data.get("session", {}).get("session_id")
        envelope = {
            "specversion": "1.0",
            "id": id_ or f"e-{self._sequence}",
            "source": "june",
            "type": type_,
            "subject": subject,
            "time": now(),
            "sequence": f"{self._sequence:020}",
            "data": data,
        }
        text = json.dumps(envelope, ensure_ascii=False)
        self._events.append(f"id: {len(self._events)}\nevent: {type_}\ndata: {text}\n\n".encode())
        self._wake()

    def cut(self) -> None:
        """Every stream that is open ends."""
        self._cuts += 1
        self._wake()

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests for this path."""
        return [one for one in self.requests if (one.method, one.path) == (method, path)]

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The stream, from `Last-Event-ID` on."""
        last = request.headers.get("Last-Event-ID")
        at, cuts = (int(last) + 1 if last else len(self._events)), self._cuts
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b": here\n\n")
        while cuts == self._cuts:
            more = self._more
            batch, at = b"".join(self._events[at:]), len(self._events)
            if batch:
                await answer.write(batch)
            else:
                await more.wait()
        return answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Anything under /api/."""
        body = await request.json() if request.can_read_body else None
        self.requests.append(
            Request(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers=dict(request.headers),
                body=body,
            )
        )
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return refusal(401, "unauthenticated")
        parts = request.path.removeprefix("/api/").split("/")
        if parts[0] not in {"sessions", "events", "system"}:
            return refusal(404, "not_found")
        if self._needs(request.method, parts[0]) not in self.scopes:
            return refusal(403, "permission_denied")
        if parts[0] == "events":
            return await self.events(request)
        if parts[0] == "system":
            known = {"": self.system, "partitions": self.partitions, "dead-letters": self.dead_letters}
            return web.json_response(known[parts[1] if len(parts) > 1 else ""])
        return self._sessions(request, parts[1:], body)

    def _needs(self, method: str, part: str) -> str:
        if part == "sessions":
            return "sessions:read" if method == "GET" else "sessions:write"
        return f"{part}:read"

    def _sessions(self, request: web.Request, parts: list[str], body: Json | None) -> web.Response:
        if not parts:
            return self._create(body) if request.method == "POST" else self._list(request)
        known = self.sessions.get(parts[0])
        if known is None:
            return refusal(404, "not_found")
        match request.method, parts[1:]:
            case "GET", []:
                return web.json_response(known | self._token(known))
            case "DELETE", []:
                known |= {"status": "ended", "ended_at": now(), "end_reason": "deleted"}
                self.tell("june.session.ended.v1", {"session": known})
                return web.json_response(known)
            case "GET", ["participants"]:
                return web.json_response({"participants": self.participants.get(parts[0], [])})
            case "DELETE", ["participants"]:
                return web.Response(status=204)
            case "POST", ["guest-token"]:
                return web.json_response(self.guest | {"room_name": known["room_name"]}, status=201)
        return refusal(405, "method_not_allowed")

    def _create(self, body: Json | None) -> web.Response:
        assert body is not None
        made = session(f"s-{len(self.sessions) + 1}", status="created", user_id=body["user_id"])
        made["room_name"] = body.get("room_name", made["room_name"])
        self.sessions[made["session_id"]] = made
        self.tell("june.session.created.v1", {"session": made})
        return web.json_response(made | self._token(made), status=201)

    def _list(self, request: web.Request) -> web.Response:
        wanted = request.query.get("status")
        found = [one for one in self.sessions.values() if wanted in {None, one["status"]}]
        return web.json_response({"sessions": found, "next_cursor": None})

    def _token(self, of: Json) -> Json:
        if self.token_of is None:
            return {"access_token": None, "identity": None, "livekit_url": None, "token_expires_at": None}
        return self.token_of(of, of["user_id"])


def refusal(status: int, code: str) -> web.Response:
    """A problem document."""
    problem = {
        "type": "about:blank",
        "title": code,
        "status": status,
        "detail": "",
        "code": code,
        "retryable": False,
    }
    return web.json_response(problem, status=status, content_type="application/problem+json")


@asynccontextmanager
async def serving(api: PageApi) -> AsyncIterator[PageApi]:
    """The page and this API on a free port, `api.url`."""
    app = web.Application()
    app.router.add_route("*", "/api/{rest:.*}", api.answer)
    app.router.add_get("/{file:.*}", _file)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield api
    finally:
        api.cut()
        await runner.cleanup()


async def _file(request: web.Request) -> web.StreamResponse:
    name = request.match_info["file"] or "index.html"
    path = (PAGE / name).resolve()
    if not path.is_relative_to(PAGE) or not path.is_file():
        return web.Response(status=404)
    return web.FileResponse(path, headers={"Content-Security-Policy": POLICY})
