"""The comparison with LiveKit in trouble: outages in the middle, many rooms at once, clocks that went back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from livekit.protocol.models import ParticipantInfo

from tests.support.bench_worker import INTERVAL
from tests.support.memory_livekit import MemoryLiveKit
from tests.support.samples import START
from tests.support.world import World, a_world
from worker.application.failures import LiveKitRefused, LiveKitUnavailable
from worker.application.ports import LiveParticipant, LiveRoom
from worker.application.reconcile import CLAIM
from worker.domain.policy import Policy

PERIODS = 2


# Outages.


async def test_livekit_that_goes_in_the_middle_of_a_pass_is_an_outage(world: World) -> None:
    """As the worker's loops know it: it is waited out, and no fault that ends the worker."""
    await world.ask("session.create", user_id="ann", session_id="s1")
    world.livekit.join("s1", "ann")
    world.livekit.webhooks.clear()
    world.livekit.down_after = 1
    with pytest.raises(LiveKitUnavailable):
        await world.reconcile()
    assert world.types() == ["session.created"]
    world.livekit.down, world.livekit.down_after = False, None
    await world.reconcile(PERIODS)
    assert await world.known() == world.real()


@pytest.mark.parametrize("error", [LiveKitUnavailable, LiveKitRefused])
async def test_one_room_that_cannot_be_asked_about_keeps_no_other_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Its node may be dead: the others are repaired by the same pass."""
    names = [f"room {number}" for number in range(20)]
    for name in names:
        world.livekit.join(name, "ann")
    world.livekit.webhooks.clear()
    ask = MemoryLiveKit.participants

    async def participants(livekit: MemoryLiveKit, room_name: str) -> Sequence[LiveParticipant]:
        if room_name == names[0]:
            raise error("that node is dead")
        return await ask(livekit, room_name)

    monkeypatch.setattr(MemoryLiveKit, "participants", participants)
    with pytest.raises(LiveKitUnavailable) if error is LiveKitUnavailable else nullcontext():
        await world.reconcile()
    await world.settle()
    assert len((await world.known()).rooms) == len(names) - 1


async def test_a_livekit_that_answers_for_no_room_is_let_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass is given up after what was under way: there is nobody to ask about the others."""
    for number in range(200):
        world.livekit.join(f"room {number}", "ann")
    world.livekit.webhooks.clear()
    asked = []

    async def participants(_livekit: MemoryLiveKit, room_name: str) -> Sequence[LiveParticipant]:
        asked.append(room_name)
        raise LiveKitUnavailable("away")

    monkeypatch.setattr(MemoryLiveKit, "participants", participants)
    with pytest.raises(LiveKitUnavailable):
        await world.reconcile()
    assert len(asked) < 100


# Passes that last, and workers that take turns.


async def test_every_tenth_pass_looks_at_each_room(world: World) -> None:
    """Whoever makes the passes, and however far apart they are: each room with people once in ten of them."""
    names = {f"room {number}" for number in range(30)}
    for name in names:
        world.livekit.join(name, "ann")
    await world.deliver()
    workers = [world.cases, world.another_worker("b"), world.another_worker("c")]
    for _ in range(2):
        world.livekit.calls.clear()
        for number in range(10):
            world.clock.advance(INTERVAL * 1.7)
            await workers[number % 3].reconciler.round()
        assert world.livekit.calls.count("rooms") == 10
        assert world.livekit.calls.count("participants") == len(names)


async def test_a_pass_that_was_not_completed_is_made_again(world: World) -> None:
    """An outage takes no room's turn."""
    names = {f"room {number}" for number in range(30)}
    for name in names:
        world.livekit.join(name, "ann")
    await world.deliver()
    world.livekit.down = True
    for _ in range(7):
        world.clock.advance(INTERVAL)
        with pytest.raises(LiveKitUnavailable):
            await world.cases.reconciler.round()
    world.livekit.down = False
    world.livekit.calls.clear()
    for _ in range(10):
        world.clock.advance(INTERVAL)
        await world.cases.reconciler.round()
    assert world.livekit.calls.count("participants") == len(names)


