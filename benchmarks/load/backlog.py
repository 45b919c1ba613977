"""Puts whole calls into the partitions, with confirms, as the ingress would publish them.

`python -m benchmarks.load.backlog AMQP_URL NAME EVENTS`: calls are called NAME-0, NAME-1 …; EVENTS is rounded up to
whole calls. Reports `events`.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import uvloop

from benchmarks.calls import STORY, interleaved, webhook
from benchmarks.load.report import report
from messaging.connection import Broker
from messaging.message import Outgoing
from messaging.publisher import Publisher
from webhook_ingress.events import WebhookEvent, read_event
from webhook_ingress.messages import event_message

_AT_ONCE = 500
_TIMEOUT = timedelta(seconds=30)


def messages(name: str, events: int) -> list[Outgoing]:
    calls = [f"{name}-{number}" for number in range(-(-events // len(STORY)))]
    now = datetime.now(UTC)
    return [_message(webhook(call, event), now) for call, event in interleaved(calls)]


def _message(body: bytes, now: datetime) -> Outgoing:
    event = read_event(body)
    if not isinstance(event, WebhookEvent):
        raise TypeError("the benchmark's own webhook cannot be read")
    return event_message(event, body, now)


async def run(url: str, name: str, events: int) -> None:
    broker = Broker(url, name="benchmark backlog")
    await broker.start()
    try:
        publisher = Publisher(broker)
        everything = messages(name, events)
        for chunk in _chunks(everything):
            for outcome in await publisher.publish_many(chunk, timeout=_TIMEOUT):
                if outcome is not None:
                    raise outcome
    finally:
        await broker.close()
    report({"events": len(everything)})


def _chunks(everything: list[Outgoing]) -> list[list[Outgoing]]:
    return [everything[start : start + _AT_ONCE] for start in range(0, len(everything), _AT_ONCE)]


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
