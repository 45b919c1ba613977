"""The world as it is: LiveKit's own list against the store, again and again. Webhooks are hints; this is the truth.

Promises: one worker at a time makes a pass; a pass is one list of rooms and one query, and looks only at rooms that
disagree, and at a tenth of those with people in them. What LiveKit does not answer closes nothing, and a room that it
does not answer for keeps no other from being looked at. Repairs go through the rooms' partitions, so that they are
decided like any event; a pass over a world that agrees changes nothing.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from worker.application.failures import LiveKitRefused, LiveKitUnavailable, Outage
from worker.application.looks import Looks, Sleep
from worker.application.portions import portions
from worker.application.ports import Clock, LiveKit, LiveRoom, SessionCounts, Store, Transaction
from worker.domain.lifecycle import is_abandoned
from worker.domain.model import RoomSid

log = structlog.get_logger(__name__)

CLAIM = "reconcile"
_SHARES = 10
"""Rooms with people are looked at once in so many passes, even when all counts agree."""
_LOOKS_AT_ONE_DIFFERENCE = 2
_SIDE_BY_SIDE = 64
"""Looks under way. How often LiveKit is asked is bounded elsewhere; most of a look is waiting between two lists."""
_OUTAGES = 8
"""So many rooms without an answer mean that LiveKit is away: the pass is given up."""
_AT_ONCE = 200
"""Rooms that one transaction reads of."""
_YOUNG = timedelta(seconds=10)
"""A session's room may be too young for LiveKit's list."""


Look = Callable[[], Awaitable[None]]
_Counts = tuple[tuple[int, int], tuple[int, int]]


@dataclass(slots=True)
class Plan:
    """What a pass has to look at."""

    looks: list[LiveRoom] = field(default_factory=list)
    revived: list[LiveRoom] = field(default_factory=list)
    missing: list[tuple[str, RoomSid]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.looks) + len(self.revived) + len(self.missing)


class Reconciler:
    """Makes passes. `holder` names this worker."""

    def __init__(
        self,
        *,
        store: Store,
        livekit: LiveKit,
        looks: Looks,
        clock: Clock,
        interval: timedelta,
        holder: str,
        adopt_rooms: bool,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._livekit = livekit
        self._looks = looks
        self._clock = clock
        self._interval = interval
        self._holder = holder
        self._adopt_rooms = adopt_rooms
        self._sleep = sleep
        self._number = 0
        self._undead: set[str] = set()
        """Room sids that the last pass saw alive although they are over."""
        self._settled: dict[str, tuple[_Counts, int]] = {}
        """By session, which differing counts were looked at, and how often: LiveKit counts as a publisher whoever
        ever sent data, which June does not see."""

    async def round(self) -> int:
        """Make a pass when one is due and no other worker makes it; how many rooms were looked at.

        A pass that lasts keeps the duty, so that no other worker asks LiveKit beside it.
        """
        now = self._clock.now()
        next_one = now + self._interval * 0.9
        number = await self._store.claim(CLAIM, self._holder, now=now, until=next_one)
        if not number:
            return 0
        async with self._kept():
            looked_at = await self.run_pass(number)
        next_one = max(next_one, self._clock.now())
        await self._store.hold(CLAIM, self._holder, until=next_one, done=True)
        return looked_at

    @asynccontextmanager
    async def _kept(self) -> AsyncIterator[None]:
        """The duty is this worker's for as long as the body runs, and not much longer when the worker stands still."""
        keeping = asyncio.create_task(self._keep(), name="keep the duty")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    async def _keep(self) -> None:
        while True:
            await self._sleep(self._interval.total_seconds() * 0.4)
            # In an outage it may be lost, as it should.
            with suppress(Outage):
                until = self._clock.now() + self._interval * 0.9
                await self._store.hold(CLAIM, self._holder, until=until)

    async def run_pass(self, number: int | None = None) -> int:
        """Compare everything once; `number`: which pass it is of all that were made, else the next one of this worker.
        Raises an `Outage` when LiveKit, the store or the broker is away."""
        self._number = self._number + 1 if number is None else number
        try:
            rooms = {room.name: room for room in await self._livekit.rooms()}
        except LiveKitRefused as error:
            log.error("reconcile.refused", error=str(error))
            return 0
        sessions = await self._store.live_counts()
        plan = await self._plan(rooms, sessions)
        outages = await _side_by_side(self._looks_of(plan))
        if outages:
            # What counted as looked at may not have been.
            self._settled.clear()
            raise outages[0]
        log.info("reconcile.pass", rooms=len(rooms), sessions=len(sessions), looked_at=len(plan))
        return len(plan)

    def _looks_of(self, plan: Plan) -> list[tuple[str, Look]]:
        """What is to be done for the plan, by room name; the missing ones are asked for together."""
        return [
            *([("", partial(self._looks.for_missing, plan.missing))] if plan.missing else []),
            *((room.name, partial(self._looks.inside, room)) for room in plan.looks),
            *((room.name, partial(self._looks.inside, room, revived=True)) for room in plan.revived),
        ]

    async def _plan(self, rooms: dict[str, LiveRoom], sessions: Sequence[SessionCounts]) -> Plan:
        plan = Plan()
        strangers = dict(rooms)
        others: list[LiveRoom] = []
        ids = {session.session_id for session in sessions}
        self._settled = {id_: looked for id_, looked in self._settled.items() if id_ in ids}
        for session in sessions:
            room = strangers.pop(session.room_name, None)
            if room is None:
                if self._may_be_missing(session):
                    plan.missing.append((session.room_name, session.room_sid))
            elif room.sid != session.room_sid:
                others.append(room)
            elif session.missing_since is not None:
                # It was out of sight for so long that it was taken for lost.
                plan.revived.append(room)
            elif self._differs(session, room) or (session.participants and _share(session, self._number)):
                plan.looks.append(room)
        await self._plan_unknown(plan, list(strangers.values()), others)
        return plan

    async def _plan_unknown(
        self, plan: Plan, strangers: Sequence[LiveRoom], others: Sequence[LiveRoom]
    ) -> None:
        """Rooms that no live session has, and those in whose place a session has another: new ones, those of deleted
        sessions, and those that are over for June and yet there."""
        over: list[LiveRoom] = []
        now = self._clock.now()
        rooms = [(room, True) for room in others] + [(room, False) for room in strangers]
        for some in portions(rooms, _AT_ONCE):
            for room, gone in await self._store.run(partial(self._concerning, some, now)):
                (over if gone else plan.looks).append(room)
        plan.revived += [room for room in over if room.sid in self._undead]
        self._undead = {room.sid for room in over}

    def _concerning(
        self, rooms: Sequence[tuple[LiveRoom, bool]], now: datetime, tx: Transaction
    ) -> list[tuple[LiveRoom, bool]]:
        """Those of these rooms that June has to do with, each with whether it is over for June. Given with each is
        whether a session lives in another room of its name."""
        concerning = []
        for room, of_a_session in rooms:
            if of_a_session or self._concerns(tx, room.name, now):
                known = tx.room(RoomSid(room.sid))
                concerning.append((room, known is not None and known.gone))
        return concerning

    def _concerns(self, tx: Transaction, room_name: str, now: datetime) -> bool:
        """No session has its name, or is being made with it; it is to be adopted, or else to be closed."""
        holder = tx.live_session(room_name)
        if holder is not None and not is_abandoned(holder, now):
            return False
        return self._adopt_rooms or tx.shut_until(room_name, now) is not None

    def _differs(self, session: SessionCounts, room: LiveRoom) -> bool:
        """The counts differ, and are not the same that two looks left as they are."""
        there = (room.num_participants, room.num_publishers)
        here = (session.participants, session.publishers)
        if there == here:
            self._settled.pop(session.session_id, None)
            return False
        before, looks = self._settled.get(session.session_id, (None, 0))
        looks = looks if before == (there, here) else 0
        self._settled[session.session_id] = ((there, here), looks + 1)
        return looks < _LOOKS_AT_ONE_DIFFERENCE or there[0] != here[0]

    def _may_be_missing(self, session: SessionCounts) -> bool:
        return session.missing_since is None and self._clock.now() - session.created_at > _YOUNG


