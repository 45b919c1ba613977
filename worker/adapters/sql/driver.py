"""What the store needs of a database driver: a cursor, how a transaction begins, and what an error means.

Promises: `failure` is the only place where a driver's error gets a meaning:
somebody else wrote meanwhile → `Conflict`; the database is away, full, locked or shutting down → `StoreUnavailable`;
a value that it can never take → `Permanent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

from worker.adapters.sql.statements import Statements


class Cursor(Protocol):
    """The part of DB-API 2.0 that both drivers share, with parameters by place."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: str, parameters: Sequence[Any], /) -> Any: ...
    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """An open connection in autocommit: transactions are said in words."""

    def cursor(self) -> Cursor: ...
    def close(self) -> None: ...


class Driver(Protocol):
    """One database by one driver. Holds no connection, so it may be shared by threads."""

    @property
    def statements(self) -> Statements: ...
    @property
    def errors(self) -> type[Exception]:
        """The driver's base class of errors."""
        ...

    @property
    def begin(self) -> str:
        """Begins a transaction in which everything that is read stays as it was read."""
        ...

    @property
    def begin_locked(self) -> str:
        """Begins a transaction that locks one session's row before anything is read; see `Runner`."""
        ...

    @property
    def rerun_pause(self) -> timedelta:
        """About how long to wait before a work is run again that met a conflict over no session; doubled each time."""
        ...

    def connect(self) -> Connection:
        """Open a connection, within seconds. Raises the driver's errors."""
        ...

    def lost(self, connection: Connection) -> bool:
        """Whether the connection was found to be dead."""
        ...

    def data_version(self, cursor: Cursor) -> int | None:
        """As a transaction begins: a number that has changed when anybody else wrote, in a database with one writer at
        a time. `None`: others write at the same time, so nothing that was read before may be trusted."""
        ...

    def new_numbers(self, cursor: Cursor, count: int) -> Sequence[int]:
        """The numbers of the `count` rows that `cursor` has just inserted by a numbering statement, in their order."""
        ...

    def failure(self, error: Exception) -> Exception:
        """What the driver's error means. Its text holds no value of a row and no password."""
        ...
