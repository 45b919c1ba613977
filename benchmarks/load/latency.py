"""From the POST of a webhook to the job in the hands of a consumer, at a steady rate of events.

`python -m benchmarks.load.latency PORT AMQP_URL NAME SECONDS`. Posts whole calls on schedule, whatever the answers of
other calls do, and takes `june.stt.start.v1` jobs as a service would, with June's own consumer, which is a smaller part
of what is measured than aio-pika's. Reports `jobs_ms` (from just before the POST of `track_published` to the job's
arrival), `late_ms` (the worst delay of this process against its own schedule), `refused` (answers other than 2xx) and
`missing` (jobs that did not come).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import uvloop

from benchmarks.calls import STORY, interleaved, webhook
from benchmarks.load.http import Pool, signed_request
from benchmarks.load.report import moment_s, report
from benchmarks.plan import CONNECTIONS, EVENTS_PER_SECOND
from messaging.connection import Broker
from messaging.consumer import Consumer
from messaging.delivery import Delivery
from schemas.topology import STT_JOBS_QUEUE

_LAST_JOBS_WITHIN = timedelta(seconds=15)
_SUBSCRIBED_WITHIN = timedelta(seconds=10)


class Watch:
    """When what was posted, and when what came of it."""

    def __init__(self) -> None:
        self.posted_s: dict[str, float] = {}
        self.jobs_ms: dict[str, float] = {}
        self.came = asyncio.Event()
        self.late_ms = 0.0
        self.refused = 0

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Jobs are in our hands; then they are acked."""
        now = moment_s()
        for delivery in deliveries:
            room = json.loads(delivery.body)["data"]["room_name"]
            if room in self.posted_s:
                self.jobs_ms.setdefault(room, (now - self.posted_s[room]) * 1000)
                self.came.set()
            delivery.ack()

    def begin_anew(self) -> None:
        """Forget the warm-up."""
        self.posted_s.clear()
        self.jobs_ms.clear()
        self.late_ms = 0.0

    @property
    def missing(self) -> int:
        return len(self.posted_s) - len(self.jobs_ms)


async def post_on_schedule(watch: Watch, http: Pool, name: str, seconds: float) -> None:
    """Open loop: the next post begins when its time has come, whether or not the last is answered."""
    calls = [f"{name}-{number}" for number in range(int(seconds * EVENTS_PER_SECOND) // len(STORY))]
    planned = [(call, event, signed_request(webhook(call, event))) for call, event in interleaved(calls)]
    begun = moment_s()
    last: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as posts:
        for number, (call, event, request) in enumerate(planned):
            due = begun + number / EVENTS_PER_SECOND
            await asyncio.sleep(max(0.0, due - moment_s()))
            watch.late_ms = max(watch.late_ms, (moment_s() - due) * 1000)
            post = _post(watch, http, call, event, request, after=last.get(call))
            last[call] = posts.create_task(post)


async def _post(
    watch: Watch,
    http: Pool,
    call: str,
    event: str,
    request: bytes,
    *,
    after: asyncio.Task[None] | None,
) -> None:
    """As LiveKit does it: nothing of a room is posted before the last post about it was answered."""
    if after is not None:
        await after
    if event == "track_published":
        watch.posted_s[call] = moment_s()
    watch.refused += await http.post(request) != "200"


async def run(port: int, url: str, name: str, seconds: float) -> None:
    watch = Watch()
    http = Pool()
    await http.open(port, CONNECTIONS)
    async with _taking_jobs(url, watch):
        await post_on_schedule(watch, http, f"{name}-warm", 0.2)
        await _wait_for_the_last(watch)
        watch.begin_anew()
        await post_on_schedule(watch, http, name, seconds)
        await _wait_for_the_last(watch)
    http.close()
    report(
        {
            "jobs_ms": list(watch.jobs_ms.values()),
            "late_ms": watch.late_ms,
            "refused": watch.refused,
            "missing": watch.missing,
        }
    )


@contextlib.asynccontextmanager
async def _taking_jobs(url: str, watch: Watch) -> AsyncIterator[None]:
    broker = Broker(url, name="benchmark")
    await broker.start()
    consumer = Consumer(broker, STT_JOBS_QUEUE, watch.take, prefetch=CONNECTIONS)
    consumer.start()
    await consumer.wait_subscribed(patience=_SUBSCRIBED_WITHIN)
    try:
        yield
    finally:
        await consumer.stop(_SUBSCRIBED_WITHIN)
        await broker.close()


async def _wait_for_the_last(watch: Watch) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_JOBS_WITHIN.total_seconds()):
            while watch.missing:
                watch.came.clear()
                await watch.came.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
