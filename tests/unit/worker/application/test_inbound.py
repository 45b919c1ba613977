"""What a partition's message is, from its bytes: anything is read or refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.application.inbound import Inbound, Refused, read_inbound
from worker.entrypoints.worker import as_fact

NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
EVENT = {"event": "room_started", "id": "EV_1", "room": {"sid": "RM_1", "name": "tea"}}


def read(body: Any) -> Inbound | Refused:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_inbound(raw, NOW, as_fact)


def test_an_event_is_read() -> None:
    """With its key for copies, its name, and its room for order."""
    inbound = read(EVENT)
    assert isinstance(inbound, Inbound)
    assert (inbound.key, inbound.name, inbound.room_name) == ("livekit|EV_1", "livekit.room_started", "tea")
    assert len(inbound.facts) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": ""},
        {"id": 5},
        {"id": "a\0b"},
        {"id": "E" * 256},
        {"id": "\u00fc" * 128},
        {"event": ""},
        {"event": "e" * 256},
        {"room": None},
        {"room": {"sid": "RM_1"}},
        {"room": {"name": "tea"}},
    ],
)
def test_an_event_that_cannot_be_read_is_refused(change: dict[str, Any]) -> None:
    """Also one with an id that the ingress would not have let through: no database could keep it."""
    refused = read(EVENT | change)
    assert isinstance(refused, Refused)
    assert refused.reason == "unreadable"


@pytest.mark.parametrize("length", [1, 255])
def test_ids_may_be_as_long_as_an_amqp_property(length: int) -> None:
    """255 bytes."""
    assert isinstance(read(EVENT | {"id": "E" * length, "event": "e" * length}), Inbound)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), _ANYTHING))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing is raised, and a refusal says why."""
    read_ = read(body)
    assert isinstance(read_, Inbound) or (read_.reason and read_.error)
