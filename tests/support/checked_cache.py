"""A transaction that asks the database as well, whatever the cache answers: the two must agree, always.

Stands in the place of the cached one while a test runs, so that whatever that test does tests the cache, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from worker.adapters.sql import runner
from worker.adapters.sql.cached_transaction import CachedTransaction
from worker.adapters.sql.transaction import SqlTransaction

READS: Final = (
    "session",
    "room",
    "room_and_session",
    "participant",
    "live_participants",
    "track",
    "live_tracks",
    "job",
    "live_jobs",
    "conversation",
    "removal",
)


@contextmanager
def every_read_checked() -> Iterator[None]:
    """For the time of the block. Raises `AssertionError` at its end when the cache was wrong, whoever took that for a
    fault of the work."""
    wrong: list[str] = []
    checked = type(
        "CheckedTransaction", (CachedTransaction,), {name: _checked(name, wrong) for name in READS}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "CachedTransaction", checked)
        yield
    assert not wrong, wrong[0]


def _checked(name: str, wrong: list[str]) -> Callable[..., Any]:
    cached, asked = getattr(CachedTransaction, name), getattr(SqlTransaction, name)

    def read(tx: CachedTransaction, *arguments: Any) -> Any:
        known, there = cached(tx, *arguments), asked(tx, *arguments)
        if known != there:
            wrong.append(f"{name}{arguments}: the cache says {known}, the database {there}")
            raise AssertionError(wrong[-1])
        return known

    return read
