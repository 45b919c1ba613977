"""A bench worker for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bench_worker import BenchWorker, bench_worker


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[BenchWorker]:
    """The use cases on SQLite and the fake LiveKit."""
    async with bench_worker(tmp_path) as worker:
        yield worker
