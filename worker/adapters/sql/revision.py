"""Which revision a database's tables have, and which this version of June would bring them to. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError

from worker.adapters.sql.migrate import SCRIPTS
from worker.adapters.sql.postgres_driver import PostgresDriver
from worker.adapters.sql.sqlite_driver import SqliteDriver
from worker.application.failures import StoreUnavailable


@dataclass(frozen=True, kw_only=True)
class Revision:
    """`found` is None where no June has been yet; `unknown`: a newer June has migrated it."""

    found: str | None
    newest: str
    unknown: bool


def revision(url: str) -> Revision:
    """Of the database at a URL that `open_store` takes. Raises StoreUnavailable: a file that is not there, too."""
    parsed = make_url(url)
    if parsed.drivername == "sqlite":
        return _revision("sqlite", SqliteDriver(Path(parsed.database or "")))
    return _revision("postgresql+psycopg", PostgresDriver(parsed))


def _revision(dialect: str, driver: SqliteDriver | PostgresDriver) -> Revision:
    engine = create_engine(f"{dialect}://", creator=driver.connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_heads()
    except DBAPIError as error:
        cause = error.orig if isinstance(error.orig, Exception) else error
        raise StoreUnavailable(str(driver.failure(cause))) from error
    except driver.errors as error:
        raise StoreUnavailable(str(driver.failure(error))) from error
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    return Revision(
        found=", ".join(sorted(found)) or None,
        newest=", ".join(sorted(scripts.get_heads())),
        unknown=not set(found) <= known,
    )
