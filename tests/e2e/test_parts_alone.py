"""Each part by itself, with no server anywhere: it waits, says so, and leaves when it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.servers import free_port
from tests.e2e.processes import Part, Parts, without_livekit
from tests.support.polling import until

pytestmark = pytest.mark.slow

NAMES = ("webhook_ingress", "worker", "session_api")
FEW_SECONDS = timedelta(seconds=2.5)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """Told of servers that are not there."""
    with without_livekit(f"amqp://guest:wonderland@127.0.0.1:{free_port()}/", tmp_path) as parts:
        yield parts


@pytest.mark.parametrize("name", NAMES)
async def test_a_signal_while_it_loads_is_exit_0(parts: Parts, name: str, tmp_path: Path) -> None:
    """Its modules are still being imported: there is nothing to drain, and SIGTERM is as good as later."""
    slow, loading = tmp_path / "slow", tmp_path / "loading"
    slow.mkdir()
    endless = f"import pathlib, time\npathlib.Path({str(loading)!r}).touch()\ntime.sleep(60)\n"
    (slow / "uvloop.py").write_text(endless)
    part = await parts.start(name, ready=False, PYTHONPATH=str(slow))
    await _until(part, loading.exists)
    await part.stop()


@pytest.mark.parametrize("name", NAMES)
async def test_a_broker_that_is_missing_is_one_line_each_few_seconds(parts: Parts, name: str) -> None:
    """It names where it looks, never the password; SIGTERM while it waits drains and exits 0."""
    part = await parts.start(name, ready=False)
    await _until(part, lambda: len(_lines(part, "broker.waiting")) >= 2)
    first, second, *_ = _lines(part, "broker.waiting")
    assert _at(second) - _at(first) > FEW_SECONDS
    assert first["host"] == second["host"]
    assert "wonderland" not in part.said
    await part.stop()


async def test_a_database_that_is_missing_is_said_too(parts: Parts) -> None:
    """A worker waits for PostgreSQL as it does for RabbitMQ."""
    url = f"postgresql://june:wonderland@127.0.0.1:{free_port()}/june"
    part = await parts.start("worker", ready=False, JUNE_DATABASE_URL=url)
    await _until(part, lambda: len(_lines(part, "database.waiting")) >= 2)
    first, second, *_ = _lines(part, "database.waiting")
    assert _at(second) - _at(first) > FEW_SECONDS
    assert "wonderland" not in part.said
    await part.stop()


async def _until(part: Part, holds: Callable[[], bool]) -> None:
    def holds_while_it_runs() -> bool:
        assert part.process.poll() is None, part.said
        return holds()

    await until(holds_while_it_runs)


def _lines(part: Part, event: str) -> list[dict[str, Any]]:
    lines = part.log.read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


def _at(line: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(line["timestamp"])
