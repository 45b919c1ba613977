"""Moments on their way from the store to their room's partition."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from benchmarks.calls import BEGINNING, webhook
from schemas.topology import ROOMS, partition_of
from tests.support.bench_worker import BenchWorker
from worker.application.failures import BrokerUnavailable
from worker.application.ports import OutboxMessage

ROOM = "coffee"
LEASE = timedelta(seconds=30)
A_CLAIM = timedelta(seconds=16)


@pytest.fixture
async def voice(worker: BenchWorker) -> BenchWorker:
    """A voice whose job is on offer."""
    await worker.handle(ROOM, *(json.loads(webhook(ROOM, event)) for event in BEGINNING))
    return worker


def moments(worker: BenchWorker) -> list[OutboxMessage]:
    return [message for message in worker.publisher.messages if message.exchange == ROOMS]


async def test_a_moment_is_sent_once_when_it_is_due(voice: BenchWorker) -> None:
    """Not before, into its room's partition, and not again, however long it lies there."""
    voice.clock.advance(LEASE - timedelta(milliseconds=1))
    assert await voice.moments.round() == 0
    voice.clock.advance(timedelta(milliseconds=1))
    assert await voice.moments.round() == 1
    (moment,) = moments(voice)
    assert moment.routing_key.startswith(f"p{partition_of(ROOM):02d}.")
    for _ in range(3):
        voice.clock.advance(A_CLAIM)
        assert await voice.moments.round() == 0


async def test_each_moment_counts(voice: BenchWorker) -> None:
    """Those of one job are no copies of one another: a job that nobody takes is offered again and again."""
    await voice.pass_time(4 * LEASE)
    assert [job["attempt"] for job in voice.of("stt.start")] == [1, 2, 3, 4]


async def test_a_moment_that_was_not_sent_comes_later(voice: BenchWorker) -> None:
    """The broker was away, or the worker died: another round sends it when the claim is over."""
    voice.clock.advance(LEASE)
    voice.publisher.down = True
    with pytest.raises(BrokerUnavailable):
        await voice.moments.round()
    voice.publisher.down = False
    assert await voice.moments.round() == 0
    voice.clock.advance(A_CLAIM)
    assert await voice.moments.round() == 1


async def test_a_lease_renewed_meanwhile_is_not_lost(voice: BenchWorker) -> None:
    """A moment under way that finds the job held asks for the next one, and that one comes."""
    (job,) = voice.of("stt.start")
    voice.clock.advance(LEASE)
    await voice.moments.round()
    await voice.report("stt.status", ROOM, job_id=job["job_id"], attempt=1, state="running")
    (moment,) = moments(voice)
    await voice.room_events.handle(partition_of(ROOM), [moment.body])
    voice.publisher.messages.remove(moment)
    await voice.pass_time(LEASE - timedelta(seconds=1))
    assert len(voice.of("stt.start")) == 1
    await voice.pass_time(timedelta(seconds=1))
    assert [each["attempt"] for each in voice.of("stt.start")] == [1, 2]
