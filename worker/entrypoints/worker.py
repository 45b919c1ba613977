"""A worker as a process: its parts put together, started in order, and stopped in order.

Promises: waits for RabbitMQ and the database, and says so; on stop it takes nothing new, finishes what it began, and
hands its partitions over in order. A part that dies stops the worker with its reason.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from messaging.connection import Broker
from messaging.consumer import Consumer
from messaging.publisher import Publisher
from messaging.topology import establish
from messaging.watchdog import Watchdog
from runtime.admin import Readiness, serve_admin
from runtime.settings import WorkerSettings
from runtime.tasks import SideTasks
from schemas.topology import COMMANDS_QUEUE, PARTITIONS, TOPOLOGY, partition_queue
from worker.adapters.amqp.commands import PREFETCH, CommandHandler
from worker.adapters.amqp.dead import DeadLetters
from worker.adapters.amqp.partitions import BATCH, PartitionHandler
from worker.adapters.amqp.ranks import rank
from worker.adapters.amqp.sender import Sender
from worker.adapters.livekit.server_api import LiveKitServer
from worker.adapters.livekit.tokens import AccessTokens
from worker.adapters.livekit.webhooks import Ignored, read_webhook
from worker.adapters.sql import open_store
from worker.application.commands.context import Context
from worker.application.commands.executor import Commands
from worker.application.config import Config
from worker.application.errands import Errands
from worker.application.failures import Outage
from worker.application.looks import Looks, Pace
from worker.application.moments import Moments
from worker.application.outbox import Outbox
from worker.application.ports import LiveKit, Store
from worker.application.reconcile import Reconciler
from worker.application.rendering import Renderer
from worker.application.retention import Retention
from worker.application.room_events import RoomEvents
from worker.domain.facts import RoomFact
from worker.domain.policy import Policy
from worker.metrics import SWEPT

log = structlog.get_logger(__name__)

_DRAIN = timedelta(seconds=6)
_MOMENTS_EVERY = timedelta(milliseconds=200)
_ERRANDS_EVERY = timedelta(seconds=1)
_SWEEP_EVERY = timedelta(seconds=2)
_CLAIM_EVERY = timedelta(seconds=1)
"""How often a worker asks whether the next comparison with LiveKit is due, and its own to make."""
_PURGE_EVERY = timedelta(minutes=1)
_LEFT_BEHIND = timedelta(seconds=10)
_NOT_DECLARED = "what June needs in RabbitMQ is not declared yet"


def as_fact(payload: Mapping[str, Any], received_at: datetime) -> RoomFact | None:
    """A webhook as a fact; `None` for what June has no use for. Raises `ValueError` for one that cannot be read."""
    read = read_webhook(payload, received_at=received_at)
    return None if isinstance(read, Ignored) else read


class SystemClock:
    """The machine's clock, to the millisecond, as the contract tells times."""

    def now(self) -> datetime:
        """UTC now."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a worker is made of, once its servers are there."""

    broker: Broker
    publisher: Publisher
    store: Store
    livekit: LiveKit
    errands: Errands
    moments: Moments
    outbox: Outbox
    reconciler: Reconciler
    retention: Retention
    consumers: list[Consumer]


