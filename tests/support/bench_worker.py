"""A worker without its broker: the real use cases, domain and SQLite store, LiveKit's fake server, and a clock to set.

What would be published is kept in `published`, in order; moments are handed back into the partitions, as the broker
would. For the tests that ask what a worker decides and stores, not how messages travel.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from schemas.topology import ROOMS, partition_of
from tests.support.databases import database_in
from tests.support.fake_livekit import FakeLiveKit
from tests.support.samples import START
from worker.adapters.livekit.server_api import LiveKitServer
from worker.adapters.livekit.tokens import AccessTokens
from worker.adapters.sql import SqlStore, open_store
from worker.application.commands.context import Context
from worker.application.commands.executor import Answered, Commands
from worker.application.config import Config
from worker.application.errands import Errands
from worker.application.failures import BrokerUnavailable
from worker.application.looks import Looks, Pace
from worker.application.moments import Moments
from worker.application.outbox import Outbox
from worker.application.ports import LiveKit, OutboxMessage, RoomErrand, Store
from worker.application.reconcile import Reconciler
from worker.application.rendering import Renderer
from worker.application.room_events import Outcome, RoomEvents
from worker.domain.facts import Fact
from worker.domain.policy import Policy
from worker.entrypoints.worker import as_fact

WebhookReader = Callable[[Mapping[str, object], datetime], Fact | None]
INTERVAL = timedelta(seconds=30)
"""Between two passes of the reconciler."""
_KEY, _SECRET = "june-test", "secret-of-the-fake-livekit-server"


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by

    async def sleep(self, seconds: float) -> None:
        """Sleeping is the clock moving on; others may run meanwhile."""
        self._now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class KeptPublisher:
    """A broker that confirms everything and keeps it, unless it is `down`; `silent`, it keeps and does not confirm."""

    def __init__(self) -> None:
        self.messages: list[OutboxMessage] = []
        self.down = False
        self.silent = False

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        if self.down:
            raise BrokerUnavailable("the broker is down")
        self.messages += messages
        if self.silent:
            raise BrokerUnavailable("the broker did not confirm")


class KeptErrands(Errands):
    """Errands that were just made wait for the next round: nothing happens between a test's steps."""

    _kept: tuple[RoomErrand, ...] = ()

    def soon(self, errands: Sequence[RoomErrand]) -> None:
        self._kept += tuple(errands)

    async def round(self, *, limit: int = 50) -> int:
        tried = 0
        while self._kept:
            await self.carry_out(self._kept[0])
            self._kept = self._kept[1:]
            tried += 1
        return tried + await super().round(limit=limit)


@dataclasses.dataclass(kw_only=True)
class Bench:
    """What a worker is asked, and what it publishes to others; what it sends to itself is not among it."""

    clock: SetClock
    publisher: KeptPublisher
    store: SqlStore
    ids: itertools.count[int] = dataclasses.field(default_factory=itertools.count)

    def envelope(
        self, type_: str, data: dict[str, Any], *, source: str = "tests", message_id: str | None = None
    ) -> bytes:
        """A command or a report."""
        body = {
            "specversion": "1.0",
            "id": message_id or f"m-{next(self.ids)}",
            "source": source,
            "type": type_,
            "data": data,
        }
        return json.dumps(body).encode()

    @property
    def published(self) -> list[dict[str, Any]]:
        """The envelopes, in order."""
        return [json.loads(one.body) for one in self.publisher.messages if one.exchange != ROOMS]

    def types(self) -> list[str]:
        """Their types, without `june.` and `.v1`."""
        return [one["type"].removeprefix("june.").removesuffix(".v1") for one in self.published]

    def of(self, type_: str) -> list[dict[str, Any]]:
        """The data of those of one type."""
        return [one["data"] for one in self.published if one["type"] == f"june.{type_}.v1"]

    def sent_to_itself(self) -> list[OutboxMessage]:
        """What came since it was asked for the last time."""
        own = [message for message in self.publisher.messages if message.exchange == ROOMS]
        self.publisher.messages = [m for m in self.publisher.messages if m.exchange != ROOMS]
        return own


@dataclasses.dataclass(kw_only=True)
class UseCases:
    """What a worker does, for one holder of duties."""

    commands: Commands
    room_events: RoomEvents
    errands: Errands
    moments: Moments
    outbox: Outbox
    reconciler: Reconciler


