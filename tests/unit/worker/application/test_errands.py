"""Errands: what LiveKit is asked until it did it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.support.memory_livekit import MemoryLiveKit
from tests.support.world import World
from worker.application.errands import backoff
from worker.application.failures import LiveKitUnavailable

LONGEST = timedelta(seconds=10)
"""When LiveKit is back, everything is tried again within so long."""


async def deleted(world: World, *sessions: str) -> None:
    """Sessions whose rooms LiveKit has not closed yet."""
    for name in sessions:
        await world.ask("session.create", user_id="ann", session_id=name, empty_timeout_s=86_400)
    world.livekit.down = True
    for name in sessions:
        await world.ask("session.delete", session_id=name)
    world.livekit.down = False


async def test_a_wish_is_kept_until_livekit_is_back(world: World) -> None:
    """However long that takes; then the room is closed within seconds."""
    await deleted(world, "s1")
    world.livekit.down = True
    await world.pass_time(timedelta(hours=1), step=timedelta(seconds=30))
    assert world.livekit.there("s1") is not None
    world.livekit.down = False
    await world.pass_time(LONGEST)
    assert world.livekit.there("s1") is None


async def test_errands_do_not_wait_for_one_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A LiveKit that hangs holds each up, and not all of them one after the other."""
    names = [f"s{number}" for number in range(8)]
    await deleted(world, *names)
    together = asyncio.Barrier(len(names))
    close = MemoryLiveKit.delete_room

    async def delete_room(livekit: MemoryLiveKit, name: str) -> None:
        async with asyncio.timeout(5):
            await together.wait()
        await close(livekit, name)

    monkeypatch.setattr(MemoryLiveKit, "delete_room", delete_room)
    world.clock.advance(LONGEST)
    assert await world.cases.errands.round() == len(names)
    assert not [name for name in names if world.livekit.there(name) is not None]


async def test_one_errand_that_fails_keeps_no_other_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again later."""
    await deleted(world, "s1", "s2", "s3")
    close = MemoryLiveKit.delete_room

    async def delete_room(livekit: MemoryLiveKit, name: str) -> None:
        if name == "s1":
            raise LiveKitUnavailable("that node is dead")
        await close(livekit, name)

    monkeypatch.setattr(MemoryLiveKit, "delete_room", delete_room)
    await world.pass_time(LONGEST)
    assert [name for name in ("s1", "s2", "s3") if world.livekit.there(name) is not None] == ["s1"]
    monkeypatch.undo()
    await world.pass_time(LONGEST)
    assert world.livekit.there("s1") is None


def test_waits_grow_to_a_bound() -> None:
    """A LiveKit that is away for a day is asked every ten seconds."""
    assert [backoff(number).total_seconds() for number in (0, 1, 2, 3, 4, 100)] == [1, 2, 4, 8, 10, 10]
