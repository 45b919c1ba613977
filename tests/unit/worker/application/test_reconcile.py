"""The world as it is: what LiveKit has and June does not, and the other way round."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.bench_worker import INTERVAL
from tests.support.samples import START
from tests.support.world import World, a_talk, a_world
from worker.application.failures import LiveKitUnavailable
from worker.application.ports import ErrandKind, RoomErrand
from worker.application.room_events import Failed
from worker.domain.policy import Policy

GRACE = Policy().room_grace
PERIODS = 2
"""Within so many passes what LiveKit's counts show is repaired; the rest within ten."""


# What webhooks did not tell.


@pytest.mark.parametrize("lost", ["room_started", "participant_joined", "track_published"])
async def test_an_arrival_that_was_never_told(world: World, lost: str) -> None:
    """Is found within two passes: the session started, the voice has its job."""
    world.livekit.join("tea", "ann")
    world.livekit.publish("tea", "ann")
    await world.deliver(lambda event: event != lost)
    await world.reconcile(PERIODS)
    assert await world.known() == world.real()
    assert len(world.of("stt.start")) == 1
    assert world.types()[:4] == [
        "session.created",
        "session.started",
        "participant.joined",
        "track.published",
    ]


@pytest.mark.parametrize("lost", ["participant_left", "room_finished"])
async def test_an_end_that_was_never_told(world: World, lost: str) -> None:
    """Is found within two passes: the job is stopped, everybody has left once, and nothing else happened."""
    await a_talk(world)
    world.livekit.finish("s1") if lost == "room_finished" else world.livekit.leave("s1", "ann")
    await world.deliver(lambda event: event not in {lost, "track_unpublished", "participant_left"})
    await world.reconcile(PERIODS)
    assert await world.known() == world.real()
    assert len(world.of("stt.stop")) == 1
    left = [event["participant"]["identity"] for event in world.of("participant.left")]
    assert sorted(left) == (["ann", "ben"] if lost == "room_finished" else ["ann"])


async def test_a_room_that_finished_unheard(world: World) -> None:
    """Ends its session when the grace is over, and says `room_lost`: LiveKit never said that it finished."""
    await a_talk(world)
    world.livekit.finish("s1")
    await world.deliver(lambda _event: False)
    await world.reconcile(PERIODS)
    assert (await world.session("s1"))["status"] == "active"
    await world.pass_time(GRACE)
    session = await world.session("s1")
    assert (session["status"], session["end_reason"]) == ("ended", "room_lost")


@pytest.mark.parametrize(("change", "starts", "stops"), [("hushed", 1, 1), ("second voice", 2, 0)])
async def test_a_track_that_no_count_shows(world: World, change: str, starts: int, stops: int) -> None:
    """A publisher stays one, whatever it publishes: its tracks are compared within ten passes."""
    _, voice = await a_talk(world)
    world.livekit.unpublish("s1", voice) if change == "hushed" else world.livekit.publish("s1", "ann")
    await world.deliver(lambda _event: False)
    assert await world.known() != world.real()
    await world.reconcile(10)
    assert await world.known() == world.real()
    assert (len(world.of("stt.start")), len(world.of("stt.stop"))) == (starts, stops)


async def test_a_webhook_that_comes_after_the_repair(world: World) -> None:
    """Changes nothing: each sid has come, and gone, once."""
    await a_talk(world)
    world.livekit.leave("s1", "ann")
    late = list(world.livekit.webhooks)
    await world.deliver(lambda _event: False)
    await world.reconcile(PERIODS)
    before = world.published
    world.livekit.webhooks += late
    await world.deliver()
    assert world.published == before


async def test_a_parked_event_has_its_room_looked_at(world: World) -> None:
    """Before the next pass, and also by another worker."""
    world.livekit.join("tea", "ann")
    world.livekit.webhooks.clear()
    failed = Failed(name="livekit.participant_joined", room_name="tea", error=ValueError("a fault"))
    await world.cases.room_events.parked(failed)
    assert await world.another_worker("other").errands.round() == 1
    await world.settle()
    assert await world.known() == world.real()


# What LiveKit's lists show wrongly.


async def test_a_list_that_lacks_somebody_once(world: World) -> None:
    """Closes nothing: LiveKit's lists are stale at times, so two of them must lack what is gone."""
    await a_talk(world)
    world.livekit.unseen.append({"ann"})
    await world.cases.errands.carry_out(_look("s1"))
    await world.settle()
    assert await world.known() == world.real()
    assert "participant.left" not in world.types()


async def test_somebody_whom_two_lists_lack(world: World) -> None:
    """Is gone, with tracks and job."""
    await a_talk(world)
    world.livekit.unseen += [{"ann"}, {"ann"}]
    await world.cases.errands.carry_out(_look("s1"))
    await world.settle()
    assert [event["participant"]["identity"] for event in world.of("participant.left")] == ["ann"]
    assert [stop["reason"] for stop in world.of("stt.stop")] == ["participant_left"]


