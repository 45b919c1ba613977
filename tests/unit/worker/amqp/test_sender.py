"""How a stored message goes over the wire."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.store.samples import message
from worker.adapters.amqp.sender import outgoing

S = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("waited", "left"),
    [
        (0 * S, 30 * S),
        (0.9 * S, 30 * S),
        (10.2 * S, 20 * S),
        (30 * S, 0 * S),
        (90 * S, 0 * S),
        (-5 * S, 30 * S),
    ],
)
def test_a_job_that_waited_to_be_sent_expires_when_it_says(waited: timedelta, left: timedelta) -> None:
    """Its queue keeps it for what is left of its lease, to the second; a clock that is behind adds nothing."""
    job = message()
    assert job.expires_after == 30 * S
    assert outgoing(job, job.created_at + waited).expiration == left


def test_an_event_does_not_expire() -> None:
    """However long it waited."""
    event = replace(message(), expires_after=None)
    assert outgoing(event, event.created_at + 90 * S).expiration is None
