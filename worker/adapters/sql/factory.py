"""From a URL to a store.

Promises: `sqlite:///june.db` (relative), `sqlite:////var/lib/june.db` (absolute) and `postgresql://user:password@host/name`.
Connects to nothing: `SqlStore.start` does. Refuses: other URLs, in-memory databases, and to repeat a URL in an error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from worker.adapters.sql.driver import Driver
from worker.adapters.sql.lanes import Lanes
from worker.adapters.sql.migrate import POSTGRES_LOCK, SQLITE_LOCK, migrate
from worker.adapters.sql.runner import Runner
from worker.adapters.sql.sqlite_driver import SqliteDriver
from worker.adapters.sql.store import SqlStore
from worker.application.failures import StoreUnavailable

_GROUP = 64
"""Works in a commit: many for one wait for the disk, and few enough that the broker gets the last ones meanwhile."""
_FORMS = (
    "a database URL is sqlite:///file, sqlite:////absolute/file or postgresql://user:password@host:port/name"
)


def open_store(url: str, *, connections: int = 4) -> SqlStore:
    """A store that is yet to be started. `connections`: to PostgreSQL, and so how many works run side by side."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(_FORMS) from None
    match parsed.drivername:
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return _sqlite(Path(parsed.database))
        case "postgresql" if parsed.database:
            return _postgres(parsed, connections)
        case _:
            raise ValueError(_FORMS)


def _sqlite(path: Path) -> SqlStore:
    driver = SqliteDriver(path)
    return SqlStore(
        name=f"sqlite:///{path}",
        migrate=_mapped(driver, lambda: migrate("sqlite", driver.create, SQLITE_LOCK)),
        lanes=Lanes([Runner(driver)], group=_GROUP),
    )


def _postgres(url: URL, connections: int) -> SqlStore:
    # Nine megabytes that a worker on SQLite has no use for.
    from worker.adapters.sql.postgres_driver import PostgresDriver  # noqa: PLC0415

    driver = PostgresDriver(url)
    return SqlStore(
        name=f"postgresql://{url.host or 'localhost'}:{url.port or 5432}/{url.database}",
        migrate=_mapped(driver, lambda: migrate("postgresql+psycopg", driver.connect, POSTGRES_LOCK)),
        lanes=Lanes([Runner(driver) for _ in range(connections)], group=1),
    )


def _mapped(driver: Driver, step: Callable[[], None]) -> Callable[[], None]:
    """The step with its driver's errors as outages: a start has nothing else to do than to try again."""

    def mapped() -> None:
        try:
            step()
        except DBAPIError as error:
            cause = error.orig if isinstance(error.orig, Exception) else error
            raise StoreUnavailable(str(driver.failure(cause))) from error
        except driver.errors as error:
            raise StoreUnavailable(str(driver.failure(error))) from error

    return mapped
