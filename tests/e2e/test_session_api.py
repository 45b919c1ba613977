"""The HTTP API from outside: contract.md §8, with a real worker and a real RabbitMQ behind it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from deploy.servers import RabbitMQ, free_port
from tests.e2e.installation import Installation
from tests.e2e.processes import ROOT, Part, Parts
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
HOSTILE = ["a/b", "..", ".", "a%2Fb", "a b+c", "50%", "Zoë 🙂", "?x=1&y#z", '"<b>', "\\..\\"]


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


async def test_a_session_from_its_beginning_to_its_end(june: Installation, http: Http) -> None:
    """Create, look, join, list, put out, invite, end: each path, with its status and its shape."""
    created = await http("POST", "/api/sessions", {"user_id": "ann", "metadata": {"order": 7}})
    assert created.status == 201
    session = created.json
    about = created.headers["Location"]
    assert about == f"/api/sessions/{session['session_id']}"
    assert created.headers["Cache-Control"] == "no-store"
    assert session["metadata"] == {"order": 7}
    assert all(session[name] for name in TOKENS)
    june.livekit.join_by_token(session["access_token"])
    got = await http.ok("GET", about)
    assert set(got) == set(session)
    assert (await http.ok("GET", f"{about}/room"))["room"]["name"] == session["room_name"]
    people = (await http.ok("GET", f"{about}/participants"))["participants"]
    assert [one["identity"] for one in people] == ["ann"]
    guest = await http("POST", f"{about}/guest-token", {"guest_name": "Bo", "can_publish": False})
    assert guest.status == 201
    assert set(guest.json) == {"access_token", "identity", "room_name", "livekit_url", "expires_at"}
    gone = await http("DELETE", f"{about}/participants/ann")
    assert (gone.status, gone.body) == (204, b"")
    assert "ann" not in june.livekit.identities(session["room_name"])
    ended = await http.ok("DELETE", f"{about}?reason=enough")
    assert (ended["status"], ended["end_reason"]) == ("ended", "deleted")
    assert "access_token" not in ended
    assert await http.ok("DELETE", about) == ended
    assert [(await http.ok("GET", about))[name] for name in TOKENS] == [None] * 4
    assert await http.ok("GET", f"{about}/room") == {"room": None}


async def test_lists_are_filtered_and_paged(http: Http) -> None:
    """The query is the command's data; pages follow by the cursor."""
    user = unique("user /+")
    made = [(await http.ok("POST", "/api/sessions", {"user_id": user}))["session_id"] for _ in range(3)]
    query = f"/api/sessions?user_id={quote(user, safe='')}&limit=2"
    first = await http.ok("GET", query)
    second = await http.ok("GET", f"{query}&cursor={quote(first['next_cursor'], safe='')}")
    found = [one["session_id"] for one in (*first["sessions"], *second["sessions"])]
    assert found == made[::-1]
    assert second["next_cursor"] is None
    assert (await http.ok("GET", f"{query}&status=ended"))["sessions"] == []


@pytest.mark.parametrize("identity", HOSTILE)
async def test_any_identity_is_put_out_by_its_path(june: Installation, http: Http, identity: str) -> None:
    """Also what folds in browsers, by the query."""
    session = await http.ok("POST", "/api/sessions", {"user_id": identity})
    assert session["identity"] == identity
    about = f"/api/sessions/{session['session_id']}"
    piece = quote(identity, safe="").replace(".", "%2E")
    for target in (f"{about}/participants/{piece}", f"{about}/participants?identity={piece}"):
        token = (await http.ok("GET", f"{about}?identity={piece}"))["access_token"]
        june.livekit.join_by_token(token)
        assert identity in june.livekit.identities(session["room_name"])
        await http.ok("DELETE", target)
        assert identity not in june.livekit.identities(session["room_name"])


async def test_the_commands_own_errors_come_through(http: Http) -> None:
    """Each with its status, and the fields that are wrong."""
    session_id = unique()
    await http.ok("POST", "/api/sessions", {"user_id": "ann", "session_id": session_id})
    again = {"user_id": "ann", "session_id": session_id}
    assert await http.problem("POST", "/api/sessions", again) == (409, "already_exists")
    await http.ok("DELETE", f"/api/sessions/{session_id}")
    people = f"/api/sessions/{session_id}/participants"
    assert await http.problem("GET", people) == (409, "failed_precondition")
    assert await http.problem("GET", f"/api/sessions/{unique()}") == (404, "not_found")
    assert await http.problem("GET", "/api/sessions/%2E%2E") == (400, "invalid_argument")
    assert await http.problem("GET", "/api/sessions?limit=201") == (400, "invalid_argument")
    wrong = await http("POST", "/api/sessions", {"user_id": "", "stt": {"enabled": "yes"}, "typo": 1})
    assert wrong.status == 400
    assert {one["field"] for one in wrong.json["details"]} == {"user_id", "stt.enabled", "typo"}


