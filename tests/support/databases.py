"""SQLite databases that have their tables already, by copying one: making them takes longer than most tests do."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

from worker.adapters.sql.migrate import SQLITE_LOCK, migrate
from worker.adapters.sql.sqlite_driver import SqliteDriver


def database_in(folder: Path) -> str:
    """The URL of `june.db` in the folder: the one that is there, else an empty one with all tables."""
    path = folder / "june.db"
    if not path.exists():
        shutil.copy(_empty(), path)
    return f"sqlite:///{path}"


@functools.cache
def _empty() -> Path:
    """Made once for each process, and gone with it."""
    folder = Path(tempfile.mkdtemp(prefix="june-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    driver = SqliteDriver(folder / "june.db")
    migrate("sqlite", driver.create, SQLITE_LOCK)
    with closing(driver.connect()) as connection:
        # All of it into the one file that is copied.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder / "june.db"
