"""SQLite by the standard library: one file, one writer at a time, durable at each commit.

Promises: write-ahead log with `synchronous=FULL`: what was committed survives a killed process and a lost power supply.
A transaction takes the write lock as it begins, so nothing that it read can change before it writes.
Refuses: in-memory databases, and to make a database file that is not there (migrating does that).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import cast

from worker.adapters.sql.driver import Connection, Cursor
from worker.adapters.sql.statements import Statements, sqlite_statements
from worker.application.failures import Conflict, Permanent, StoreUnavailable

_LOCK_WAIT_S = 5
_SETTINGS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA cache_size=-4000",  # 4 MB; the system caches the file as well
    "PRAGMA temp_store=MEMORY",
)
_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


class SqliteDriver:
    """`worker.adapters.sql.driver.Driver` for one database file."""

    begin = "BEGIN IMMEDIATE"
    begin_locked = begin
    rerun_pause = timedelta(0)
    errors = sqlite3.Error

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    @cached_property
    def statements(self) -> Statements:
        """Compiled at the first use."""
        return sqlite_statements()

    def connect(self) -> sqlite3.Connection:
        """Open the file that is there."""
        return self._open("rw")

    def create(self) -> sqlite3.Connection:
        """Open the file, or make it; its folder must be there."""
        return self._open("rwc")

    def lost(self, connection: Connection) -> bool:  # noqa: ARG002 - a file is not lost like a connection
        """Never."""
        return False

    def data_version(self, cursor: Cursor) -> int:
        """SQLite's own, of this connection."""
        version: int = cursor.execute("PRAGMA data_version", ()).fetchone()[0]
        return version

    def new_numbers(self, cursor: Cursor, count: int) -> Sequence[int]:
        """From the last one, since nobody else writes: `RETURNING` costs as much as the insert."""
        last = cast("sqlite3.Cursor", cursor).lastrowid or 0
        return range(last - count + 1, last + 1)

    def failure(self, error: Exception) -> Exception:
        """See `Driver.failure`. SQLite's texts name tables and columns, never values."""
        match error:
            case sqlite3.IntegrityError() if error.sqlite_errorcode in _TAKEN:
                return Conflict(str(error))
            case sqlite3.IntegrityError() | sqlite3.DataError() | sqlite3.ProgrammingError():
                return Permanent(f"SQLite: {error}")
            case sqlite3.Error():
                return StoreUnavailable(f"SQLite: {error}")
            case _:
                return error

    def _open(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode={mode}",
            uri=True,
            timeout=_LOCK_WAIT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            for setting in _SETTINGS:
                connection.execute(setting)
        except BaseException:
            connection.close()
            raise
        return connection
