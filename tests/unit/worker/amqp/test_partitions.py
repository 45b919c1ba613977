"""A partition's deliveries: each settled once, in order, whatever fails, and dropped when they are somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import pytest

from messaging.acknowledger import Verdict
from messaging.delivery import Delivery
from messaging.message import Incoming
from worker.adapters.amqp.dead import DeadLetters
from worker.adapters.amqp.partitions import PartitionHandler
from worker.application.failures import LiveKitRefused, Outage, StoreUnavailable
from worker.application.room_events import Behind, Failed, Handled, Outcome, RoomEvents, Unreadable

HANDLED = Handled(name="livekit.room_started", subject="tea")
BEHIND = Behind(name="livekit.participant_joined")
UNREADABLE = Unreadable(reason="unreadable", error="not JSON")


def failed(error: Exception) -> Failed:
    return Failed(name="livekit.room_started", room_name="tea", error=error)


class Channel:
    """Where deliveries come from, and what they were settled with, by tag."""

    def __init__(self) -> None:
        self.current = True
        self.verdicts: list[tuple[int, Verdict]] = []

    def settle(self, tag: int, verdict: Verdict) -> None:
        self.verdicts.append((tag, verdict))

    def delivers(self, how_many: int) -> list[Delivery]:
        return [
            Delivery(f"{tag}".encode(), cast("Callable[[], Incoming]", None), tag=tag, origin=self)
            for tag in range(how_many)
        ]


class World:
    """The use case, the dead letters and time, as a script says. Each entry answers one call of `handle`."""

    def __init__(self, channel: Channel, *answers: Sequence[Outcome] | Exception) -> None:
        self.channel = channel
        self.answers = list(answers)
        self.calls: list[list[bytes]] = []
        self.looks: list[str] = []
        self.dead: list[tuple[bytes, str, int]] = []
        self.slept: list[float] = []
        self.no_store_for = 0
        self.lost_after: int | None = None

    async def handle(self, partition: int, bodies: Sequence[bytes]) -> Sequence[Outcome]:
        assert partition == 3
        self.calls.append(list(bodies))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def parked(self, outcome: Failed) -> None:
        if self.no_store_for:
            self.no_store_for -= 1
            raise StoreUnavailable("away")
        self.looks.append(outcome.room_name)

    async def put(self, delivery: Delivery, *, reason: str, error: str, attempts: int) -> None:
        assert error
        self.dead.append((delivery.body, reason, attempts))
        delivery.ack()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.lost_after is not None and len(self.slept) >= self.lost_after:
            self.channel.current = False

    async def run(self, how_many: int) -> None:
        handler = PartitionHandler(
            partition=3,
            room_events=cast("RoomEvents", self),
            dead_letters=cast("DeadLetters", self),
            sleep=self.sleep,
        )
        await handler(self.channel.delivers(how_many))

    @property
    def acked(self) -> list[int]:
        assert all(verdict is Verdict.ACK for _, verdict in self.channel.verdicts)
        return [tag for tag, _ in self.channel.verdicts]


@pytest.fixture
def channel() -> Channel:
    return Channel()


async def test_what_is_handled_is_acked(channel: Channel) -> None:
    """Once, in order."""
    world = World(channel, [HANDLED, HANDLED, HANDLED])
    await world.run(3)
    assert world.acked == [0, 1, 2]


async def test_an_outage_is_waited_out_in_place(channel: Channel) -> None:
    """For as long as it lasts, with growing pauses; nothing is acked or set aside meanwhile."""
    outages: list[Sequence[Outcome] | Exception] = [Outage("away")] * 20
    world = World(channel, *outages, [HANDLED, HANDLED])
    await world.run(2)
    assert world.calls == [[b"0", b"1"]] * 21
    assert world.slept[:3] == sorted(set(world.slept[:3]))
    assert (world.acked, world.dead) == ([0, 1], [])


async def test_a_fault_is_tried_five_times_and_set_aside(channel: Channel) -> None:
    """Its room is looked at; what is behind it in its room waits, and nothing else does."""
    fault = failed(ValueError("a fault"))
    again: list[Sequence[Outcome]] = [[fault, BEHIND]] * 4
    world = World(channel, [HANDLED, fault, BEHIND, HANDLED], *again, [HANDLED])
    await world.run(4)
    assert world.calls == [[b"0", b"1", b"2", b"3"], *[[b"1", b"2"]] * 4, [b"2"]]
    assert world.dead == [(b"1", "internal", 5)]
    assert world.looks == ["tea"]
    assert world.acked == [0, 3, 1, 2]


async def test_a_refusal_for_good_is_set_aside_at_once(channel: Channel) -> None:
    """The same again would be as wrong. Its room is looked at."""
    world = World(channel, [failed(LiveKitRefused("no")), HANDLED])
    await world.run(2)
    assert [(body, attempts) for body, _, attempts in world.dead] == [(b"0", 1)]
    assert (world.looks, world.acked) == (["tea"], [0, 1])


async def test_what_cannot_be_read_is_set_aside(channel: Channel) -> None:
    """With the reader's reason; no room is known to look at."""
    world = World(channel, [UNREADABLE, HANDLED])
    await world.run(2)
    assert world.dead == [(b"0", "unreadable", 1)]
    assert (world.looks, world.acked) == ([], [0, 1])


async def test_a_store_that_goes_while_a_message_is_given_up(channel: Channel) -> None:
    """Is waited for: the message is not set aside before its room is sure to be looked at."""
    world = World(channel, [failed(LiveKitRefused("no")), HANDLED])
    world.no_store_for = 3
    await world.run(2)
    assert (world.looks, world.acked) == (["tea"], [0, 1])


@pytest.mark.parametrize("trouble", [Outage("away"), [failed(ValueError("a fault")), BEHIND]])
async def test_what_a_lost_channel_held_is_dropped(
    channel: Channel, trouble: Sequence[Outcome] | Exception
) -> None:
    """Somebody else has it by then: it is neither handled again nor settled."""
    world = World(channel, trouble)
    world.lost_after = 1
    await world.run(2)
    assert (len(world.calls), world.acked, world.dead) == (1, [], [])


async def test_a_lost_channel_is_noticed_before_anything_is_done(channel: Channel) -> None:
    """What is handed over stale is not begun."""
    channel.current = False
    world = World(channel)
    await world.run(2)
    assert world.calls == []
