"""Errands: what LiveKit is asked until it did it."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from tests.support.bench_worker import START
from tests.support.memory_livekit import MemoryLiveKit
from tests.support.world import World
from tests.unit.worker.domain.facts import reservation
from worker.application.errands import backoff
from worker.application.failures import LiveKitUnavailable
from worker.application.ports import ErrandKind, RoomErrand, Transaction
from worker.domain.model import Removal, SessionId, State

CLOSE_TEA = RoomErrand(kind=ErrandKind.CLOSE_ROOM, room_name="tea", due_at=START)
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


async def test_a_room_in_which_a_session_lives_is_not_closed(world: World) -> None:
    """What was to be closed is another one's by then; the errand is done."""
    await world.ask("session.create", user_id="ann", session_id="s1", room_name="tea", empty_timeout_s=86_400)
    await world.store.run(lambda tx: tx.put_errand(CLOSE_TEA))
    await world.pass_time(LONGEST)
    assert world.livekit.there("tea") is not None
    assert await world.store.run(lambda tx: tx.errands_of_room("tea")) == []


async def test_a_room_whose_name_is_being_asked_for_is_closed_later(world: World) -> None:
    """Whether the session comes to be is not known yet. When nothing comes of it, the room is closed."""
    world.livekit.join("tea", "ann")
    asked_for = dataclasses.replace(reservation(), reserved_at=world.clock.now())
    await world.store.run(lambda tx: tx.save(State(), State(session=asked_for)))
    await world.store.run(lambda tx: tx.put_errand(CLOSE_TEA))
    await world.pass_time(timedelta(seconds=9))
    assert world.livekit.there("tea") is not None
    await world.pass_time(LONGEST + timedelta(seconds=1))
    assert world.livekit.there("tea") is None


async def test_who_was_let_in_again_is_not_taken_out(world: World) -> None:
    """A removal is carried out as long as it stands, and not after a new token."""
    await world.ask("session.create", user_id="ann", session_id="s1")
    for who in ("ann", "ben"):
        world.livekit.join("s1", who)
    errands = [
        RoomErrand(
            kind=ErrandKind.REMOVE_PARTICIPANT, room_name="s1", identity=who, session_id="s1", due_at=START
        )
        for who in ("ann", "ben")
    ]
    stands = Removal(session_id=SessionId("s1"), identity="ben", until=START + timedelta(hours=1))

    def work(tx: Transaction) -> None:
        session = tx.session("s1")
        tx.save(State(session=session), State(session=session, removals={"ben": stands}))
        for errand in errands:
            tx.put_errand(errand)

    await world.store.run(work)
    await world.pass_time(timedelta(seconds=1))
    there = world.livekit.there("s1")
    assert there is not None
    assert set(there.participants) == {"ann"}


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
