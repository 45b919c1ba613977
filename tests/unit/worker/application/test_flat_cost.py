"""What an event and a command cost, counted in steps of SQLite's own machine: so exact that nothing is measured twice.

A step is an instruction of a statement's program; finding one row among many by an index takes as many as among few.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.world import World, a_world
from worker.adapters.sql.sqlite_driver import SqliteDriver
from worker.domain.policy import Policy

MANY = 12
"""Sessions beside the one that is looked at, and people in its room."""
ROOM = "tea"

Cost = dict[str, int]


class Steps:
    """How many steps SQLite has done, over all connections that were opened since."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._done = 0
        connect = SqliteDriver.connect

        def counted(driver: SqliteDriver) -> sqlite3.Connection:
            connection = connect(driver)
            connection.set_progress_handler(self._one_more, 1)
            return connection

        monkeypatch.setattr(SqliteDriver, "connect", counted)
        # It comes a little later, whenever that is, and for all that were published by then.
        monkeypatch.setattr("worker.adapters.sql.store.FORGET_AFTER", timedelta(hours=1))

    def _one_more(self) -> int:
        self._done += 1
        return 0

    async def of(self, work: Callable[[], Awaitable[object]]) -> int:
        """How many this takes."""
        before = self._done
        await work()
        return self._done - before


@pytest.fixture
def checked_cache() -> None:
    """Not here: each check would cost steps, too."""


@pytest.mark.parametrize("rows", [0, 1_000], ids=["asked for", "cached"])
async def test_an_event_costs_the_same_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Neither the number of sessions nor the size of the room makes an event, a report or a command dearer, be the room
    in the cache or not."""
    monkeypatch.setattr("worker.adapters.sql.cache.ROWS", rows)
    steps = Steps(monkeypatch)
    alone, crowded = tmp_path / "alone", tmp_path / "crowded"
    costs: list[Cost] = []
    for folder, others in ((alone, 1), (crowded, MANY)):
        folder.mkdir()
        async with a_world(folder, policy=Policy(lease=timedelta(days=1))) as world:
            await _filled(world, others)
            costs.append(await _costs(world, steps))
    few, many = costs
    assert many == few


async def _filled(world: World, others: int) -> None:
    """So many sessions with somebody who speaks, and so many who speak in the room; as many of both are over."""
    for number in range(others):
        for room in (f"other-{number}", f"over-{number}"):
            world.livekit.join(room, "ann")
            world.livekit.publish(room, "ann")
        world.livekit.finish(f"over-{number}")
        for identity in (f"one-{number}", f"gone-{number}"):
            world.livekit.join(ROOM, identity)
            world.livekit.publish(ROOM, identity)
        world.livekit.leave(ROOM, f"gone-{number}")
    await world.deliver()
    await world.settle()


async def _costs(world: World, steps: Steps) -> Cost:
    """What each step of one more person's visit takes, and commands about one more session."""
    costs: Cost = {}
    world.livekit.join(ROOM, "bob")
    costs["joined"] = await steps.of(world.deliver)
    track = world.livekit.publish(ROOM, "bob")
    costs["published"] = await steps.of(world.deliver)
    job = world.of("stt.start")[-1]
    running = {"job_id": job["job_id"], "attempt": 1, "state": "running"}
    costs["running"] = await steps.of(lambda: world.report("stt.status", ROOM, **running))
    costs["beat"] = await steps.of(lambda: world.report("stt.status", ROOM, **running))
    said = {"job_id": job["job_id"], "utterance_id": "u1", "text": "hello", "is_final": True}
    costs["transcript"] = await steps.of(lambda: world.report("stt.transcript", ROOM, **said))
    world.livekit.unpublish(ROOM, track)
    costs["unpublished"] = await steps.of(world.deliver)
    world.livekit.leave(ROOM, "bob")
    costs["left"] = await steps.of(world.deliver)
    costs["create"] = await steps.of(lambda: world.ask("session.create", user_id="eve", session_id="s"))
    costs["get"] = await steps.of(lambda: world.ask("session.get", session_id="s"))
    costs["list"] = await steps.of(lambda: world.ask("session.list", user_id="eve"))
    costs["delete"] = await steps.of(lambda: world.ask("session.delete", session_id="s"))
    costs["moments"] = await steps.of(world.cases.moments.round)
    costs["errands"] = await steps.of(world.cases.errands.round)
    return costs