async def test_an_idempotency_key_makes_one_session(http: Http) -> None:
    """The same again is the same session; another body, route or caller is not."""
    key, body = unique("key"), {"user_id": "ann"}
    first = await http("POST", "/api/sessions", body, Idempotency_Key=key)
    again = await http("POST", "/api/sessions", body, Idempotency_Key=key)
    assert (first.status, again.status) == (201, 201)
    assert first.json["session_id"] == again.json["session_id"]
    other = {"user_id": "bo"}
    assert await http.problem("POST", "/api/sessions", other, Idempotency_Key=key) == (
        400,
        "invalid_argument",
    )
    target = f"/api/sessions/{first.json['session_id']}"
    assert await http.problem("DELETE", target, Idempotency_Key=key) == (400, "invalid_argument")
    somebody = await http("POST", "/api/sessions", body, key="other", Idempotency_Key=key)
    assert somebody.json["session_id"] != first.json["session_id"]


async def test_who_may_only_read_changes_nothing(june: Installation, http: Http) -> None:
    """No token, and nobody who was put out is let in again by a look."""
    session = await http.ok("POST", "/api/sessions", {"user_id": "ann"})
    about = f"/api/sessions/{session['session_id']}"
    june.livekit.join_by_token(session["access_token"])
    await http.ok("DELETE", f"{about}/participants/ann")
    looked = await http.ok("GET", f"{about}?identity=ann", key="reader")
    assert [looked[name] for name in TOKENS] == [None] * 4
    assert (await http.ok("GET", about))["access_token"] is None
    assert await http.problem("DELETE", about, key="reader") == (403, "permission_denied")


async def test_events_are_what_happens_from_now_on(june: Installation, http: Http) -> None:
    """The story of one session, in order, and nothing of another or of before."""
    await http.ok("POST", "/api/sessions", {"user_id": "before"})
    session_id = unique()
    async with http.events() as everything, http.events(f"?session_id={session_id}") as one:
        await http.ok("POST", "/api/sessions", {"user_id": "another"})
        session = await http.ok("POST", "/api/sessions", {"user_id": "ann", "session_id": session_id})
        june.livekit.join_by_token(session["access_token"])
        assert await one.types(3) == ["session.created", "session.started", "participant.joined"]
        await http.ok("DELETE", f"/api/sessions/{session_id}")
        assert await one.types(2) == ["participant.left", "session.ended"]
        assert (await everything.next())[1]["data"]["session"]["user_id"] == "another"


async def test_events_of_a_user_are_those_of_their_sessions(june: Installation, http: Http) -> None:
    """Also of a session from before the API ran, and only of the types that are asked for."""
    user = unique("user")
    session = await http.ok("POST", "/api/sessions", {"user_id": user})
    types = "type=june.participant.joined.v1&type=june.session.ended.v1"
    async with api_of(june.parts) as (fresh, _), fresh.events(f"?user_id={user}&{types}") as stream:
        june.livekit.join(session["room_name"], "somebody")
        other = await http.ok("POST", "/api/sessions", {"user_id": unique("user")})
        june.livekit.join(other["room_name"], "somebody else")
        await http.ok("DELETE", f"/api/sessions/{session['session_id']}")
        assert await stream.types(2) == ["participant.joined", "session.ended"]


async def test_a_stream_goes_on_after_its_last_event(http: Http) -> None:
    """Whoever comes back with an id has missed nothing and sees nothing twice."""
    user = unique("user")
    async with http.events(f"?user_id={user}") as stream:
        await http.ok("POST", "/api/sessions", {"user_id": user, "session_id": (first := unique())})
        last, envelope = await stream.next()
        assert envelope["subject"] == first
    missed = [unique() for _ in range(5)]
    for session_id in missed:
        await http.ok("POST", "/api/sessions", {"user_id": user, "session_id": session_id})
    async with http.events(f"?user_id={user}", last=last) as stream:
        assert [(await stream.next())[1]["subject"] for _ in missed] == missed
    assert await http.problem("GET", "/api/events", Last_Event_ID="nonsense") == (400, "invalid_argument")


async def test_a_cut_of_the_broker_loses_no_event(june: Installation, http: Http) -> None:
    """A stream that is open meanwhile goes on by itself: every session once, in order."""
    user = unique("user")
    made = [unique() for _ in range(12)]
    async with (
        TcpProxy.before(june.amqp_url) as proxy,
        api_of(june.parts, JUNE_AMQP_URL=proxy.url(june.amqp_url)) as (behind, _),
        behind.events(f"?user_id={user}&type=june.session.created.v1") as stream,
    ):
        for at, session_id in enumerate(made):
            if at % 4 == 2:
                await proxy.refuse()
            await http.ok("POST", "/api/sessions", {"user_id": user, "session_id": session_id})
            if at % 4 == 3:
                await proxy.accept()
        assert [(await stream.next())[1]["subject"] for _ in made] == made


