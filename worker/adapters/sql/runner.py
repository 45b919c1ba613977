"""Runs works on one connection: several in one transaction, and one commit.

Promises: outcomes are in the order of the works, and a work's writes are there only when it returned. Several go
without savepoints first, since nearly always none of them fails; when one does, all are rolled back and run again, each
in a savepoint of its own. At a conflict what came before is committed, then the work is run again on fresh state before
the ones behind it, so order holds: alone, and behind a lock on the session that the conflict was about, so that a busy
session starves nobody. After `RERUNS` more runs the `Conflict` is its outcome. `StoreUnavailable` is raised for all:
then the works are to be run again, and those that were committed before the outage find their message in the inbox.
Asks of works: nothing that another run would double but what the transaction does.
Refuses: threads; one runner belongs to one.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from worker.adapters.sql.cache import Cache
from worker.adapters.sql.cached_transaction import CachedTransaction
from worker.adapters.sql.driver import Connection, Cursor, Driver
from worker.adapters.sql.transaction import SessionConflict, SqlTransaction
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
        self._cache: Cache | None = None

    def run(self, works: Sequence[SqlWork]) -> list[Outcome]:
        """All of them, committed. Raises `StoreUnavailable`."""
        outcomes: list[Outcome] = []
        conflict: Conflict | None = None
        runs = 0
        while len(outcomes) < len(works):
            # What is run again goes alone: a short transaction is the likeliest to get through.
            behind = works[len(outcomes) :]
            done, conflict = self._commit(behind if conflict is None else behind[:1], _session_of(conflict))
            outcomes += done
            if conflict is None:
                runs = 0
                continue
            runs = 1 if done else runs + 1
            if runs > RERUNS:
                outcomes.append(conflict)
                conflict, runs = None, 0
            elif _session_of(conflict) is None:
                self._pause(runs)
        return outcomes

    def close(self) -> None:
        """Let the connection go; what was not committed is gone."""
        connection, self._connection = self._connection, None
        self._cache = None
        if connection is not None:
            with contextlib.suppress(self._driver.errors):
                connection.close()

    def _commit(self, works: Sequence[SqlWork], session_id: str | None) -> _Committed:
        """One transaction with as many of the works as go without a conflict; `session_id` is locked before."""
        try:
            cursor = self._open(session_id)
            committed = self._together(cursor, works, session_id)
            if committed is None:
                cursor = self._open(session_id)
                committed = self._apart(cursor, works, session_id)
                cursor.execute("COMMIT", ())
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

    def _open(self, session_id: str | None) -> Cursor:
        cursor = self._begin(self._driver.begin if session_id is None else self._driver.begin_locked)
        if session_id is not None:
            cursor.execute(self._driver.statements.lock_session.sql, (session_id,))
        if (version := self._driver.data_version(cursor)) is not None:
            self._cache = self._cache or Cache()
            self._cache.begin(version)
        return cursor

    def _transaction(self, cursor: Cursor, locked: str | None) -> SqlTransaction:
        if self._cache is None:
            return SqlTransaction(cursor, self._driver, locked=locked)
        return CachedTransaction(cursor, self._driver, self._cache, locked=locked)

    def _undo(self, cursor: Cursor, rollback: str) -> None:
        cursor.execute(rollback, ())
        if self._cache is not None:
            self._cache.undone()

    def _together(self, cursor: Cursor, works: Sequence[SqlWork], locked: str | None) -> _Committed | None:
        """To the end of the transaction. None when one of several failed: then nothing of them is there."""
        try:
            outcomes = [work(self._transaction(cursor, locked)) for work in works]
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a work raises is its outcome, and its writes are undone
            self._undo(cursor, "ROLLBACK")
            return _alone(error) if len(works) == 1 else None
        cursor.execute("COMMIT", ())
        return _Committed(outcomes, None)

    def _apart(self, cursor: Cursor, works: Sequence[SqlWork], locked: str | None) -> _Committed:
        outcomes: list[Outcome] = []
        for work in works:
            outcome = self._guarded(work, cursor, self._transaction(cursor, locked))
            if isinstance(outcome, Conflict):
                return _Committed(outcomes, outcome)
            outcomes.append(outcome)
        return _Committed(outcomes, None)

    def _guarded(self, work: SqlWork, cursor: Cursor, tx: SqlTransaction) -> Outcome:
        cursor.execute("SAVEPOINT work", ())
        try:
            outcome = work(tx)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a work raises is its outcome, and its writes are undone
            outcome = error
            self._undo(cursor, "ROLLBACK TO SAVEPOINT work")
        cursor.execute("RELEASE SAVEPOINT work", ())
        return outcome

    def _begin(self, begin: str) -> Cursor:
        """A connection that died while it was idle is noticed here, where nothing is lost by opening another."""
        if self._connection is not None:
            cursor = self._connection.cursor()
            try:
                cursor.execute(begin, ())
            except self._driver.errors:
                if not self._driver.lost(self._connection):
                    raise
                self.close()
            else:
                return cursor
        self._connection = self._driver.connect()
        cursor = self._connection.cursor()
        cursor.execute(begin, ())
        return cursor

    def _pause(self, runs: int) -> None:
        pause_s = self._driver.rerun_pause.total_seconds()
        if pause_s:
            time.sleep(random.uniform(0.5, 1.0) * pause_s * 2**runs)  # noqa: S311 - spreads, guards nothing


def _alone(error: Exception) -> _Committed:
    return _Committed([], error) if isinstance(error, Conflict) else _Committed([error], None)


def _session_of(conflict: Conflict | None) -> str | None:
    return conflict.session_id if isinstance(conflict, SessionConflict) else None
