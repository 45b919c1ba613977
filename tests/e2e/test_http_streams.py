"""Event streams of the HTTP API: what listeners get, also when they do not read, or leave and come back."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aio_pika
import aiohttp
import pytest

from tests.e2e.http_api import Http, api_of
from tests.e2e.installation import Installation
from tests.e2e.names import CREATED, ENDED, JOINED, unique
from tests.e2e.processes import Part
from tests.support.polling import until
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW_LISTENERS = 40
EVENTS = 4000
EVENT_BYTES = 4000
MEMORY_MB = 60
ANSWERED_WITHIN_S = 3.0
USERS = 3
LISTENERS_OF_EACH = 3
SESSIONS = 30


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
        assert (await everything.next()).envelope["data"]["session"]["user_id"] == "another"


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
        last, _, envelope = await stream.next()
        assert envelope["subject"] == first
    missed = [unique() for _ in range(5)]
    for session_id in missed:
        await http.ok("POST", "/api/sessions", {"user_id": user, "session_id": session_id})
    async with http.events(f"?user_id={user}", last=last) as stream:
        assert [(await stream.next()).envelope["subject"] for _ in missed] == missed
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
        assert [(await stream.next()).envelope["subject"] for _ in made] == made


async def publish(amqp_url: str, session_id: str, count: int) -> None:
    """Events of a session that is in no store, each with its number."""
    async with await aio_pika.connect(amqp_url) as connection:
        exchange = await (await connection.channel()).get_exchange("june.events")
        for begin in range(0, count, 200):
            envelopes = (
                {
                    "specversion": "1.0",
                    "id": f"{session_id}-{number}",
                    "source": "june",
                    "type": JOINED,
                    "subject": session_id,
                    "data": {"number": number, "text": "x" * EVENT_BYTES},
                }
                for number in range(begin, begin + 200)
            )
            # One channel keeps the order in which they were begun.
            messages = [aio_pika.Message(json.dumps(envelope).encode()) for envelope in envelopes]
            await asyncio.gather(*(exchange.publish(message, JOINED) for message in messages))


@contextmanager
def listeners_that_do_not_read(http: Http, count: int, last: str) -> Iterator[None]:
    """They ask for everything after `last`, and take nothing but what the kernel takes for them."""
    lines = ("GET /api/events HTTP/1.1", "Host: june", "Authorization: Bearer backendbackend")
    request = "\r\n".join((*lines, f"Last-Event-ID: {last}", "", ""))
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(one := socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", int(http.url.rpartition(":")[2])))
            one.sendall(request.encode())
        yield
    finally:
        for one in opened:
            one.close()


def memory_mb(part: Part) -> float:
    """What the process has in memory."""
    return int(Path(f"/proc/{part.process.pid}/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.slow
async def test_listeners_that_do_not_read_cost_nobody_anything(june: Installation) -> None:
    """Commands are answered, somebody else gets every event, memory stays as it is, and SIGTERM is heeded."""
    async with api_of(june.parts) as (http, part):
        async with http.events() as stream:
            await http.ok("POST", "/api/sessions", {"user_id": "ann"})
            last = (await stream.next()).id
        await publish(june.amqp_url, session_id := unique(), EVENTS)
        before = memory_mb(part)
        with listeners_that_do_not_read(http, SLOW_LISTENERS, last):
            for _ in range(10):
                began = time.monotonic()
                await http.ok("GET", "/api/sessions?limit=1")
                assert time.monotonic() - began < ANSWERED_WITHIN_S
            assert (await http.ok("GET", "/api/system"))["event_streams"] == SLOW_LISTENERS
            async with http.events(f"?session_id={session_id}", last=last) as stream:
                numbers = [(await stream.next()).envelope["data"]["number"] for _ in range(EVENTS)]
            assert numbers == list(range(EVENTS))
            assert memory_mb(part) - before < MEMORY_MB
            await part.stop()


@dataclass
class Listener:
    """Leaves in the middle of a stream, now and then, and comes back with the id of its last event."""

    http: Http
    user: str
    chance: random.Random
    last: str | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)

    async def listen(self, sessions: int) -> None:
        """Until so many sessions have ended."""
        while sum(type_ == ENDED for _, type_ in self.seen) < sessions:
            try:
                await self._once(self.chance.randint(1, 25))
            # Not let in at this moment (the broker is away), or cut off.
            except (aiohttp.ClientError, asyncio.IncompleteReadError, AssertionError, TimeoutError):
                await asyncio.sleep(0.05)

    async def _once(self, events: int) -> None:
        async with self.http.events(
            f"?user_id={self.user}&type={CREATED}&type={ENDED}", last=self.last
        ) as stream:
            for _ in range(events):
                self.last, type_, envelope = await stream.next()
                self.seen.append((envelope["subject"], type_))


@pytest.mark.slow
async def test_whoever_leaves_and_comes_back_sees_everything_once(june: Installation) -> None:
    """Whatever the broker's connection does meanwhile: each event of a user's sessions, in order."""
    users = [unique("user") for _ in range(USERS)]
    async with (
        TcpProxy.before(june.amqp_url) as proxy,
        api_of(june.parts, JUNE_AMQP_URL=proxy.url(june.amqp_url)) as (behind, part),
        api_of(june.parts) as (http, _),
    ):
        async with behind.events() as stream:
            await http.ok("POST", "/api/sessions", {"user_id": "before"})
            begin = (await stream.next()).id
        listeners = [
            Listener(behind, user, random.Random(number), last=begin)
            for number, user in enumerate(users * LISTENERS_OF_EACH)
        ]
        async with asyncio.timeout(150), asyncio.TaskGroup() as tasks:
            for one in listeners:
                tasks.create_task(one.listen(SESSIONS))
            stories = [tasks.create_task(_sessions(http, user)) for user in users]
            for share in (0.1, 0.35, 0.6):
                await until(lambda share=share: _seen(listeners) >= share, within_s=60)  # type: ignore[misc]
                await proxy.cut()
                await until(lambda share=share: _seen(listeners) >= share + 0.1, within_s=60)  # type: ignore[misc]
                await proxy.refuse()
                await part.ready(status=503)
                await proxy.accept()
    expected = dict(zip(users, (story.result() for story in stories), strict=True))
    for one in listeners:
        assert one.seen == expected[one.user], f"seed {listeners.index(one)}"


def _seen(listeners: list[Listener]) -> float:
    """The share of what they are to see."""
    return sum(len(one.seen) for one in listeners) / (len(listeners) * 2 * SESSIONS)


async def _sessions(http: Http, user: str) -> list[tuple[str, str]]:
    """Sessions of a user, one after the other; what they make happen."""
    happened = []
    for _ in range(SESSIONS):
        session_id = (await http.ok("POST", "/api/sessions", {"user_id": user}))["session_id"]
        await http.ok("DELETE", f"/api/sessions/{session_id}")
        happened += [(session_id, CREATED), (session_id, ENDED)]
    return happened
