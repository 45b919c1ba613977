"""The decision about a message after a try."""

from datetime import timedelta

import pytest

from messaging.failures import (
    BrokerUnavailable,
    Outage,
    Permanent,
    PublishTimeout,
    Refused,
    Transient,
    Unroutable,
)
from messaging.settlement import Ack, DeadLetter, Retry, RetryPolicy, Settlement, backoff, classify

MS = timedelta(milliseconds=1)
POLICY = RetryPolicy(tries=3, first=100 * MS, last=1000 * MS)


class NoSuchRoom(Permanent):
    """An application's own class."""

    reason = "no_such_room"


@pytest.mark.parametrize(
    ("error", "attempt", "decision"),
    [
        (None, 1, Ack()),
        (Outage("database"), 1, Retry(delay=100 * MS, counted=False)),
        (Outage("database"), 1000, Retry(delay=1000 * MS, counted=False)),
        (BrokerUnavailable("cut"), 9, Retry(delay=1000 * MS, counted=False)),
        (PublishTimeout(timedelta(seconds=1)), 2, Retry(delay=200 * MS, counted=False)),
        (Transient("busy"), 1, Retry(delay=100 * MS, counted=True)),
        (Refused("full"), 2, Retry(delay=200 * MS, counted=True)),
        (Transient("busy"), 3, DeadLetter(reason="transient", error="Transient: busy")),
        (NoSuchRoom("r1"), 1, DeadLetter(reason="no_such_room", error="NoSuchRoom: r1")),
        (Unroutable("x"), 1, DeadLetter(reason="unroutable", error="Unroutable: x")),
        (KeyError("sid"), 2, Retry(delay=200 * MS, counted=True)),
        (KeyError("sid"), 3, DeadLetter(reason="internal", error="KeyError: 'sid'")),
        (TimeoutError(), 3, DeadLetter(reason="internal", error="TimeoutError")),
    ],
)
def test_every_error_has_one_decision(error: Exception | None, attempt: int, decision: Settlement) -> None:
    """The class of the error and the number of the try decide, and nothing else."""
    assert classify(error, attempt=attempt, policy=POLICY) == decision


def test_delays_double_up_to_a_bound() -> None:
    """Delays grow from the first to the last, and stay there for ever."""
    assert [backoff(n, POLICY) / MS for n in (0, 1, 2, 3, 4, 5, 6, 10**9)] == [
        100, 100, 200, 400, 800, 1000, 1000, 1000,
    ]  # fmt: skip
