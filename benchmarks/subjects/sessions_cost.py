"""What an event costs with few and with many live sessions: the worker's use case on SQLite, without a broker.

`python -m benchmarks.subjects.sessions_cost FOLDER ROUNDS CALLS`. Two databases, one with few and one with many live
sessions; each round handles CALLS whole calls on either, in turns. Reports for each `wall_us` and `cpu_us`
an event, by round.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.calls import BEGINNING, STORY, interleaved, webhook
from benchmarks.load.report import report
from benchmarks.plan import FEW_SESSIONS, MANY_SESSIONS, PREFETCH
from schemas.topology import PARTITIONS, partition_of
from tests.support.bench_worker import BenchWorker, bench_worker
from worker.adapters.sql.store import FORGET_AFTER
from worker.application.room_events import Handled

_FILL_AT_ONCE = 256


@dataclass(kw_only=True)
class Side:
    """A worker with so many live sessions, and what an event cost it in each round."""

    worker: BenchWorker
    live: int
    wall_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    async def measure(self, name: str, calls: int) -> None:
        """Whole calls, so that as many sessions live afterwards as before."""
        names = [f"{name}-{number}" for number in range(calls)]
        batches = by_partition(names, STORY)
        wall, cpu = time.perf_counter(), time.process_time()
        await handle(self.worker, batches)
        wall = time.perf_counter() - wall
        await asyncio.sleep(2 * FORGET_AFTER.total_seconds())  # forgetting what was published is a cost, too
        cpu = time.process_time() - cpu
        self.wall_us.append(wall / (calls * len(STORY)) * 1e6)
        self.cpu_us.append(cpu / (calls * len(STORY)) * 1e6)


def by_partition(names: Sequence[str], story: Sequence[str]) -> list[list[bytes]]:
    """The bodies of each partition, each call's own in order."""
    bodies: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for name, event in interleaved(names, story):
        bodies[partition_of(name)].append(webhook(name, event))
    return bodies


async def handle(worker: BenchWorker, partitions: Sequence[Sequence[bytes]]) -> None:
    """All partitions side by side, each in batches of a prefetch, as consumers hand them over."""
    async with asyncio.TaskGroup() as group:
        for number, bodies in enumerate(partitions):
            group.create_task(_partition(worker, number, bodies))


async def _partition(worker: BenchWorker, number: int, bodies: Sequence[bytes]) -> None:
    for start in range(0, len(bodies), PREFETCH):
        for outcome in await worker.room_events.handle(number, bodies[start : start + PREFETCH]):
            if not isinstance(outcome, Handled) or outcome.duplicate:
                raise RuntimeError(f"an event was not handled: {outcome}")


@asynccontextmanager
async def side(folder: Path, live: int) -> AsyncIterator[Side]:
    """A database with `live` sessions, each a person in a room with a voice that is transcribed."""
    await asyncio.to_thread(folder.mkdir)
    async with bench_worker(folder) as worker:
        names = [f"live-{number}" for number in range(live)]
        for start in range(0, live, _FILL_AT_ONCE):
            await handle(worker, by_partition(names[start : start + _FILL_AT_ONCE], BEGINNING))
            worker.publisher.messages.clear()
        yield Side(worker=worker, live=live)


async def run(folder: Path, rounds: int, calls: int) -> None:
    async with side(folder / "few", FEW_SESSIONS) as few, side(folder / "many", MANY_SESSIONS) as many:
        for each in (few, many):
            await each.measure("warm-up", calls)
            each.wall_us.clear()
            each.cpu_us.clear()
        for number in range(rounds):
            for each in (few, many) if number % 2 else (many, few):
                await each.measure(f"round-{number}", calls)
        report(
            {
                name: {"live": each.live, "wall_us": each.wall_us, "cpu_us": each.cpu_us}
                for name, each in (("few", few), ("many", many))
            }
        )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