async def test_a_broker_that_is_away_or_silent_is_503_within_two_seconds(june: Installation) -> None:
    """Also for who waits already; it is well again by itself."""
    async with (
        TcpProxy.before(june.amqp_url) as proxy,
        api_of(june.parts, JUNE_AMQP_URL=proxy.url(june.amqp_url)) as (http, part),
    ):
        proxy.hang()
        await _unavailable(http)
        proxy.go_on()
        await proxy.refuse()
        await _unavailable(http)
        await part.ready(status=503)
        await proxy.accept()
        await part.ready()
        assert (await http("POST", "/api/sessions", {"user_id": "ann"})).status == 201


async def _unavailable(http: Http) -> None:
    async def ask(method: str, target: str, body: Any = None) -> None:
        began = time.monotonic()
        answer = await http(method, target, body)
        took = time.monotonic() - began
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "unavailable", True)
        assert "Retry-After" in answer.headers
        assert took < 2, (target, took)

    await asyncio.gather(
        ask("POST", "/api/sessions", {"user_id": "ann"}),
        ask("GET", "/api/sessions"),
        ask("GET", "/api/events"),
        ask("GET", "/api/system"),
        ask("GET", "/api/system/dead-letters"),
    )


async def test_without_a_worker_the_answer_is_504(amqp_url: str, tmp_path: Path) -> None:
    """At the deadline: whether it was carried out is not known, and the same again is right."""
    parts = Parts(env={"JUNE_AMQP_URL": amqp_url, "JUNE_API_TIMEOUT_S": "0.5"}, directory=tmp_path)
    try:
        async with api_of(parts) as (http, part):
            answer = await http("POST", "/api/sessions", {"user_id": "ann"})
            assert (answer.status, answer.json["code"]) == (504, "deadline_exceeded")
            assert answer.json["retryable"] is True
            system = await http.ok("GET", "/api/system")
            assert system["workers"] == 0
            assert system["broker"]["server"].startswith("RabbitMQ")
            # A listener is no reason to stay.
            async with http.events():
                await part.stop()
    finally:
        parts.kill()


async def test_it_may_start_before_the_broker(june: Installation) -> None:
    """It listens at once, says that it is not ready, and goes on when RabbitMQ is there."""
    async with TcpProxy.before(june.amqp_url) as proxy:
        await proxy.refuse()
        starting = api_of(june.parts, ready=False, JUNE_AMQP_URL=proxy.url(june.amqp_url))
        async with starting as (http, part):
            await part.ready(status=503)
            assert (await http("GET", "/api/sessions")).status == 503
            await proxy.accept()
            await part.ready()
            assert (await http("GET", "/api/sessions")).status == 200


async def test_an_operator_sees_partitions_and_dead_letters(june: Installation, http: Http) -> None:
    """Each partition has its worker; a command that cannot be read lies among the dead, again and again."""
    partitions = (await http.ok("GET", "/api/system/partitions"))["partitions"]
    assert [one["consumers"] for one in partitions] == [len(june.workers)] * 16
    assert {one["holder"] for one in partitions} == {None}
    assert (await http.ok("GET", "/api/system"))["workers"] == len(june.workers)
    before = (await http.ok("GET", "/api/system/dead-letters"))["waiting"]
    assert await june.webhook(b"not an event") == 200
    async with asyncio.timeout(SOON_S):
        seen = await http.ok("GET", "/api/system/dead-letters")
        while seen["waiting"] == before:
            await asyncio.sleep(0.05)
            seen = await http.ok("GET", "/api/system/dead-letters")
    assert await http.ok("GET", "/api/system/dead-letters") == seen
    assert seen["dead_letters"][-1]["reason"] == "unreadable"


async def test_an_operator_sees_who_holds_a_partition(june: Installation, rabbitmq_server: RabbitMQ) -> None:
    """With RabbitMQ's management API: the name that a worker gives itself in its log."""
    management = rabbitmq_server.management_url
    assert management is not None
    names = [re.search(r'"worker":"([^"]+)"', part.log.read_text()) for part in june.workers]
    async with (
        api_of(june.parts, JUNE_RABBITMQ_MANAGEMENT_URL=management) as (http, _),
        asyncio.timeout(SOON_S),
    ):
        holders: set[str | None] = {None}
        while None in holders:
            holders = {one["holder"] for one in await _partitions(http)}
            await asyncio.sleep(0.2)
    assert holders <= {name[1] for name in names if name}


async def _partitions(http: Http) -> list[Json]:
    found: list[Json] = (await http.ok("GET", "/api/system/partitions"))["partitions"]
    return found


async def test_without_keys_it_refuses_to_start() -> None:
    """With the reason, and exit code 2."""
    ran = await asyncio.to_thread(_refused)
    assert ran.returncode == 2
    assert b"JUNE_API_KEYS: is not set" in ran.stderr


def _refused() -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "session_api"]
    return subprocess.run(
        command, cwd=ROOT, env={"PATH": os.defpath}, capture_output=True, timeout=60, check=False
    )
