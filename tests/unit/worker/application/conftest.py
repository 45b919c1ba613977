"""What the tests of use cases start from."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.bench_worker import BenchWorker, bench_worker
from tests.support.checked_cache import every_read_checked
from tests.support.world import World, a_world
from worker.domain.policy import Policy


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[BenchWorker]:
    """The use cases on SQLite and the fake LiveKit."""
    async with bench_worker(tmp_path) as worker:
        yield worker


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A worker and all around it, in memory. Leases outlast the tests: nobody takes a job here."""
    async with a_world(tmp_path, policy=Policy(lease=timedelta(days=1))) as world:
        yield world


@pytest.fixture(autouse=True)
def checked_cache() -> Iterator[None]:
    """Whatever these tests do, the store's cache answers as the database does."""
    with every_read_checked():
        yield
