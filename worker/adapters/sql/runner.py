"""Runs works on one connection: several in one transaction, each in a savepoint of its own, and one commit.

Promises: outcomes are in the order of the works, and a work's writes are there only when it returned. At a conflict
what came before is committed, then the work is run again on fresh state before the ones behind it, so order holds;
after `RERUNS` times the `Conflict` is its outcome. `StoreUnavailable` is raised for all: then the works are to be run
again, and those that were committed before the outage find their message in the inbox.
Refuses: threads; one runner belongs to one.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from worker.adapters.sql.driver import Connection, Cursor, Driver
from worker.adapters.sql.transaction import SqlTransaction
from worker.application.failures import Conflict, StoreUnavailable

RERUNS = 5

SqlWork = Callable[[SqlTransaction], Any]
Outcome = Any
"""What a work returned, or the exception that it raised."""


class _Committed(NamedTuple):
    outcomes: list[Outcome]
    conflict: Conflict | None
    """What stopped the work after these; `None` when there was no more."""


class Runner:
    """A connection that is opened when it is needed, and opened anew when it was lost."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._connection: Connection | None = None

    def run(self, works: Sequence[SqlWork]) -> list[Outcome]:
        """All of them, committed. Raises `StoreUnavailable`."""
        outcomes: list[Outcome] = []
        reruns = 0
        while len(outcomes) < len(works):
            done, conflict = self._commit(works[len(outcomes) :])
            outcomes += done
            if conflict is None:
                break
            reruns = 1 if done else reruns + 1
            if reruns > RERUNS:
                outcomes.append(conflict)
                reruns = 0
            else:
                self._pause(reruns)
        return outcomes

    def close(self) -> None:
        """Let the connection go; what was not committed is gone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(self._driver.errors):
                connection.close()

    def _commit(self, works: Sequence[SqlWork]) -> _Committed:
        """One transaction with as many of the works as go without a conflict."""
        try:
            cursor = self._begin()
            committed = self._each(cursor, works)
            cursor.execute("COMMIT", {})
        except StoreUnavailable:
            self.close()
            raise
        except self._driver.errors as error:
            self.close()
            raise StoreUnavailable(str(self._driver.failure(error))) from error
        except BaseException:
            self.close()
            raise
        return committed

    def _each(self, cursor: Cursor, works: Sequence[SqlWork]) -> _Committed:
        outcomes: list[Outcome] = []
        for work in works:
            outcome = self._one(cursor, work)
            if isinstance(outcome, Conflict):
                return _Committed(outcomes, outcome)
            outcomes.append(outcome)
        return _Committed(outcomes, None)

    def _one(self, cursor: Cursor, work: SqlWork) -> Outcome:
        cursor.execute("SAVEPOINT work", {})
        try:
            outcome = work(SqlTransaction(cursor, self._driver))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a work raises is its outcome, and its writes are undone
            outcome = error
            cursor.execute("ROLLBACK TO SAVEPOINT work", {})
        cursor.execute("RELEASE SAVEPOINT work", {})
        return outcome

    def _begin(self) -> Cursor:
        """A connection that died while it was idle is noticed here, where nothing is lost by opening another."""
        if self._connection is not None:
            cursor = self._connection.cursor()
            try:
                cursor.execute(self._driver.begin, {})
            except self._driver.errors:
                if not self._driver.lost(self._connection):
                    raise
                self.close()
            else:
                return cursor
        self._connection = self._driver.connect()
        cursor = self._connection.cursor()
        cursor.execute(self._driver.begin, {})
        return cursor

    def _pause(self, reruns: int) -> None:
        pause_s = self._driver.rerun_pause.total_seconds()
        if pause_s:
            time.sleep(random.uniform(0.5, 1.0) * pause_s * 2**reruns)  # noqa: S311 - spreads, guards nothing
