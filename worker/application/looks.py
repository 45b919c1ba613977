"""A look at one room: LiveKit is asked who is there, and what differs goes into the room's partition.

Promises: what is gone is said only after two lists, `SECOND_LOOK` apart, that both lack it; a room that changed its sid
meanwhile is left to the next look. LiveKit is asked at most so often a second. Raises an `Outage`; nothing is closed
then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from worker.application.comparison import Known, arrivals, departures, vanished
from worker.application.observations import observation
from worker.application.portions import portions
from worker.application.ports import (
    Clock,
    LiveKit,
    LiveParticipant,
    LiveRoom,
    Publisher,
    Store,
    Transaction,
)
from worker.domain.facts import RoomFact, RoomMissing, RoomRevived, RoomStarted
from worker.domain.model import ParticipantSid, RoomSid, SessionState, TrackSid

log = structlog.get_logger(__name__)

SECOND_LOOK = timedelta(seconds=2)
LOOKS_PER_SECOND = 20
"""How often one worker asks LiveKit to compare rooms: a pass over many that disagree must not be what ails LiveKit."""
_AT_ONCE = 200
"""How many rooms LiveKit is asked for by name in one call, and how many are told of together."""
Sleep = Callable[[float], Awaitable[None]]


class Pace:
    """Lets `per_second` calls through, evenly spread: what was not used is not saved up. `now` is in seconds."""

    def __init__(
        self,
        per_second: float = LOOKS_PER_SECOND,
        *,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gap = 1 / per_second
        self._sleep = sleep
        self._now = now
        self._next = 0.0

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        now = self._now()
        at = max(now, self._next)
        self._next = at + self._gap
        if at > now:
            await self._sleep(at - now)


class Looks:
    """Compares rooms one by one."""

    def __init__(
        self,
        *,
        store: Store,
        livekit: LiveKit,
        publisher: Publisher,
        clock: Clock,
        pace: Pace,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._livekit = livekit
        self._publisher = publisher
        self._clock = clock
        self._pace = pace
        self._sleep = sleep

    async def at(self, room_name: str) -> None:
        """Look at the room of this name, whatever is known of it."""
        room = await self._room(room_name)
        if room is not None:
            await self.inside(room)
            return
        session = await self._store.run(lambda tx: tx.live_session(room_name))
        if session is not None and session.room_sid is not None:
            await self.for_missing([(room_name, session.room_sid)])

    async def inside(self, room: LiveRoom, *, revived: bool = False) -> None:
        """Compare the people and tracks of a room that LiveKit has."""
        sid = RoomSid(room.sid)
        people = await self._people(room.name)
        known = await self._store.run(lambda tx: _known(tx, sid, people))
        gone = vanished(known, people)
        if gone:
            await self._sleep(SECOND_LOOK.total_seconds())
            gone &= vanished(known, await self._people(room.name))
        now = self._clock.now()
        facts: list[RoomFact] = [
            *departures(sid, room.name, known, gone, now),
            *arrivals(sid, room.name, known, people, now),
        ]
        if not facts and not revived and not await self._is_strange(room):
            return
        there = await self._room(room.name)
        if there is None or there.sid != room.sid:
            return
        first = RoomRevived if revived else RoomStarted
        here = first(room_sid=sid, room_name=room.name, at=now, room_created_at=room.created_at)
        await self._tell({room.name: [here, *facts]})

    async def for_missing(self, rooms: Sequence[tuple[str, RoomSid]]) -> None:
        """A list of rooms lacked these: ask for them by name, twice, before saying so. What is there in their place
        under another sid is left to the next look."""
        absent = await self._absent(rooms)
        if not absent:
            return
        await self._sleep(SECOND_LOOK.total_seconds())
        absent = await self._absent(absent)
        now = self._clock.now()
        for some in portions(absent, _AT_ONCE):
            await self._tell(
                {name: [RoomMissing(room_sid=sid, room_name=name, at=now)] for name, sid in some}
            )

    async def _is_strange(self, room: LiveRoom) -> bool:
        """The room itself is news: nobody knows its sid, or its session is in another room."""

        def work(tx: Transaction) -> bool:
            known = tx.room(RoomSid(room.sid))
            session = tx.live_session(room.name)
            if session is None or session.state is SessionState.RESERVED:
                return known is None and session is None
            return session.room_sid != room.sid and (known is None or not known.gone)

        return await self._store.run(work)

    async def _tell(self, news: Mapping[str, Sequence[RoomFact]]) -> None:
        """What was observed, by the rooms' names."""
        for name, facts in news.items():
            log.warning("room.repaired", room=name, facts=[type(fact).__name__ for fact in facts])
        now = self._clock.now()
        await self._publisher.publish([observation(name, facts, now) for name, facts in news.items()])

    async def _absent(self, rooms: Sequence[tuple[str, RoomSid]]) -> list[tuple[str, RoomSid]]:
        """Those of these that LiveKit does not have under these sids."""
        absent: list[tuple[str, RoomSid]] = []
        for some in portions(rooms, _AT_ONCE):
            await self._pace.turn()
            there = {room.name: room.sid for room in await self._livekit.rooms([name for name, _ in some])}
            absent += [(name, sid) for name, sid in some if there.get(name) != sid]
        return absent

    async def _room(self, name: str) -> LiveRoom | None:
        await self._pace.turn()
        return await self._livekit.room(name)

    async def _people(self, room_name: str) -> Sequence[LiveParticipant]:
        await self._pace.turn()
        return await self._livekit.participants(room_name)


def _known(tx: Transaction, room_sid: RoomSid, people: Sequence[LiveParticipant]) -> Known:
    sids = [ParticipantSid(one.sid) for one in people]
    tracks = [TrackSid(track.sid) for one in people for track in one.tracks]
    return Known(
        participants=tuple(tx.live_participants(room_sid)),
        tracks=tuple(tx.live_tracks(room_sid)),
        participants_ever=frozenset(sid for sid in sids if tx.participant(room_sid, sid) is not None),
        tracks_ever=frozenset(sid for sid in tracks if tx.track(room_sid, sid) is not None),
    )
