"""What the sample services have in common: taking jobs, hearing stops, holding a lease, reporting.

Knows June by its contract alone, and RabbitMQ by aio-pika. Promises: a job is taken once however often it comes; a stop
works also when it comes before its job; whoever holds a job says so at once and then every third of its lease; a job
that fails, and each job in hand when the service shuts down, is given back by `failed`, so that another takes it.
June must have declared its queues: start one of its parts first.
"""

import asyncio
import contextlib
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel

from examples.leaving import leave

Data = dict[str, Any]
"""The `data` of a message."""

REMEMBERED = 10_000
"""So many stops and finished jobs are remembered; the oldest go first."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is different between the services: names in the contract."""

    name: str
    jobs_queue: str
    stop_type: str
    status_type: str
    key: str
    """The field that names the work in jobs and in stops."""
    reports_cancelled: bool = False
    """Whether the contract has a state for work that was stopped."""


class Service:
    """One instance. `name` is the `source` of all that it reports."""

    def __init__(self, kind: Kind, channel: AbstractRobustChannel) -> None:
        self.name = f"{kind.name}-{uuid.uuid4().hex[:6]}"
        self._kind = kind
        self._channel = channel
        self._in_hand: dict[str, tuple[Data, asyncio.Task[None]]] = {}
        self._stopped: dict[str, float] = {}
        self._taken: dict[str, None] = {}

    async def start(self, work: Callable[["Service", Data], Awaitable[None]]) -> None:
        """Take jobs from now on. `work` gets a job's data; it is cancelled when June says stop."""
        # Stops first: one that comes between the two would be missed.
        stops = await self._channel.declare_queue(f"{self.name}.stops", exclusive=True)
        await stops.bind("june.pipeline", self._kind.stop_type)
        await stops.consume(self._on_stop, no_ack=True)
        jobs = await self._channel.get_queue(self._kind.jobs_queue)

        async def on_job(message: AbstractIncomingMessage) -> None:
            self._begin(json.loads(message.body), work)
            # From here on the job's lease guards it: when this instance dies, June gives it to another one.
            await message.ack()

        await jobs.consume(on_job)

    async def report(self, job: Data, type_: str, **data: Any) -> None:
        """Tell June, where the job says. Returns when RabbitMQ has it."""
        body = envelope(self.name, type_, data)
        to = job["report_to"]
        exchange = await self._channel.get_exchange(to["exchange"], ensure=False)
        await exchange.publish(
            aio_pika.Message(body, content_type="application/cloudevents+json"), to["routing_key"]
        )

    async def status(self, job: Data, state: str, error: str | None = None) -> None:
        """Report how a job goes."""
        about = {name: job[name] for name in (self._kind.key, "part", "attempt") if name in job}
        await self.report(job, self._kind.status_type, **about, state=state, error=error)

    async def drain(self) -> None:
        """Stop all work, and give each job back."""
        jobs = [job for job, task in self._in_hand.values() if task.cancel()]
        await asyncio.gather(*(task for _, task in self._in_hand.values()), return_exceptions=True)
        for job in jobs:
            await self.status(job, "failed", "draining")

    def _begin(self, message: Data, work: Callable[["Service", Data], Awaitable[None]]) -> None:
        job: Data = message["data"]
        key = str(job[self._kind.key])
        stopped = job["attempt"] <= self._stopped.get(key, 0)
        expired = datetime.fromisoformat(job["expires_at"]) <= datetime.now(UTC)
        if message["id"] in self._taken or stopped or expired:
            return
        _remember(self._taken, message["id"], None)
        if key in self._in_hand:
            self._in_hand[key][1].cancel()  # this attempt takes the place of the one before
        self._in_hand[key] = (job, asyncio.create_task(self._do(job, work), name=f"{self.name} {key}"))

    async def _do(self, job: Data, work: Callable[["Service", Data], Awaitable[None]]) -> None:
        key = str(job[self._kind.key])
        try:
            async with self._lease_held(job):
                await work(self, job)
        except Exception as error:  # noqa: BLE001 - whatever it was: another attempt may do better
            await self.status(job, "failed", _reason(error))
        finally:
            if self._in_hand.get(key, (None, None))[1] is asyncio.current_task():
                del self._in_hand[key]

    @contextlib.asynccontextmanager
    async def _lease_held(self, job: Data) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(job["lease_s"] / 3)
                await self.status(job, "running")

        await self.status(job, "running")
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(beat(), name="heartbeat")
            yield
            beating.cancel()

    async def _on_stop(self, message: AbstractIncomingMessage) -> None:
        stop: Data = json.loads(message.body)["data"]
        if stop["instance"] not in {None, self.name}:
            return
        key, attempt = str(stop[self._kind.key]), stop["attempt"]
        last = float("inf") if attempt is None else float(attempt)
        _remember(self._stopped, key, max(last, self._stopped.get(key, 0)))
        job, task = self._in_hand.get(key, (None, None))
        if job and task and job["attempt"] <= last and task.cancel():
            await asyncio.wait({task})
            if self._kind.reports_cancelled:
                await self.status(job, "cancelled")


def envelope(source: str, type_: str, data: Data, *, id_: str | None = None) -> bytes:
    """A message to June: what the contract asks of a sender, and the time."""
    fields = {
        "specversion": "1.0",
        "id": id_ or str(uuid.uuid4()),
        "source": source,
        "type": type_,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": data,
    }
    return json.dumps(fields).encode()


def run(kind: Kind, work: Callable[[Service, Data], Awaitable[None]]) -> None:
    """Be an instance of the service, until SIGTERM or Ctrl-C. RabbitMQ is where JUNE_AMQP_URL says."""
    asyncio.run(_serve(kind, work))
    leave()


async def _serve(kind: Kind, work: Callable[[Service, Data], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connection = await aio_pika.connect_robust(
        os.environ.get("JUNE_AMQP_URL", "amqp://guest:guest@127.0.0.1/")
    )
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        await channel.set_qos(prefetch_count=16)
        service = Service(kind, channel)
        await service.start(work)
        print(f"{service.name} takes {kind.jobs_queue}", flush=True)
        await stop.wait()
        await service.drain()


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _remember(memory: dict[str, Any], key: str, value: Any) -> None:
    memory[key] = value
    while len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
