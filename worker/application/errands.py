"""What LiveKit is to be asked because a decision said so: close a room, take somebody out. Repeated until it is done.

Promises: an errand is stored with the decision, tried at once after the commit, and then again with backoff until
LiveKit did it or it is not wanted any more, by one worker at a time; a crash forgets none. A room is never closed over
a live session of its name; one that was asked for and came to nothing is none. Nobody is taken out for a session that
has ended: who has the room by then may be another one's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

import structlog

from worker.application.failures import LiveKitRefused, LiveKitUnavailable, Outage
from worker.application.ports import Clock, ErrandKind, LiveKit, RoomErrand, Store, Transaction
from worker.domain.lifecycle import is_abandoned
from worker.domain.model import SessionId, SessionState

log = structlog.get_logger(__name__)

FIRST_TRY = timedelta(seconds=6)
"""For so long an errand belongs to whoever put it, and no round takes it; a call to LiveKit fits into half of it."""
_CLAIM = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(seconds=10)
_SIDE_BY_SIDE = 8


class Tried(StrEnum):
    """What came of trying an errand."""

    DONE = "done"
    """Or not wanted any more, or refused for good."""
    LATER = "later"
    """LiveKit is away."""
    SOON = "soon"
    """A command is at work that makes it needless, or does it itself."""


class _TooEarly(Exception):
    """It may have to be done, and that is not known yet."""


class Errands:
    """Runs errands, those just made and those left behind."""

    def __init__(
        self, *, store: Store, livekit: LiveKit, clock: Clock, look: Callable[[str], Awaitable[None]]
    ) -> None:
        self._look = look
        self._store = store
        self._livekit = livekit
        self._clock = clock
        self._fresh: asyncio.Queue[RoomErrand] = asyncio.Queue()

    def soon(self, errands: Sequence[RoomErrand]) -> None:
        """Try these as soon as possible; never blocks. What is forgotten here is found by `round`."""
        for errand in errands:
            self._fresh.put_nowait(errand)

    async def run_fresh(self) -> None:
        """Carry out what `soon` was given, for ever, a few side by side."""
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(self._worker(), name=f"errands-{number}")

    async def round(self, *, limit: int = 50) -> int:
        """Carry out what is due now, a few side by side: a LiveKit that hangs holds each up. How many errands that
        were. Raises an `Outage` of the store or the broker, when all others are done."""
        due = await self._store.due_errands(self._clock.now(), limit=limit, claim=_CLAIM)
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(errand: RoomErrand) -> None:
            async with gate:
                await self.carry_out(errand)

        outcomes = await asyncio.gather(*map(one, due), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        return len(due)

    async def carry_out(self, errand: RoomErrand) -> Tried:
        """Try it now. Raises an `Outage` of the store or the broker; it stays an errand then."""
        try:
            await self._ask(errand)
        except (LiveKitUnavailable, _TooEarly) as error:
            wait = backoff(errand.attempts)
            log.warning(
                "errand.postponed",
                kind=errand.kind,
                room=errand.room_name,
                error=str(error),
                again_in_s=wait.total_seconds(),
            )
            await self._store.retry_errand(errand.errand_id, self._clock.now() + wait)
            return Tried.SOON if isinstance(error, _TooEarly) else Tried.LATER
        except LiveKitRefused as error:
            log.error("errand.refused", kind=errand.kind, room=errand.room_name, error=str(error))
        await self._store.done_errand(errand.errand_id)
        return Tried.DONE

    async def _worker(self) -> None:
        while True:
            errand = await self._fresh.get()
            if self._clock.now() - errand.due_at > FIRST_TRY / 2:
                continue  # It would not be done before a round takes it.
            try:
                await self.carry_out(errand)
            except Outage as error:
                log.warning("errand.postponed", kind=errand.kind, room=errand.room_name, error=str(error))

    async def _ask(self, errand: RoomErrand) -> None:
        match errand.kind:
            case ErrandKind.CLOSE_ROOM:
                await self._close(errand.room_name)
            case ErrandKind.REMOVE_PARTICIPANT:
                await self._remove(errand, errand.identity or "")
            case ErrandKind.LOOK_AT_ROOM:
                await self._look(errand.room_name)
            case _:
                assert_never(errand.kind)

    async def _close(self, room_name: str) -> None:
        """Unless a session lives in it; one that is only asked for is waited for, and may come to nothing."""
        session = await self._store.run(lambda tx: tx.live_session(room_name))
        if session is None or is_abandoned(session, self._clock.now()):
            await self._livekit.delete_room(room_name)
            log.info("room.closed", room=room_name)
        elif session.state is SessionState.RESERVED:
            raise _TooEarly("a session of this room's name is being made")

    async def _remove(self, errand: RoomErrand, identity: str) -> None:
        """Unless a new token let the identity in again meanwhile, or the session is over and with it its room."""
        session_id = SessionId(errand.session_id or "")

        def stands(tx: Transaction) -> bool:
            session = tx.session(session_id)
            return session is not None and session.live and tx.removal(session_id, identity) is not None

        if not await self._store.run(stands):
            return
        await self._livekit.remove_participant(errand.room_name, identity)
        log.info("participant.removed_again", room=errand.room_name)


def backoff(attempts: int) -> timedelta:
    """1, 2, 4, 8, 10 s."""
    return min(timedelta(seconds=2.0 ** min(attempts, 10)), _LONGEST_WAIT)