async def test_a_pass_that_lasts_keeps_other_workers_from_theirs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiveKit is asked by one of them at a time; when its worker stands still, the next one takes over."""
    slept, asked, answer = asyncio.Event(), asyncio.Event(), asyncio.Event()
    waits = [asyncio.Event(), asyncio.Event()]

    async def sleep(_seconds: float) -> None:
        slept.set()
        await waits.pop(0).wait()

    async def rooms(_livekit: MemoryLiveKit, _names: Sequence[str] | None = None) -> Sequence[LiveRoom]:
        asked.set()
        await answer.wait()
        return ()

    monkeypatch.setattr(MemoryLiveKit, "rooms", rooms)
    monkeypatch.setattr(world.cases.reconciler, "_sleep", sleep)
    first = waits[0]
    passing = asyncio.create_task(world.cases.reconciler.round())
    other = world.another_worker("other").reconciler
    async with asyncio.timeout(5):
        await asked.wait()
        await slept.wait()
        world.clock.advance(INTERVAL * 0.8)
        slept.clear()
        first.set()
        await slept.wait()
    world.clock.advance(INTERVAL * 0.8)
    assert await world.store.claim(CLAIM, "other", now=world.clock.now(), until=world.clock.now()) == 0
    world.clock.advance(INTERVAL * 0.2)
    answer.set()
    await other.round()
    await passing
    assert await world.store.claim(CLAIM, "x", now=world.clock.now() + INTERVAL, until=START) == 2


# Many at once.


async def test_a_killed_livekit_with_many_rooms(world: World) -> None:
    """All that was in it is over after one pass, which asks LiveKit a few times and not for each room."""
    names = [f"room {number}" for number in range(150)]
    for name in names:
        world.livekit.join(name, "ann")
    await world.deliver()
    assert len((await world.known()).people) == len(names)
    world.livekit.kill()
    world.livekit.calls.clear()
    before = world.clock.now()
    await world.reconcile()
    assert (await world.known()).people == frozenset()
    assert len(world.of("participant.left")) == len(names)
    assert len(world.livekit.calls) <= 10
    assert world.clock.now() - before <= timedelta(seconds=40)


async def test_rooms_of_others_cost_nothing_when_none_are_adopted(tmp_path: Path) -> None:
    """`adopt_rooms` false: they are in the list, and no call, no message and no row is made for them."""
    async with a_world(tmp_path, policy=Policy(adopt_rooms=False)) as world:
        for number in range(30):
            world.livekit.join(f"room {number}", "ann")
        for _ in range(3):
            world.livekit.calls.clear()
            assert await world.reconcile() == 0
            assert world.livekit.calls == ["rooms"]


async def test_a_deleted_room_that_is_still_there_when_none_are_adopted(tmp_path: Path) -> None:
    """It is closed all the same, also under the sid that June knows to be over."""
    async with a_world(tmp_path, policy=Policy(adopt_rooms=False)) as world:
        await world.ask("session.create", user_id="ann", session_id="s1")
        room = world.livekit.there("s1")
        assert room is not None
        await world.ask("session.delete", session_id="s1")
        world.livekit.webhooks.clear()
        again = world.livekit.join("s1", "ann")
        assert again
        there = world.livekit.there("s1")
        assert there is not None
        there.info.sid = room.info.sid
        await world.reconcile(3)
        assert world.livekit.there("s1") is None


# Lists that are older than the world.


async def test_a_room_that_was_replaced_while_it_was_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name has another room by then, whose people are not its own: nothing is said of either before the next pass,
    which finds them as they are."""
    world.livekit.join("tea", "ann")
    await world.deliver()
    (old,) = await world.livekit.rooms()
    world.livekit.kill()
    world.livekit.join("tea", "ben")
    world.livekit.webhooks.clear()
    before = world.published
    list_all = MemoryLiveKit.rooms

    async def rooms(livekit: MemoryLiveKit, names: Sequence[str] | None = None) -> Sequence[LiveRoom]:
        return [replace(old, num_participants=2)] if names is None else await list_all(livekit, names)

    with monkeypatch.context() as stale:
        stale.setattr(MemoryLiveKit, "rooms", rooms)
        await world.reconcile()
    assert world.published == before
    await world.reconcile()
    assert await world.known() == world.real()
    joined = [
        (event["room_sid"], event["participant"]["identity"]) for event in world.of("participant.joined")
    ]
    there = world.livekit.there("tea")
    assert there is not None
    assert joined == [(old.sid, "ann"), (there.info.sid, "ben")]


