"""`worker.application.ports.Store` over SQL: works go to the lanes; sweeps and lazy forgetting are works as well.

Promises: see the port. Outbox rows that the broker confirmed are deleted together, about a fifth of a second later, and
are not given out as unsent meanwhile. `start` waits for a database that is not there, and says so every few seconds.
Refuses: to be used before `start`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import structlog

from worker.adapters.sql import rows, upkeep
from worker.adapters.sql.codecs import moment_us
from worker.adapters.sql.lanes import Lanes
from worker.adapters.sql.rows import Shape
from worker.adapters.sql.statements import Statement
from worker.adapters.sql.transaction import SqlTransaction
from worker.application.failures import StoreUnavailable
from worker.application.ports import DueTimer, OutboxMessage, RoomErrand, SessionCounts, Transaction

T = TypeVar("T")
E = TypeVar("E")

FORGET_AFTER = timedelta(milliseconds=200)
UNSENT_CLAIM = timedelta(seconds=30)
"""For how long an unsent message belongs to the worker that took it."""
_CHECK_S = 2.0
_RETRY_S = 1.0
_SAY_EVERY = 3

_log = structlog.get_logger(__name__)


class SqlStore:
    """One database. `name` says which in logs, without secrets; `migrate` is synchronous and may be repeated."""

    def __init__(self, *, name: str, migrate: Callable[[], None], lanes: Lanes) -> None:
        self._name = name
        self._migrate = migrate
        self._lanes = lanes
        self._confirmed: set[int] = set()
        self._forgetting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Wait for the database, bring its tables up to date, begin. Raises `SchemaTooNew`."""
        tries = 0
        while True:
            try:
                await asyncio.to_thread(self._migrate)
                break
            except StoreUnavailable as outage:
                if tries % _SAY_EVERY == 0:
                    _log.warning("database.waiting", database=self._name, error=str(outage))
            tries += 1
            await asyncio.sleep(_RETRY_S)
        self._lanes.start()
        _log.info("database.ready", database=self._name)

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """One work, one transaction; see the port."""
        (outcome,) = await self._lanes.execute([work])
        if isinstance(outcome, Exception):
            raise outcome
        return cast("T", outcome)

    async def run_many(self, works: Sequence[Callable[[Transaction], T]]) -> Sequence[T | Exception]:
        """Each in a savepoint of its own; see the port."""
        return await self._lanes.execute(list(works))

    async def published(self, positions: Sequence[int]) -> None:
        """Forget them a little later, together with others."""
        self._confirmed.update(positions)
        if self._confirmed and self._forgetting is None:
            self._forgetting = asyncio.create_task(
                self._forget_soon(), name="store: forget published messages"
            )

    async def unsent(self, *, older_than: datetime, limit: int) -> Sequence[OutboxMessage]:
        """The oldest first. They are not given out again before `older_than` has moved on by `UNSENT_CLAIM`."""
        confirmed = set(self._confirmed)
        found = await self._sweep(
            lambda tx: _take(
                tx,
                rows.OUTBOX,
                ready=tx.statements.unsent,
                claim=tx.statements.claim_outbox,
                now=older_than,
                until=older_than + UNSENT_CLAIM,
                limit=limit,
                key=lambda message: {"this_position": message.position},
            )
        )
        confirmed |= self._confirmed
        return [message for message in found if message.position not in confirmed]

    async def due_timers(self, now: datetime, *, limit: int, claim: timedelta) -> Sequence[DueTimer]:
        """The most overdue first; see the port."""
        return await self._sweep(
            lambda tx: _take(
                tx,
                rows.TIMER,
                ready=tx.statements.due_timers,
                claim=tx.statements.claim_timer,
                now=now,
                until=now + claim,
                limit=limit,
                key=lambda timer: {"this_session_id": timer.session_id, "this_key": timer.key},
            )
        )

    async def done_timer(self, timer: DueTimer) -> None:
        """Forget it, unless it was set to another moment meanwhile."""
        due_us = moment_us(timer.due_at)
        await self._sweep(
            lambda tx: tx.run(
                tx.statements.done_timer, session_id=timer.session_id, key=timer.key, due_at=due_us
            )
        )

    async def due_errands(self, now: datetime, *, limit: int, claim: timedelta) -> Sequence[RoomErrand]:
        """The most overdue first; see the port."""
        return await self._sweep(
            lambda tx: _take(
                tx,
                rows.ERRAND,
                ready=tx.statements.due_errands,
                claim=tx.statements.claim_errand,
                now=now,
                until=now + claim,
                limit=limit,
                key=lambda errand: {"this_errand_id": errand.errand_id},
            )
        )

    async def done_errand(self, errand_id: int) -> None:
        """Forget it; absent is done."""
        await self._sweep(lambda tx: tx.run(tx.statements.done_errand, errand_id=errand_id))

    async def retry_errand(self, errand_id: int, due_at: datetime) -> None:
        """Due again at `due_at`, with one attempt more."""
        later_us = moment_us(due_at)
        await self._sweep(lambda tx: tx.run(tx.statements.retry_errand, this=errand_id, later=later_us))

    async def claim(self, name: str, holder: str, *, now: datetime, until: datetime) -> int:
        """See the port."""
        return await self._sweep(lambda tx: upkeep.claim(tx, name, holder, now=now, until=until))

    async def hold(self, name: str, holder: str, *, until: datetime, done: bool = False) -> None:
        """See the port."""
        await self._sweep(lambda tx: upkeep.hold(tx, name, holder, until=until, done=done))

    async def live_counts(self) -> Sequence[SessionCounts]:
        """See the port."""
        return await self._sweep(upkeep.live_counts)

    async def purge(self, now: datetime, *, retention: timedelta, limit: int) -> int:
        """See the port."""
        return await self._sweep(lambda tx: upkeep.purge(tx, now, retention=retention, limit=limit))

    async def check(self) -> None:
        """Begins, reads and commits; within two seconds."""
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._sweep(lambda tx: tx.seen(""))
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer of the database within {_CHECK_S:g} s") from error

    async def close(self) -> None:
        """Forget what was confirmed, if the database lets us; finish what was given; end."""
        if self._forgetting is not None:
            self._forgetting.cancel()
            await asyncio.wait([self._forgetting])
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_CHECK_S):
                await self._forget()
        await self._lanes.close()

    async def _forget_soon(self) -> None:
        try:
            while self._confirmed:
                await asyncio.sleep(FORGET_AFTER.total_seconds())
                # During an outage they are kept for the next round.
                with contextlib.suppress(StoreUnavailable):
                    await self._forget()
        finally:
            self._forgetting = None

    async def _forget(self) -> None:
        batch = sorted(self._confirmed)
        await self._sweep(lambda tx: tx.forget_outbox(batch))
        self._confirmed.difference_update(batch)

    async def _sweep(self, work: Callable[[SqlTransaction], T]) -> T:
        (outcome,) = await self._lanes.execute([work])
        if isinstance(outcome, Exception):
            raise outcome
        return cast("T", outcome)


def _take(
    tx: SqlTransaction,
    shape: Shape[E],
    *,
    ready: Statement,
    claim: Statement,
    now: datetime,
    until: datetime,
    limit: int,
    key: Callable[[E], dict[str, Any]],
) -> list[E]:
    """What is ready at `now`, made unready before `until`."""
    found = tx.all(shape, ready, now=moment_us(now), at_most=limit)
    until_us = moment_us(until)
    tx.run_many(claim, [key(entity) | {"until": until_us} for entity in found])
    return found
