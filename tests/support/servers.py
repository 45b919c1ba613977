"""Which tests need which real server, and how a run with or without them is made."""

import os
from collections.abc import Iterable

import pytest

FIXTURES = {
    "rabbitmq": {"rabbitmq_version", "rabbitmq_server", "amqp_url", "own_rabbitmq"},
    "postgres": {"postgres_server", "postgres_url", "own_postgres"},
    "livekit": {"livekit_server", "livekit", "start_livekit"},
}
"""The marker of each server, and the fixtures that start it."""


def fast() -> bool:
    """JUNE_TEST_FAST=1: only the tests that need no server and no second of their own, with fewer random
    examples."""
    return os.environ.get("JUNE_TEST_FAST", "") not in {"", "0"}


def examples(many: int) -> int:
    """So many random examples, a quarter of them in the fast run."""
    return max(5, many // 4) if fast() else many


def mark(items: Iterable[pytest.Item]) -> None:
    """Gives each test the marker of the servers that its fixtures start."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        for marker, fixtures in FIXTURES.items():
            if names & fixtures:
                item.add_marker(marker)


def is_fast(item: pytest.Item) -> bool:
    """Whether the fast run has it."""
    return not needed(item) and item.get_closest_marker("slow") is None


def needed(item: pytest.Item) -> set[str]:
    """The servers of one test, once it is marked."""
    return {name for name in FIXTURES if item.get_closest_marker(name)}