@pytest.mark.parametrize("not_found", [0, 1])
async def test_a_list_of_rooms_that_lacks_one(world: World, not_found: int) -> None:
    """Closes nothing: the room is asked for by its name first, and not finding it once is not enough."""
    await a_talk(world)
    world.livekit.unlisted, world.livekit.unknown = {"s1"}, {"s1": not_found}
    await world.reconcile()
    assert await world.known() == world.real()
    assert "participant.left" not in world.types()


async def test_livekit_away_closes_nothing(world: World) -> None:
    """Neither when it is away from the start, nor when it goes in the middle of a pass."""
    await a_talk(world)
    before = world.published
    world.livekit.down = True
    with pytest.raises(LiveKitUnavailable):
        await world.reconcile()
    world.livekit.down = False
    world.livekit.finish("s1")
    world.livekit.down_after = 1
    # As it is, and not in a group: the worker waits out an outage, and dies of anything else.
    with pytest.raises(LiveKitUnavailable):
        await world.reconcile()
    assert world.published == before


# LiveKit killed.


async def test_a_room_that_comes_back_in_time(world: World) -> None:
    """Goes on as the same session: what ran under the old sid was stopped, and begins anew under the new one."""
    old, voice = await a_talk(world)
    world.livekit.kill()
    await world.reconcile()
    assert [stop["reason"] for stop in world.of("stt.stop")] == ["room_lost"]
    assert len(world.of("participant.left")) == 2
    world.livekit.join("s1", "ann")
    again = world.livekit.publish("s1", "ann")
    await world.reconcile()
    await world.pass_time(2 * GRACE)
    session = await world.session("s1")
    assert session["status"] == "active"
    assert session["livekit_room_sid"] not in {None, old}
    assert [start["track"]["sid"] for start in world.of("stt.start")] == [voice, again]
    assert await world.known() == world.real()


async def test_a_room_that_comes_back_by_webhooks(world: World) -> None:
    """Is the same as one that the reconciler finds."""
    await a_talk(world)
    world.livekit.kill()
    await world.reconcile()
    world.livekit.join("s1", "ann")
    await world.deliver()
    assert await world.known() == world.real()
    assert world.types().count("session.started") == 1


async def test_a_room_that_comes_back_too_late(world: World) -> None:
    """The session has ended, `room_lost`; the room is another one's."""
    await a_talk(world)
    world.livekit.kill()
    await world.reconcile()
    await world.pass_time(GRACE + timedelta(seconds=1))
    ended = await world.session("s1")
    assert (ended["status"], ended["end_reason"]) == ("ended", "room_lost")
    world.livekit.join("s1", "ann")
    await world.reconcile()
    assert (await world.session("s1")) == ended
    created = [event["session"] for event in world.of("session.created")]
    assert [(one["origin"], one["user_id"]) for one in created] == [("june", "ann"), ("livekit", None)]


async def test_a_session_without_people_waits_too(world: World) -> None:
    """A room that nobody entered vanishes: its session ends after the grace."""
    await world.ask("session.create", user_id="ann", session_id="s1")
    await world.deliver()
    world.livekit.kill()
    await world.reconcile()
    assert (await world.session("s1"))["status"] == "created"
    await world.pass_time(GRACE)
    assert (await world.session("s1"))["end_reason"] == "room_lost"


async def test_a_room_that_was_only_out_of_sight(world: World) -> None:
    """Twice LiveKit says that it has no such room, then it is there under the old sid: the session goes on in it."""
    room, _ = await a_talk(world)
    world.livekit.unlisted, world.livekit.unknown = {"s1"}, {"s1": 2}
    await world.reconcile()
    assert await world.gone_rooms() == 1
    world.livekit.unlisted.clear()
    world.livekit.join("s1", "cem")
    await world.reconcile()
    await world.pass_time(2 * GRACE)
    session = await world.session("s1")
    assert (session["status"], session["livekit_room_sid"]) == ("active", room)
    joined = [event["participant"]["identity"] for event in world.of("participant.joined")]
    assert joined == ["ann", "ben", "cem"]


# Rooms that are nobody's, or should not be.


async def test_a_room_that_june_never_heard_of(world: World) -> None:
    """Is adopted with everybody in it: agents are people in a room, and no voices."""
    world.livekit.join("tea", "ann")
    world.livekit.publish("tea", "ann")
    world.livekit.join("tea", "bot", kind="agent")
    world.livekit.publish("tea", "bot")
    await world.deliver(lambda _event: False)
    await world.reconcile()
    assert await world.known() == world.real()
    assert [event["session"]["origin"] for event in world.of("session.created")] == ["livekit"]
    assert [start["participant"]["identity"] for start in world.of("stt.start")] == ["ann"]


