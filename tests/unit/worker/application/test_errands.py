"""Errands: what LiveKit is asked until it did it."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from tests.support.memory_livekit import MemoryLiveKit
from tests.support.samples import START
from tests.support.world import World
from tests.unit.worker.domain.facts import reservation
from worker.application.errands import FIRST_TRY, Errands, backoff
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
    assert inside(world, "s1") == {"ann"}


async def test_nobody_is_taken_out_of_the_next_session(world: World) -> None:
    """The session of a removal is over when it is carried out, and another one has the name of its room."""
    await back_after_removal(world, "s1")
    await world.ask("session.delete", session_id="s1")
    await world.ask("session.create", user_id="ann", session_id="s2", room_name="tea")
    world.livekit.join("tea", "ann")
    await world.pass_time(FIRST_TRY)
    assert inside(world, "tea") == {"ann"}
    assert await world.store.run(lambda tx: tx.errands_of_room("tea")) == []


async def test_an_errand_is_tried_by_one_at_a_time(world: World) -> None:
    """Rounds leave alone what was just made, for as long as whoever made it may be at it; what a crash forgot is done
    after that."""
    await back_after_removal(world, "s1")
    others = errands_of_another(world)
    assert await others.round() == 0
    world.clock.advance(FIRST_TRY - timedelta(milliseconds=1))
    assert await others.round() == 0
    world.clock.advance(timedelta(milliseconds=1))
    assert await others.round() == 1
    assert inside(world, "tea") == set()


async def test_what_waited_for_long_is_left_to_the_rounds(world: World) -> None:
    """An errand that could not be done before a round takes it is not begun."""
    errands = errands_of_another(world)
    for name in ("late", "fresh"):
        world.livekit.join(name, "ann")
    now = world.clock.now()
    errands.soon(
        [
            RoomErrand(kind=ErrandKind.CLOSE_ROOM, room_name="late", due_at=now - FIRST_TRY),
            RoomErrand(kind=ErrandKind.CLOSE_ROOM, room_name="fresh", due_at=now),
        ]
    )
    running = asyncio.create_task(errands.run_fresh())
    async with asyncio.timeout(5):
        while world.livekit.there("fresh") is not None:  # noqa: ASYNC110 - a store's thread has a part in it
            await asyncio.sleep(0.01)
    running.cancel()
    assert inside(world, "late") == {"ann"}


async def back_after_removal(world: World, session_id: str) -> None:
    """Ann was taken out of the room `tea`, and is in it again by her old token; what June makes of it waits."""
    await world.ask("session.create", user_id="ann", session_id=session_id, room_name="tea")
    world.livekit.join("tea", "ann")
    await world.deliver()
    await world.ask("participant.remove", session_id=session_id, identity="ann")
    world.livekit.join("tea", "ann")
    await world.deliver()
    assert inside(world, "tea") == {"ann"}


def errands_of_another(world: World) -> Errands:
    """Those of another worker on the same store, which knows nothing of what this one just made."""

    async def no_look(room_name: str) -> None:
        raise AssertionError(f"nobody asked for a look at {room_name}")

    return Errands(store=world.store, livekit=world.livekit, clock=world.clock, look=no_look)


def inside(world: World, room_name: str) -> set[str]:
    """The identities in a room that LiveKit has."""
    room = world.livekit.there(room_name)
    assert room is not None
    return set(room.participants)


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
