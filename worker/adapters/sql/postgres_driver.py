"""PostgreSQL by psycopg 3.

Promises: repeatable read: a work sees one state of the database, in whatever order it reads; when somebody else
wrote what it writes, that is a conflict. Connecting, waiting for a lock, and a connection that went dead each end
within seconds. A worker that is stopped in the middle of a transaction loses its locks after ten.
Refuses: to show a password: errors name the server, never the settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

import psycopg
from psycopg import errors as pg
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from worker.adapters.sql.driver import Connection, Cursor
from worker.adapters.sql.statements import Statements, postgres_statements
from worker.application.failures import Conflict, Permanent, StoreUnavailable

_LIMITS = "-c statement_timeout=10s -c idle_in_transaction_session_timeout=10s"
_LIVENESS = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "june-worker",
}


class PostgresDriver:
    """`worker.adapters.sql.driver.Driver` for one database."""

    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    # Repeatable read would fail once more if the row changed while its lock was waited for. Nothing of a session is
    # written without its row, so behind that lock what is read stays as it is, too.
    begin_locked = "BEGIN ISOLATION LEVEL READ COMMITTED"
    rerun_pause = timedelta(milliseconds=5)
    errors = psycopg.Error

    def __init__(self, url: URL) -> None:
        dialect: Any = PGDialect_psycopg
        _, given = dialect().create_connect_args(url)
        self._arguments: dict[str, Any] = _LIVENESS | given
        self._arguments["options"] = f"{_LIMITS} {given.get('options', '')}".strip()

    @cached_property
    def statements(self) -> Statements:
        """Compiled at the first use."""
        return postgres_statements()

    def connect(self) -> psycopg.Connection[Any]:
        """Within about five seconds for each address of the server."""
        return psycopg.connect(autocommit=True, **self._arguments)

    def lost(self, connection: Connection) -> bool:
        """Whether the server or the network closed it."""
        return isinstance(connection, psycopg.Connection) and connection.closed

    def data_version(self, cursor: Cursor) -> None:
        """None: others write at the same time."""

    def new_numbers(self, cursor: Cursor, count: int) -> Sequence[int]:  # noqa: ARG002 - it says them all
        """What the statement returns. Rows are numbered in their order, whatever others insert between them."""
        return sorted(number for (number,) in cursor.fetchall())

    def failure(self, error: Exception) -> Exception:
        """See `Driver.failure`. What a missing table means is an outage too: somebody is restoring the database."""
        match error:
            case pg.SerializationFailure() | pg.DeadlockDetected() | pg.UniqueViolation():
                return Conflict(_name(error))
            case psycopg.IntegrityError() | psycopg.DataError() | pg.ProgramLimitExceeded():
                return Permanent(_name(error))
            case psycopg.Error():
                return StoreUnavailable(_name(error, str(error)))
            case _:
                return error


def _name(error: psycopg.Error, text: str = "") -> str:
    """The class of the error says what happened; texts of data errors are left out, for they may quote values."""
    said = " ".join(text.split())
    return f"PostgreSQL {type(error).__name__}: {said}" if said else f"PostgreSQL {type(error).__name__}"