@dataclasses.dataclass(kw_only=True)
class BenchWorker(UseCases, Bench):
    """The use cases put together as in the worker's entry point."""

    livekit: FakeLiveKit

    async def ask(
        self, type_: str, *, command_id: str | None = None, deadline: datetime | None = None, **data: Any
    ) -> dict[str, Any]:
        """Send a command; the reply's data."""
        answered = await self.answer(type_, command_id=command_id, deadline=deadline, **data)
        reply: dict[str, Any] = json.loads(answered.reply)["data"]
        return reply

    async def answer(
        self, type_: str, *, command_id: str | None = None, deadline: datetime | None = None, **data: Any
    ) -> Answered:
        body = self.envelope(f"june.{type_}.v1", data, message_id=command_id)
        return await self.commands.execute(body, deadline=deadline)

    async def ok(self, type_: str, **data: Any) -> dict[str, Any]:
        """Send a command that must succeed; its result."""
        reply = await self.ask(type_, **data)
        assert reply["ok"], reply
        result: dict[str, Any] = reply["result"]
        return result

    async def webhook(self, event: str, *, event_id: str | None = None, **fields: Any) -> Outcome:
        """Have one webhook handled."""
        body = {"event": event, "id": event_id or f"EV_{next(self.ids)}", "createdAt": "1760000000", **fields}
        (outcome,) = await self.handle(fields.get("room", {}).get("name", ""), body)
        return outcome

    async def report(
        self, type_: str, room: str, *, source: str = "stt-1", report_id: str | None = None, **data: Any
    ) -> Outcome:
        """Have one report handled, as published to the partition of `room`."""
        body = self.envelope(f"june.{type_}.v1", data, source=source, message_id=report_id)
        (outcome,) = await self.room_events.handle(partition_of(room), [body])
        return outcome

    async def handle(self, room: str, *bodies: dict[str, Any]) -> Sequence[Outcome]:
        return await self.room_events.handle(
            partition_of(room), [json.dumps(body).encode() for body in bodies]
        )

    async def pass_time(self, by: timedelta, *, step: timedelta = timedelta(seconds=1)) -> None:
        """Let time pass, and have each moment handled that comes meanwhile."""
        end = self.clock.now() + by
        while self.clock.now() < end:
            self.clock.advance(min(step, end - self.clock.now()))
            await self.moments.round()
            await self._give_back()

    async def _give_back(self) -> None:
        for message in self.sent_to_itself():
            room = json.loads(message.body)["partitionkey"]
            await self.room_events.handle(partition_of(room), [message.body])


@asynccontextmanager
async def bench_worker(
    folder: Path, *, policy: Policy | None = None, read_webhook: WebhookReader = as_fact
) -> AsyncIterator[BenchWorker]:
    """A bench worker on a database in `folder`."""
    clock, publisher = SetClock(), KeptPublisher()
    store = open_store(database_in(folder))
    await store.start()
    async with FakeLiveKit() as livekit:
        server = LiveKitServer(
            url=livekit.ws_url,
            key=livekit.api_key,
            secret=livekit.api_secret,
            timeout=timedelta(seconds=0.5),
        )
        cases = use_cases(
            store, server, clock, publisher, policy=policy or Policy(), read_webhook=read_webhook
        )
        yield BenchWorker(clock=clock, publisher=publisher, store=store, livekit=livekit, **vars(cases))
        await server.close()
    await store.close()


def use_cases(
    store: Store,
    livekit: LiveKit,
    clock: SetClock,
    publisher: KeptPublisher,
    *,
    policy: Policy,
    holder: str = "bench",
    read_webhook: WebhookReader = as_fact,
) -> UseCases:
    """The use cases as the worker's entry point puts them together."""
    config = Config(public_url="wss://livekit.example.org", policy=policy)
    tokens = AccessTokens(key=_KEY, secret=_SECRET, bot_ttl=timedelta(seconds=300))
    outbox = Outbox(store=store, publisher=publisher, clock=clock)
    looks = Looks(
        store=store,
        livekit=livekit,
        publisher=publisher,
        clock=clock,
        pace=Pace(10_000),
        sleep=clock.sleep,
    )
    errands = KeptErrands(store=store, livekit=livekit, clock=clock, look=looks.at)
    renderer = Renderer(config=config, tokens=tokens)
    context = Context(
        store=store,
        livekit=livekit,
        tokens=tokens,
        outbox=outbox,
        errands=errands,
        renderer=renderer,
        config=config,
        clock=clock,
    )
    return UseCases(
        commands=Commands(context),
        room_events=RoomEvents(
            store=store,
            outbox=outbox,
            errands=errands,
            renderer=renderer,
            config=config,
            clock=clock,
            read_webhook=read_webhook,
        ),
        errands=errands,
        moments=Moments(store=store, publisher=publisher, clock=clock),
        outbox=outbox,
        reconciler=Reconciler(
            store=store,
            livekit=livekit,
            looks=looks,
            clock=clock,
            interval=INTERVAL,
            holder=holder,
            adopt_rooms=policy.adopt_rooms,
        ),
    )