def _share(session: SessionCounts, number: int) -> bool:
    return zlib.crc32(session.room_name.encode("utf-8", "surrogatepass")) % _SHARES == number % _SHARES


async def _side_by_side(looks: Sequence[tuple[str, Look]]) -> Sequence[LiveKitUnavailable]:
    """All of them, by room name, many at once; what LiveKit did not answer. An outage of the store or the broker stops
    the rest, and is raised as it is."""
    gate, outages = asyncio.Semaphore(_SIDE_BY_SIDE), list[LiveKitUnavailable]()
    try:
        async with asyncio.TaskGroup() as group:
            for name, look in looks:
                group.create_task(_one(gate, outages, name, look), name=f"look at {name}")
    except ExceptionGroup as errors:
        if errors.split(Outage)[1] is not None:
            raise
        raise errors.exceptions[0] from None
    return outages


async def _one(gate: asyncio.Semaphore, outages: list[LiveKitUnavailable], name: str, look: Look) -> None:
    async with gate:
        if len(outages) >= _OUTAGES:
            return
        try:
            await look()
        except LiveKitRefused as error:
            log.error("reconcile.refused", room=name, error=str(error))
        except LiveKitUnavailable as error:
            log.warning("reconcile.no_answer", room=name, error=str(error))
            outages.append(error)