async def test_somebody_whose_connection_is_not_up_yet(world: World) -> None:
    """Is in LiveKit's list, and has not joined before it is active: it may come to nothing."""
    world.livekit.join("tea", "ann")
    world.livekit.join("tea", "ben")
    world.livekit.webhooks.clear()
    there = world.livekit.there("tea")
    assert there is not None
    states = (ParticipantInfo.JOINING, ParticipantInfo.JOINED, ParticipantInfo.ACTIVE)
    for state, joined in zip(states, (["ann"], ["ann"], ["ann", "ben"]), strict=True):
        there.participants["ben"].state = state
        await world.reconcile(PERIODS)
        assert [event["participant"]["identity"] for event in world.of("participant.joined")] == joined


async def test_a_room_that_was_just_made_is_not_missed(world: World) -> None:
    """LiveKit's lists may not have it yet; some seconds later they must."""
    await world.ask("session.create", user_id="ann", session_id="s1")
    world.livekit.unlisted, world.livekit.unknown = {"s1"}, {"s1": 4}
    for wait, missed in ((timedelta(0), 0), (timedelta(seconds=9), 0), (timedelta(seconds=2), 1)):
        world.clock.advance(wait)
        await world.cases.reconciler.run_pass()
        await world.settle()
        assert await world.gone_rooms() == missed


async def test_a_difference_that_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiveKit counts as a publisher whoever sent data: two looks that find nothing leave it to the tenth passes, as
    long as the counts stay as they are."""
    world.livekit.join("tea", "ann")
    await world.deliver()
    list_all, senders = MemoryLiveKit.rooms, 1

    async def rooms(livekit: MemoryLiveKit, names: Sequence[str] | None = None) -> Sequence[LiveRoom]:
        return [replace(room, num_publishers=senders) for room in await list_all(livekit, names)]

    monkeypatch.setattr(MemoryLiveKit, "rooms", rooms)
    before = world.published
    for senders in (1, 2):  # noqa: B007 - what `rooms` tells
        world.livekit.calls.clear()
        await world.reconcile(10)
        assert world.livekit.calls.count("participants") in {2, 3}
    assert world.published == before


# Clocks and ids.


async def test_a_room_that_livekit_made_by_a_slower_clock(world: World) -> None:
    """It seems older than the one that is over, and it is the one that is there: the session goes on in it."""
    world.livekit.join("tea", "ann")
    await world.deliver()
    world.livekit.kill()
    world.clock.advance(-timedelta(seconds=5))
    world.livekit.join("tea", "ben")
    world.clock.advance(timedelta(seconds=5))
    await world.deliver()
    await world.reconcile(4)
    assert await world.known() == world.real()
    assert world.types().count("session.created") == 1


async def test_a_room_whose_adopted_id_somebody_has_taken(world: World) -> None:
    """A client may call its session as an adopted room's would be called; the room is adopted under another id."""
    await world.ask("session.create", user_id="ann", session_id="lk_RM_mine")
    room = {"sid": "RM_mine", "name": "tea"}
    world.livekit.webhooks.append({"event": "room_started", "id": "EV_mine", "room": room})
    await world.deliver()
    created = [
        (one["session"]["session_id"], one["session"]["room_name"]) for one in world.of("session.created")
    ]
    assert ("lk_RM_mine", "lk_RM_mine") in created
    (adopted,) = (id_ for id_, name in created if name == "tea")
    assert adopted.startswith("lk_RM_mine")