async def serve(settings: WorkerSettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set, then drain."""
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    broker = Broker(settings.amqp_url.get_secret_value(), name=f"june worker {worker_id}")
    store = open_store(settings.database_url.get_secret_value())
    keys = settings.keys
    livekit = LiveKitServer(
        url=settings.livekit_ws_url.get_secret_value(), key=keys.signing_key, secret=keys.signing_secret
    )
    declared = asyncio.Event()

    async def broker_trouble() -> str | None:
        return await broker.trouble() or (None if declared.is_set() else _NOT_DECLARED)

    readiness = Readiness(
        checks={"broker": broker_trouble, "store": lambda: _reason(store.check)},
        info={"livekit": lambda: _reason(livekit.check)},
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve_admin(settings.admin_host, settings.admin_port, readiness))
        stack.push_async_callback(store.close)
        stack.push_async_callback(livekit.close)
        stack.push_async_callback(broker.close)
        if not await _unless_stopped(_wait_for_servers(broker, store), stop):
            return
        parts = compose(settings, worker_id=worker_id, broker=broker, store=store, livekit=livekit)
        async with _running(parts):
            declared.set()
            log.info("worker.ready", worker=worker_id)
            await stop.wait()
            log.info("worker.draining", worker=worker_id)


def compose(
    settings: WorkerSettings, *, worker_id: str, broker: Broker, store: Store, livekit: LiveKit
) -> Parts:
    """Put a worker together. Nothing is started."""
    clock = SystemClock()
    config = _config(settings)
    keys = settings.keys
    tokens = AccessTokens(key=keys.signing_key, secret=keys.signing_secret, bot_ttl=settings.bot_token_ttl)
    publisher = Publisher(broker)
    sender = Sender(publisher, clock)
    outbox = Outbox(store=store, publisher=sender, clock=clock)
    looks = Looks(store=store, livekit=livekit, publisher=sender, clock=clock, pace=Pace())
    reconciler = Reconciler(
        store=store,
        livekit=livekit,
        looks=looks,
        clock=clock,
        interval=settings.reconcile_interval,
        holder=worker_id,
        adopt_rooms=settings.adopt_rooms,
    )
    errands = Errands(store=store, livekit=livekit, clock=clock, look=looks.at)
    renderer = Renderer(config=config, tokens=tokens)
    room_events = RoomEvents(
        store=store,
        outbox=outbox,
        errands=errands,
        renderer=renderer,
        config=config,
        clock=clock,
        read_webhook=as_fact,
    )
    commands = Commands(
        Context(
            store=store,
            livekit=livekit,
            tokens=tokens,
            outbox=outbox,
            errands=errands,
            renderer=renderer,
            config=config,
            clock=clock,
        )
    )
    dead_letters = DeadLetters(publisher, clock)
    command_handler = CommandHandler(commands=commands, publisher=publisher, dead_letters=dead_letters)
    asked = Consumer(broker, COMMANDS_QUEUE, command_handler, prefetch=PREFETCH, concurrent=True)
    return Parts(
        broker=broker,
        publisher=publisher,
        store=store,
        livekit=livekit,
        errands=errands,
        moments=Moments(store=store, publisher=sender, clock=clock),
        outbox=outbox,
        reconciler=reconciler,
        retention=Retention(store=store, clock=clock, holder=worker_id, kept=settings.retention),
        consumers=[*_partitions(broker, worker_id, room_events, dead_letters), asked],
    )


def _partitions(
    broker: Broker, worker_id: str, room_events: RoomEvents, dead_letters: DeadLetters
) -> list[Consumer]:
    """A consumer of each, with this worker's rank for it as its priority."""
    return [
        Consumer(
            broker,
            partition_queue(number),
            PartitionHandler(partition=number, room_events=room_events, dead_letters=dead_letters),
            prefetch=BATCH,
            priority=rank(worker_id, number),
            name=worker_id,
        )
        for number in range(PARTITIONS)
    ]


def _config(settings: WorkerSettings) -> Config:
    return Config(
        public_url=settings.client_url,
        bot_token_ttl=settings.bot_token_ttl,
        policy=Policy(
            adopt_rooms=settings.adopt_rooms,
            stt_enabled=settings.stt_enabled,
            stt_language=settings.stt_language,
            ai_enabled=settings.ai_enabled,
            lease=settings.job_lease,
            room_grace=settings.room_grace,
        ),
    )


async def _wait_for_servers(broker: Broker, store: Store) -> None:
    await store.start()
    await broker.start()
    await establish(broker, TOPOLOGY)


async def _unless_stopped(work: Awaitable[None], stop: asyncio.Event) -> bool:
    """Whether the work was done before `stop` was set."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
        return False
    await working
    return True


@asynccontextmanager
async def _running(parts: Parts) -> AsyncIterator[None]:
    """Consumers and side tasks run while the body does; consumers are drained first."""
    async with SideTasks() as side:
        side.start("errands", parts.errands.run_fresh())
        side.start("errands left", _every(_ERRANDS_EVERY, parts.errands.round))
        side.start("moments", _every(_MOMENTS_EVERY, parts.moments.round))
        side.start("outbox left", _every(_SWEEP_EVERY, lambda: _sweep(parts.outbox)))
        side.start("reconcile", _every(_CLAIM_EVERY, parts.reconciler.round))
        side.start("retention", _every(_PURGE_EVERY, parts.retention.round))
        for consumer in parts.consumers:
            consumer.start()
        side.start("watchdog", Watchdog(parts.broker, parts.consumers).run())
        try:
            yield
        finally:
            await asyncio.gather(*(consumer.stop(_DRAIN) for consumer in parts.consumers))


async def _every(pause: timedelta, work: Callable[[], Awaitable[int]]) -> None:
    """Do the work for ever with pauses between; an outage is said once and waited out."""
    away = False
    while True:
        try:
            await work()
            away = False
        except Outage as error:
            if not away:
                log.warning("background.waiting", work=getattr(work, "__qualname__", "?"), error=str(error))
            away = True
        await asyncio.sleep(pause.total_seconds() * (5 if away else 1))


async def _sweep(outbox: Outbox) -> int:
    swept = await outbox.sweep(older_than=_LEFT_BEHIND)
    if swept:
        SWEPT.inc(swept)
        log.warning("outbox.swept", messages=swept)
    return swept


async def _reason(check: Callable[[], Awaitable[None]]) -> str | None:
    try:
        await check()
    except Outage as error:
        return str(error)
    return None
