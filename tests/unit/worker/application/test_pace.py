"""How often LiveKit is asked when rooms are compared, on a clock that a test sets."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.bench_worker import SetClock
from tests.support.samples import START
from tests.support.world import World
from worker.application.looks import Looks, Pace


class Turns:
    """When each who asked for a turn had it, in seconds since the start. Time stands still while they wait."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.had: list[float] = []
        self._pace = Pace(sleep=self._sleep, now=lambda: self.now)

    async def _sleep(self, seconds: float) -> None:
        self.had.append(self.now + seconds - 1000)

    async def ask(self, how_many: int) -> None:
        before = len(self.had)
        await asyncio.gather(*(self._pace.turn() for _ in range(how_many)))
        at_once = before + how_many - len(self.had)
        self.had[before:before] = [self.now - 1000] * at_once


async def test_twenty_a_second_whoever_asks() -> None:
    """However many ask together, the first goes at once and each of the others a twentieth of a second later."""
    turns = Turns()
    await turns.ask(50)
    assert turns.had == pytest.approx([number / 20 for number in range(50)])


async def test_who_comes_later_waits_for_those_before() -> None:
    """Half of them are through by then."""
    turns = Turns()
    await turns.ask(10)
    turns.now += 0.25
    await turns.ask(2)
    assert turns.had[10:] == pytest.approx([0.5, 0.55])


async def test_a_quiet_time_is_not_saved_up() -> None:
    """After a minute without a look they go no faster."""
    turns = Turns()
    await turns.ask(1)
    turns.now += 60
    await turns.ask(3)
    assert turns.had == pytest.approx([0, 60, 60.05, 60.1])


async def test_every_question_of_a_look_waits_for_its_turn(world: World) -> None:
    """Rooms, people and second looks together: thirty rooms that June knows nothing of, or too much."""
    clock = SetClock()

    def seconds() -> float:
        return (clock.now() - START).total_seconds()

    looks = Looks(
        store=world.store,
        livekit=world.livekit,
        publisher=world.publisher,
        clock=world.clock,
        pace=Pace(sleep=clock.sleep, now=seconds),
        sleep=_at_once,
    )
    names = [f"room {number}" for number in range(30)]
    for name in names:
        world.livekit.join(name, "ann")
    await world.ask("session.create", user_id="ann", session_id="lost")
    await world.livekit.delete_room("lost")
    world.livekit.calls.clear()
    for name in [*names, "lost"]:
        await looks.at(name)
    asked = len(world.livekit.calls)
    assert asked >= 3 * 30 + 3
    assert seconds() == pytest.approx((asked - 1) / 20, abs=0.001)


async def _at_once(_seconds: float) -> None:
    """A second list needs no second moment here."""
