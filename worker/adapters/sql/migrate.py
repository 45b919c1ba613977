"""Brings the tables up to date, at every start.

Promises: all migrations that are missing, in one transaction under a lock that other workers wait for, so several may
start at once; nothing is left half done. Refuses: a database that a newer June has migrated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine

SCRIPTS = Path(__file__).parent / "migrations"

SQLITE_LOCK = ("BEGIN IMMEDIATE",)
POSTGRES_LOCK = (
    "BEGIN",
    # Any number, as long as it is always the same and nobody else's.
    "SELECT pg_advisory_xact_lock(7508294119)",
    "SET LOCAL statement_timeout = 0",
)


class SchemaTooNew(Exception):
    """The database was migrated by a newer version of June: this one does not know what its tables mean."""


def migrate(dialect: str, connect: Callable[[], Any], lock: Sequence[str]) -> None:
    """Migrate to the newest revision. Raises SQLAlchemy's `DBAPIError`, the driver's errors, and `SchemaTooNew`."""
    engine = create_engine(f"{dialect}://", creator=connect, poolclass=NullPool)
    with engine.connect() as connection:
        for statement in lock:
            connection.exec_driver_sql(statement)
        _upgrade(connection)
        connection.commit()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    current = set(MigrationContext.configure(connection).get_current_heads())
    unknown = current - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise SchemaTooNew(
            f"the database is at revision {', '.join(sorted(unknown))}, which this version of June does not know; "
            "run the version that migrated it, or a newer one"
        )
    if current != set(scripts.get_heads()):
        command.upgrade(config, "heads")
