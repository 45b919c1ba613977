"""Sessions, inbox, outbox, timers and errands in SQLite or PostgreSQL: `open_store(url)`, `await store.start()`."""

from worker.adapters.sql.factory import open_store
from worker.adapters.sql.migrate import SchemaTooNew
from worker.adapters.sql.store import SqlStore

__all__ = ["SchemaTooNew", "SqlStore", "open_store"]
