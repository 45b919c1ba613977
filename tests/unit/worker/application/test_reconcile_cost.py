"""What a comparison with LiveKit costs when all agree, who makes it, and that what is forgotten goes in small steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from livekit.protocol.room import CreateRoomRequest

from tests.support.bench_worker import INTERVAL
from tests.support.samples import SESSION, START
from tests.support.world import World, a_talk
from worker.application.ports import Transaction
from worker.application.retention import Retention
from worker.domain.model import (
    Participant,
    ParticipantSid,
    Room,
    RoomSid,
    SessionId,
    SessionState,
    State,
)

# What a pass costs.


async def test_a_pass_over_a_world_that_agrees(world: World) -> None:
    """Publishes nothing and writes nothing, however often it is made."""
    await a_talk(world)
    world.livekit.join("tea", "cem")
    await world.deliver()
    before = world.published
    await world.reconcile(12)
    assert world.published == before
    assert await world.known() == world.real()


@pytest.mark.slow
async def test_ten_thousand_sessions_that_agree(world: World) -> None:
    """One list of rooms, and a look at the tenth of those with people in them; ten passes look at each once."""
    rooms, with_people = 10_000, 2_000
    await _many(world, rooms, with_people)
    looks = []
    for _ in range(10):
        world.livekit.calls.clear()
        world.clock.advance(INTERVAL)
        await world.cases.reconciler.run_pass()
        assert world.livekit.calls.count("rooms") == 1
        assert len(world.livekit.calls) == 1 + world.livekit.calls.count("participants")
        looks.append(world.livekit.calls.count("participants"))
    assert sum(looks) == with_people
    assert max(looks) < with_people / 10 * 1.5
    assert world.published == []


async def test_one_of_two_workers_makes_the_pass(world: World) -> None:
    """The other finds the duty taken, until it is due again; then whoever asks first has it."""
    other = world.another_worker("other").reconciler
    await world.ask("session.create", user_id="ann", session_id="s1")
    world.livekit.calls.clear()
    for _ in range(3):
        await world.cases.reconciler.round()
        await other.round()
    assert world.livekit.calls.count("rooms") == 1
    world.clock.advance(INTERVAL)
    await other.round()
    await world.cases.reconciler.round()
    assert world.livekit.calls.count("rooms") == 2


# What is forgotten.


async def test_ended_sessions_are_forgotten_in_steps(world: World) -> None:
    """All that is old goes, in transactions of a few rows; what is young, or lives, stays."""
    for number in range(25):
        await world.ask("session.create", user_id="ann", session_id=f"old{number}")
        await world.ask("session.delete", session_id=f"old{number}")
    await world.ask("session.create", user_id="ann", session_id="lives")
    world.clock.advance(timedelta(days=29))
    await world.ask("session.create", user_id="ann", session_id="young")
    await world.ask("session.delete", session_id="young")
    world.clock.advance(timedelta(days=2))
    store = _CountsSteps(world)
    await Retention(store=store, clock=world.clock, holder="w", kept=timedelta(days=30)).round()  # type: ignore[arg-type]
    assert len(store.steps) > 2
    assert max(store.steps) <= 3 * 200
    listed = (await world.ask("session.list", limit=200))["result"]["sessions"]
    assert {session["session_id"] for session in listed} == {"lives", "young"}


async def test_one_worker_forgets(world: World) -> None:
    """Two workers do not purge side by side."""
    world.clock.advance(timedelta(days=1))
    store = _CountsSteps(world)
    for holder in ("one", "two"):
        await Retention(store=store, clock=world.clock, holder=holder, kept=timedelta(days=1)).round()  # type: ignore[arg-type]
    assert len(store.steps) == 1


async def _many(world: World, rooms: int, with_people: int) -> None:
    """Sessions as June has them after all webhooks, some with one person in them, and LiveKit's rooms of them."""

    def work(number: int) -> Callable[[Transaction], None]:
        name = f"room {number}"
        room = world.livekit.rooms_there.create(CreateRoomRequest(name=name, empty_timeout=86_400))
        sid, session_id = RoomSid(room.info.sid), SessionId(f"s{number}")
        people = [ParticipantSid(world.livekit.join(name, "ann"))] if number < with_people else []
        session = replace(
            SESSION,
            session_id=session_id,
            room_name=name,
            room_sid=sid,
            state=SessionState.ACTIVE if people else SessionState.CREATED,
        )
        after = State(
            session=session,
            rooms={sid: Room(room_sid=sid, room_name=name, session_id=session_id)},
            participants={
                (sid, one): Participant(
                    room_sid=sid, sid=one, session_id=session_id, identity="ann", joined_at=START
                )
                for one in people
            },
        )
        return lambda tx: tx.save(State(), after)

    await world.store.run_many([work(number) for number in range(rooms)])
    world.livekit.webhooks.clear()


class _CountsSteps:
    """The store, and how many rows each step of purging took."""

    def __init__(self, world: World) -> None:
        self._store = world.store
        self.claim = world.store.claim
        self.steps: list[int] = []

    async def purge(self, now: datetime, *, retention: timedelta, limit: int) -> int:
        purged = await self._store.purge(now, retention=retention, limit=limit)
        self.steps.append(purged)
        return purged
