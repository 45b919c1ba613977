"""The HTTP API on a port of its own, with June, the log of events and the broker played by fakes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry
from yarl import URL

from messaging.counts import QueueCounts
from messaging.failures import BrokerUnavailable
from messaging.message import Incoming, Outgoing
from runtime.api_keys import ApiKey, Scope, digest_of
from schemas.envelope import Envelope, decode, encode
from schemas.errors import FieldProblem
from schemas.replies import ErrorCode, ReplyError, ReplyFailed, ReplyOk
from session_api.app import Api, Parts
from session_api.auth import Gate, Keys
from session_api.commander import Commander
from session_api.cors import Cors
from session_api.events.feed import Feed
from session_api.events.owners import Owners
from session_api.events.streaming import Streaming
from session_api.holders import Holders
from session_api.http import serve
from session_api.metrics import Metrics
from session_api.models import BrokerView
from session_api.system import System
from tests.support.deliveries import incoming
from tests.support.http_answers import Answer, EventStream
from tests.support.polling import until
from tests.support.samples import session_json

Json = dict[str, Any]
ALL = frozenset(Scope)
NOW = "2026-11-22T19:00:00.000Z"


TOKENS: Json = {
    "access_token": "secret.token.here",
    "identity": "ann",
    "livekit_url": "wss://lk",
    "token_expires_at": NOW,
}
RESULTS: Mapping[str, Json] = {
    "june.session.create.v1": {"session": session_json(), **TOKENS},
    "june.session.get.v1": {"session": session_json(), **TOKENS},
    "june.session.list.v1": {"sessions": [session_json()], "next_cursor": None},
    "june.session.delete.v1": {"session": session_json(status="ended")},
    "june.room.get.v1": {"room": None},
    "june.participant.list.v1": {"participants": []},
    "june.participant.remove.v1": {"removed": True},
    "june.guest_token.create.v1": {
        "access_token": "guest.token.here",
        "identity": "guest/1",
        "room_name": "room-1",
        "livekit_url": "wss://lk",
        "expires_at": NOW,
    },
}


@dataclass
class FakeJune:
    """Answers commands as told, and keeps them. `failing` is raised, `refusing` is replied; `hold` keeps replies."""

    sent: list[Outgoing] = field(default_factory=list)
    failing: Exception | None = None
    refusing: ReplyError | None = None
    hold: asyncio.Event | None = None
    results: dict[str, Json] = field(default_factory=lambda: dict(RESULTS))

    async def request(self, command: Outgoing, *, timeout: timedelta) -> Incoming:
        self.sent.append(command)
        if self.hold is not None:
            await self.hold.wait()
        if self.failing is not None:
            raise self.failing
        asked = decode(command.body)
        data = (
            ReplyFailed(command_id=asked.id, error=self.refusing).as_json()
            if self.refusing
            else ReplyOk(command_id=asked.id, result=self.results[asked.type]).as_json()
        )
        return incoming(encode(Envelope(id="r", source="june", type=ReplyOk.TYPE, data=data)))

    def refuse(self, code: ErrorCode, *problems: FieldProblem) -> None:
        """Refuse every command from now on."""
        self.refusing = ReplyError.of(code, f"refused: {code}", problems)

    @property
    def envelopes(self) -> list[Envelope]:
        return [decode(command.body) for command in self.sent]

    @property
    def last(self) -> Envelope:
        return self.envelopes[-1]


class FakeReader:
    """Reads a FakeLog."""

    def __init__(self, log: "FakeLog", place: int) -> None:
        self._log = log
        self._place = place
        self._deletions = log.deletions

    def __aiter__(self) -> "FakeReader":
        return self

    async def __anext__(self) -> tuple[int, Incoming]:
        while True:
            if self._deletions != self._log.deletions:
                self._deletions, self._place = self._log.deletions, 0
            self._place = max(self._place, self._log.oldest)
            if self._place - self._log.oldest < len(self._log.messages):
                self._place += 1
                return self._place - 1, self._log.messages[self._place - 1 - self._log.oldest]
            self._log.news.clear()
            await self._log.news.wait()

    async def close(self) -> None:
        self._log.closed_readers += 1


@dataclass
class FakeLog:
    """The log of events in memory. `down`: the broker is away."""

    oldest: int = 0
    messages: list[Incoming] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    down: bool = False
    readers: int = 0
    closed_readers: int = 0
    deletions: int = 0

    def delete(self) -> None:
        """Somebody deletes it; it is made anew."""
        self.oldest, self.messages, self.deletions = 0, [], self.deletions + 1
        self.news.set()

    async def tail(self) -> int:
        if self.down:
            raise BrokerUnavailable("away")
        return self.oldest + len(self.messages)

    def read(self, place: int, *, ahead: int) -> FakeReader:
        self.readers += 1
        return FakeReader(self, place)

    def add(self, type_: str, session_id: str | None = "s1", **data: Any) -> int:
        """An event happens; its place."""
        envelope = Envelope(
            id=f"e{self.oldest + len(self.messages)}",
            source="june",
            type=type_,
            subject=session_id,
            data=data,
        )
        return self.add_bytes(encode(envelope))

    def add_bytes(self, body: bytes) -> int:
        self.messages.append(incoming(body))
        self.news.set()
        return self.oldest + len(self.messages) - 1


@dataclass
class FakeLook:
    """A broker to look at."""

    queues: dict[str, QueueCounts] = field(default_factory=dict)
    dead: list[Incoming] = field(default_factory=list)
    down: bool = False

    async def broker(self) -> BrokerView:
        return BrokerView(server="RabbitMQ 4.0.5", blocked=None)

    async def counts(self, queues: Sequence[str]) -> dict[str, QueueCounts | None]:
        if self.down:
            raise BrokerUnavailable("away")
        return {queue: self.queues.get(queue) for queue in queues}

    async def oldest(self, queue: str, at_most: int) -> list[Incoming]:
        return self.dead[:at_most]


def key(name: str, *scopes: Scope) -> ApiKey:
    """A key that is its own name."""
    return ApiKey(name=name, digest=digest_of(name), scopes=frozenset(scopes))


KEYS = (
    key("all", *Scope),
    key("reader", Scope.SESSIONS_READ),
    key("writer", Scope.SESSIONS_WRITE),
    key("listener", Scope.EVENTS_READ),
    key("operator", Scope.SYSTEM_READ),
)


@dataclass
class Served:
    """The API, served, and what it is made of."""

    url: str
    client: aiohttp.ClientSession
    june: FakeJune
    log: FakeLog
    look: FakeLook
    feed: Feed
    api: Api

    @property
    def port(self) -> int:
        """For who speaks HTTP by hand."""
        return URL(self.url).port or 0

    async def call(
        self,
        method: str,
        target: str,
        *,
        key: str | None = "all",
        json_: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; the target goes out exactly as it is written here."""
        given = {} if key is None else {"Authorization": f"Bearer {key}"}
        if json_ is not None:
            given["Content-Type"] = "application/json"
            data = json.dumps(json_).encode()
        request = self.client.request(
            method,
            URL(self.url + target, encoded=True),
            data=data,
            headers={**given, **(headers or {})},
            skip_auto_headers=("Content-Type",),
        )
        async with request as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    @asynccontextmanager
    async def events(
        self, query: str = "", *, key: str = "all", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[EventStream]:
        """An event stream whose headers have come."""
        target = URL(f"{self.url}/api/events{query}", encoded=True)
        given = {"Authorization": f"Bearer {key}", **(headers or {})}
        async with self.client.get(target, headers=given) as answer:
            assert answer.status == 200, await answer.read()
            yield EventStream(answer)


@asynccontextmanager
async def served(
    *,
    gate: Gate | None = None,
    max_requests: int = 200,
    max_bytes: int = 1 << 20,
    origins: Sequence[str] = (),
    heartbeat: timedelta = timedelta(seconds=12),
    timeout: timedelta = timedelta(seconds=10),
    kept_events: int = 2000,
    write_within: timedelta = timedelta(seconds=30),
) -> AsyncIterator[Served]:
    """The API with its fakes, served on loopback."""
    june, log, look = FakeJune(), FakeLog(), FakeLook()
    feed = Feed(log, kept_events=kept_events)
    commander = Commander(june, timeout=timeout, now=lambda: datetime(2026, 11, 22, 19, tzinfo=UTC))
    metrics = Metrics(CollectorRegistry())
    parts = Parts(
        gate=gate or Keys(KEYS),
        commander=commander,
        feed=feed,
        streaming=Streaming(
            feed,
            Owners(commander),
            sent=metrics.event_sent,
            heartbeat=heartbeat,
            write_within=write_within,
        ),
        system=System(look, Holders(None, "amqp://127.0.0.1/"), lease=timedelta(seconds=45)),
        metrics=metrics,
        cors=Cors(origins),
    )
    api = Api(parts, max_requests=max_requests, max_bytes=max_bytes)
    async with (
        serve("127.0.0.1", 0, api.handle) as port,
        aiohttp.ClientSession(auto_decompress=False) as client,
    ):
        following = asyncio.create_task(feed.run())
        await until(lambda: feed.start is not None)
        try:
            yield Served(f"http://127.0.0.1:{port}", client, june, log, look, feed, api)
        finally:
            following.cancel()
            feed.close()