async def test_rooms_are_left_alone_when_none_are_adopted(tmp_path: Path) -> None:
    """`adopt_rooms` false: nothing is published, whatever LiveKit has."""
    async with a_world(tmp_path, policy=Policy(adopt_rooms=False)) as world:
        world.livekit.join("tea", "ann")
        await world.reconcile(3)
        assert world.published == []
        assert world.livekit.there("tea") is not None


async def test_a_room_of_a_deleted_session_that_comes_back(world: World) -> None:
    """Is closed, and adopted by nobody, as long as one of its tokens works; after that it is anybody's."""
    await world.ask("session.create", user_id="ann", session_id="s1", token_ttl_s=3600)
    await world.ask("session.delete", session_id="s1")
    world.livekit.join("s1", "ann")
    await world.deliver(lambda _event: False)
    await world.reconcile()
    assert world.livekit.there("s1") is None
    assert world.types() == ["session.created", "session.ended"]
    await world.pass_time(timedelta(hours=2), step=timedelta(minutes=30))
    world.livekit.join("s1", "ann")
    await world.reconcile()
    assert world.livekit.there("s1") is not None
    assert world.types()[2:] == ["session.created", "session.started", "participant.joined"]


async def test_a_sid_that_livekit_starts_again(world: World) -> None:
    """A room whose end was told, and which two passes see alive, lives as an adopted session of another id."""
    room, _ = await a_talk(world)
    finished = {"event": "room_finished", "id": "EV_f", "room": {"sid": room, "name": "s1"}}
    world.livekit.webhooks.append(finished)
    await world.deliver()
    world.livekit.join("s1", "cem")
    await world.deliver()
    await world.reconcile()
    assert world.types().count("session.created") == 1
    await world.reconcile(PERIODS)
    assert world.types().count("session.created") == 2
    assert (await world.known()).rooms == {room}
    joined = [event["participant"]["identity"] for event in world.of("participant.joined")]
    assert joined == ["ann", "ben", "cem"]


async def test_a_create_that_came_to_nothing_keeps_no_room_open(world: World) -> None:
    """The room of a deleted session is closed once LiveKit is back, also when its name was asked for meanwhile."""
    await world.ask("session.create", user_id="ann", session_id="s1", room_name="tea")
    await world.deliver()
    world.livekit.down = True
    assert not (await world.ask("session.delete", session_id="s1"))["ok"]
    assert not (await world.ask("session.create", user_id="ann", session_id="s2", room_name="tea"))["ok"]
    world.livekit.down = False
    await world.pass_time(INTERVAL, step=INTERVAL)
    assert world.livekit.there("tea") is None


async def test_a_room_goes_to_the_next_who_asked_for_its_name(world: World) -> None:
    """A create that failed was told of its room; the command that takes its name over gets the room with it."""
    world.livekit.join("tea", "ann")
    world.livekit.down = True
    await world.ask("session.create", user_id="ann", session_id="s1", room_name="tea")
    await world.deliver(lambda event: event == "room_started")
    await world.ask("session.create", user_id="ben", session_id="s2", room_name="tea")
    world.livekit.down = False
    await world.reconcile()
    assert (await world.session("s2"))["status"] == "active"
    assert await world.known() == world.real()


async def test_what_comes_late_of_an_earlier_room(world: World) -> None:
    """It moves nobody: June knows when the room was made that LiveKit has."""
    room, _ = await a_talk(world)
    earlier = {"sid": "RM_earlier", "name": "s1", "creationTimeMs": "1000"}
    world.livekit.webhooks.append({"event": "room_started", "id": "EV_late", "room": earlier})
    await world.deliver()
    assert (await world.session("s1"))["livekit_room_sid"] == room
    assert await world.known() == world.real()


async def test_a_session_that_was_led_into_a_dead_room(world: World) -> None:
    """An earlier room that does not say when it was made moves the session there; two passes later it is back."""
    room, _ = await a_talk(world)
    late = {"event": "room_started", "id": "EV_late", "room": {"sid": "RM_earlier", "name": "s1"}}
    world.livekit.webhooks.append(late)
    await world.deliver()
    world.livekit.join("s1", "cem")
    await world.reconcile(PERIODS)
    session = await world.session("s1")
    assert (session["status"], session["livekit_room_sid"]) == ("active", room)
    joined = [event["participant"]["identity"] for event in world.of("participant.joined")]
    assert joined == ["ann", "ben", "cem"]


def _look(room: str) -> RoomErrand:
    return RoomErrand(kind=ErrandKind.LOOK_AT_ROOM, room_name=room, due_at=START)
