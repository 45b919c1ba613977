"""A pass of the reconciler over 10,000 live sessions that agree with LiveKit: its time, and the memory it takes.

`python -m benchmarks.reconcile`. One process fills a database, another opens it and makes passes against a LiveKit in
memory that has just those rooms; a third does the same with ten sessions. Then the whole worker, `python -m worker`,
runs on either database, beside a LiveKit over HTTP that agrees with it, for ten passes.
Memory is resident, in millions of bytes. Target: the worker takes at most 50 MB more for 10,000 sessions than for ten.
Where the time of a pass goes is one query and the tenth that is looked at.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.calls import API_KEY, API_SECRET
from benchmarks.children import BenchFailed, Child
from benchmarks.plan import FEW_SESSIONS, MANY_SESSIONS
from benchmarks.subjects.sessions_cost import side
from deploy.servers import RabbitMQ, free_port, rabbitmq
from tests.support.bench_worker import KeptPublisher, SetClock
from worker.adapters.sql import SqlStore, open_store
from worker.application.looks import Looks, Pace
from worker.application.ports import LiveParticipant, LiveRoom, LiveTrack
from worker.application.reconcile import Reconciler

PASSES = 10
_WORKERS_INTERVAL_S = 5
MORE_MB = 50
_PAGE_BYTES = 4096
_LIVE = """
    SELECT (SELECT count(*) FROM sessions WHERE state <> 'ended'), (SELECT count(*) FROM participants WHERE NOT gone),
    (SELECT count(*) FROM jobs WHERE state <> 'ended')
"""


class AgreeingLiveKit:
    """LiveKit's answers as the store would give them."""

    def __init__(self, rooms: dict[str, LiveRoom], people: dict[str, LiveParticipant]) -> None:
        self._rooms, self._people, self.calls = rooms, people, 0

    async def rooms(self) -> Sequence[LiveRoom]:
        self.calls += 1
        return list(self._rooms.values())

    async def participants(self, room_name: str) -> Sequence[LiveParticipant]:
        self.calls += 1
        return [self._people[room_name]]


async def mirrored(store: SqlStore) -> AgreeingLiveKit:
    """A LiveKit that has what the store has."""
    rooms, people = {}, {}
    for counts in await store.live_counts():
        (person,) = await store.run(lambda tx, sid=counts.room_sid: tx.live_participants(sid))  # type: ignore[misc]
        tracks = await store.run(lambda tx, sid=counts.room_sid: tx.live_tracks(sid))  # type: ignore[misc]
        rooms[counts.room_name] = LiveRoom(
            name=counts.room_name, sid=counts.room_sid, num_participants=1, num_publishers=1,
            created_at=None, empty_timeout_s=300, departure_timeout_s=20, max_participants=0, metadata="",
        )  # fmt: skip
        people[counts.room_name] = LiveParticipant(
            sid=person.sid, identity=person.identity, name="", kind="standard", state="active",
            joined_at=None, metadata="",
            tracks=tuple(
                LiveTrack(sid=each.sid, type="audio", source="microphone", name="", muted=False, mime_type="")
                for each in tracks
            ),
        )  # fmt: skip
    return AgreeingLiveKit(rooms, people)


async def measure(folder: Path) -> dict[str, Any]:
    """Open, mirror, make passes. The mirror's own memory is not June's: `idle_mb` is taken after it."""
    store = open_store(f"sqlite:///{folder / 'june.db'}")
    await store.start()
    livekit: Any = await mirrored(store)
    idle_mb, clock = resident_mb(), SetClock()
    clock.advance(timedelta(days=1))
    looks = Looks(
        store=store,
        livekit=livekit,
        publisher=KeptPublisher(),
        clock=clock,
        pace=Pace(1_000_000),
        sleep=clock.sleep,
    )
    reconciler = Reconciler(
        store=store, livekit=livekit, looks=looks, clock=clock,
        interval=timedelta(seconds=30), holder="benchmark", adopt_rooms=True,
    )  # fmt: skip
    walls, cpus, looked = [], [], []
    for _ in range(PASSES):
        clock.advance(timedelta(seconds=30))
        wall, cpu = time.perf_counter(), time.process_time()
        looked.append(await reconciler.run_pass())
        walls.append(round(time.perf_counter() - wall, 3))
        cpus.append(round(time.process_time() - cpu, 3))
    await store.close()
    more = round(resident_mb() - idle_mb, 1)
    return {"pass_s": walls, "cpu_s": cpus, "looked_at": looked, "calls": livekit.calls, "more_mb": more}


def resident_mb() -> float:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE_BYTES / 1e6


async def fill(folder: Path, live: int) -> None:
    async with side(folder, live):
        pass


def worker_mb(folder: Path, broker: RabbitMQ) -> float:
    """The most that the whole worker had in memory over its passes. Raises `BenchFailed`."""
    database, port, url = folder / "june.db", free_port(), broker.new_vhost()
    with sqlite3.connect(database) as connection:
        connection.execute(
            "DELETE FROM timers"
        )  # the time of those who filled it is over: no lease runs out here
        before = connection.execute(_LIVE).fetchone()
    livekit = Child("livekit", "benchmarks.subjects.listing_livekit", port, database, folder=folder)
    livekit.wait_for("Running on")
    env = {
        "LIVEKIT_API_KEY": API_KEY,
        "LIVEKIT_API_SECRET": API_SECRET,
        "LIVEKIT_WS_URL": f"ws://127.0.0.1:{port}",
        "JUNE_RECONCILE_INTERVAL_S": str(_WORKERS_INTERVAL_S),
        "JUNE_AMQP_URL": url,
        "JUNE_DATABASE_URL": f"sqlite:///{database}",
        "JUNE_ADMIN_PORT": "0",
    }
    worker = Child("worker", "worker", folder=folder, env=env)
    most = 0.0

    def enough() -> bool:
        nonlocal most
        most = max(most, worker.resident_mb())
        return livekit.log.read_text().count("pass,") > PASSES

    try:
        worker.wait_until(
            enough, f"{PASSES} passes", within_s=PASSES * _WORKERS_INTERVAL_S * 4, look_every_s=0.02
        )
    finally:
        worker.stop()
        livekit.stop()
        broker.delete_vhost(url)
    with sqlite3.connect(database) as connection:
        if (after := connection.execute(_LIVE).fetchone()) != before:
            raise BenchFailed(f"(sessions, people, jobs) that live were {before} and are {after}")
    return round(most, 1)


def main(arguments: Sequence[str]) -> None:
    match list(arguments):
        case ["fill", folder, live]:
            asyncio.run(fill(Path(folder), int(live)))
        case ["measure", folder]:
            print(json.dumps(asyncio.run(measure(Path(folder)))))
        case _:
            with tempfile.TemporaryDirectory() as scratch, rabbitmq() as broker:
                workers = {}
                for number in (FEW_SESSIONS, MANY_SESSIONS):
                    folder = f"{scratch}/{number}"
                    child("fill", folder, str(number))
                    print(f"{number:>6} sessions: {child('measure', folder)}")
                    workers[number] = worker_mb(Path(folder), broker)
                more = workers[MANY_SESSIONS] - workers[FEW_SESSIONS]
                print(f"the worker: {workers} MB, {more:.1f} MB more (target: {MORE_MB} MB more at most)")


def child(*arguments: str) -> str:
    """Run one step in a process of its own; its last line."""
    command = [sys.executable, "-m", "benchmarks.reconcile", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return done.stdout.strip().split("\n")[-1]


if __name__ == "__main__":
    main(sys.argv[1:])
