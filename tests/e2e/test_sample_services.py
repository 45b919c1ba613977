"""What the sample services have in common, on a real RabbitMQ: jobs taken once, stops in any order, jobs given back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from examples.service import Data, Service, envelope
from examples.stt_service import KIND
from tests.support.polling import until

SOON_S = 10


@dataclass(frozen=True, kw_only=True)
class Desk:
    """June's side of one instance that works on each job until it is told to stop."""

    service: Service
    channel: AbstractChannel
    reports: asyncio.Queue[AbstractIncomingMessage]

    async def job(
        self, job_id: str, *, id_: str | None = None, attempt: int = 1, lives_s: int = 30, lease_s: int = 30
    ) -> None:
        data = {
            "job_id": job_id,
            "attempt": attempt,
            "lease_s": lease_s,
            "expires_at": (datetime.now(UTC) + timedelta(seconds=lives_s)).isoformat(),
            "report_to": {"exchange": "june.rooms.v1", "routing_key": "p00.report"},
        }
        await self._publish("june.stt.start.v1", data, id_)

    async def stop(self, job_id: str, *, attempt: int | None = None, instance: str | None = None) -> None:
        await self._publish("june.stt.stop.v1", {"job_id": job_id, "attempt": attempt, "instance": instance})

    async def report(self) -> Data:
        """The next report."""
        async with asyncio.timeout(SOON_S):
            message = await self.reports.get()
        body: Data = json.loads(message.body)
        assert body["source"] == self.service.name
        data: Data = body["data"]
        return data

    async def _publish(self, type_: str, data: Data, id_: str | None = None) -> None:
        exchange = await self.channel.get_exchange("june.pipeline")
        await exchange.publish(aio_pika.Message(envelope("june", type_, data, id_=id_)), type_)


async def _for_ever(_service: Service, job: Data) -> None:
    if job["job_id"] == "impossible":
        raise ConnectionError("no way to impossible")
    await asyncio.Event().wait()


@pytest.fixture
async def desk(amqp_url: str) -> AsyncIterator[Desk]:
    """The little of June's topology that an STT service needs, and one instance of it."""
    async with await aio_pika.connect_robust(amqp_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        pipeline = await channel.declare_exchange("june.pipeline", "topic", durable=True)
        jobs = await channel.declare_queue(
            KIND.jobs_queue, durable=True, arguments={"x-queue-type": "quorum"}
        )
        await jobs.bind(pipeline, "june.stt.start.v1")
        rooms = await channel.declare_exchange("june.rooms.v1", "topic", durable=True)
        reports = await channel.declare_queue("reports", exclusive=True)
        await reports.bind(rooms, "#")
        inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await reports.consume(inbox.put, no_ack=True)
        service = Service(KIND, channel)
        await service.start(_for_ever)
        yield Desk(service=service, channel=channel, reports=inbox)
        await service.drain()


async def test_a_job_is_held_by_reports_of_running(desk: Desk) -> None:
    """The first comes at once, the next ones every third of the lease."""
    await desk.job("a", lease_s=1)
    first = await desk.report()
    assert first == {"job_id": "a", "attempt": 1, "state": "running", "error": None}
    assert await desk.report() == first


async def test_a_job_that_is_not_to_be_begun_is_not_taken(desk: Desk) -> None:
    """Neither a copy, nor one that has expired, nor one whose stop came first: nothing is reported of them."""
    await desk.job("a", id_="1")
    assert (await desk.report())["job_id"] == "a"
    await desk.stop("stopped before", attempt=1)
    await until(lambda: "stopped before" in desk.service._stopped)
    await desk.job("a", id_="1")
    await desk.job("stopped before")
    await desk.job("late", lives_s=-1)
    await desk.job("stopped before", attempt=2)
    assert await desk.report() == {
        "job_id": "stopped before",
        "attempt": 2,
        "state": "running",
        "error": None,
    }


async def test_who_shuts_down_gives_its_jobs_back(desk: Desk) -> None:
    """Each job in hand is reported as failed, because of draining; one that was stopped is not. A stop for another
    instance, or for attempts before this one, stops nothing."""
    for job_id in ("stopped", "kept"):
        await desk.job(job_id, attempt=3)
        assert (await desk.report())["state"] == "running"
    await desk.stop("kept", instance="another")
    await desk.stop("kept", attempt=2)
    await desk.stop("stopped", attempt=3, instance=desk.service.name)
    await until(lambda: "stopped" not in desk.service._in_hand)
    await desk.service.drain()
    assert await desk.report() == {"job_id": "kept", "attempt": 3, "state": "failed", "error": "draining"}
    assert desk.reports.empty()


async def test_work_that_fails_is_given_back_with_its_reason(desk: Desk) -> None:
    """What was raised is the reason."""
    await desk.job("impossible")
    await desk.report()
    failed = await desk.report()
    assert (failed["state"], failed["error"]) == ("failed", "ConnectionError: no way to impossible")
