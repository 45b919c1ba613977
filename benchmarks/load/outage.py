"""Webhooks at a steady rate, whatever becomes of them: how long each answer takes.

`python -m benchmarks.load.outage PORT SECONDS RATE FIRST`. Says `begun` before the first. Events are numbered from
FIRST on. As LiveKit does, it posts a room's next event only after the last was answered; the rooms are so many that
this seldom delays one. Reports `answers_ms`, `answers` by status, and `late_ms`: the worst delay against the schedule.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import uvloop

from benchmarks.calls import PATH, signed_headers, webhook
from benchmarks.load.report import moment_s, report

ROOMS = 250


@dataclass(frozen=True, kw_only=True)
class Post:
    """One to be made `due_s` after the begin."""

    due_s: float
    body: bytes
    headers: dict[str, str]


@dataclass(kw_only=True)
class Seen:
    """What came of them."""

    answers_ms: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    late_ms: float = 0.0


def planned(numbers: Sequence[int], rate: int) -> list[Post]:
    """Signed, ready to be posted."""
    bodies = [_body(number) for number in numbers]
    return [
        Post(due_s=index / rate, body=body, headers=signed_headers(body)) for index, body in enumerate(bodies)
    ]


def _body(number: int) -> bytes:
    body = json.loads(webhook(f"outage-{number % ROOMS}", "participant_joined"))
    return json.dumps({**body, "id": f"EV_{number:08d}"}, separators=(",", ":")).encode()


async def _room(http: aiohttp.ClientSession, posts: Sequence[Post], begun_s: float, seen: Seen) -> None:
    for post in posts:
        await asyncio.sleep(max(0.0, begun_s + post.due_s - moment_s()))
        posted_s = moment_s()
        seen.late_ms = max(seen.late_ms, (posted_s - begun_s - post.due_s) * 1000)
        async with http.post(PATH, data=post.body, headers=post.headers) as answer:
            seen.answers[answer.status] += 1
        seen.answers_ms.append((moment_s() - posted_s) * 1000)


async def run(port: int, seconds: float, rate: int, first: int) -> None:
    posts = planned(range(first, first + int(seconds * rate)), rate)
    seen = Seen()
    connector = aiohttp.TCPConnector(limit=ROOMS)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector) as http:
        print("begun", flush=True)
        begun_s = moment_s()
        async with asyncio.TaskGroup() as rooms:
            for room in range(ROOMS):
                rooms.create_task(_room(http, posts[room::ROOMS], begun_s, seen))
    report({"answers_ms": seen.answers_ms, "answers": dict(seen.answers), "late_ms": seen.late_ms})


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
