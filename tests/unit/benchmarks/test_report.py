"""What the benchmarks make of their rounds. How long anything takes is never a test."""

from datetime import UTC, datetime

import pytest

from benchmarks.calls import API_KEY, API_SECRET, STORY, interleaved, signed_headers, webhook
from benchmarks.figures import Bound, Figure, Target, percentile, table
from benchmarks.measures import Latency, Pace
from benchmarks.results import Collected, figures
from webhook_ingress.events import WebhookEvent, read_event
from webhook_ingress.verify import Verified, verify

ROUND = Pace(per_second=500.0, cpu_ms=1.0), Pace(per_second=1_000.0, cpu_ms=0.5)


def collected() -> Collected:
    cost = {"wall_us": [120.0], "cpu_us": [100.0]}
    return Collected(
        http=[ROUND],
        backlog=[ROUND],
        latency=[Latency(jobs_ms=[1.0, 2.0, 40.0], late_ms=0.1)],
        memory={"idle": (50.0, 80.0), "after load": (60.0, 130.0)},
        cost={"few": {"live": 10, "wall_us": [100.0], "cpu_us": [100.0]}, "many": {"live": 10_000, **cost}},
    )


def test_a_figure_is_the_median_of_its_rounds() -> None:
    """One round that went wrong does not decide."""
    assert Figure(name="x", unit="ratio", rounds=[0.3, 0.31, 9.0]).value == 0.31


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_measured_values(share: float, value: int) -> None:
    """The smallest value that so many do not exceed; nothing is interpolated."""
    assert percentile([float(each) for each in range(100, 0, -1)], share) == value


@pytest.mark.parametrize(
    ("bound", "figure", "met"),
    [
        (Bound.AT_LEAST, 1.0, True),
        (Bound.AT_LEAST, 0.99, False),
        (Bound.AT_MOST, 1.0, True),
        (Bound.AT_MOST, 1.01, False),
    ],
)
def test_a_target_is_met_on_its_side(bound: Bound, figure: float, met: bool) -> None:
    """Equal is met."""
    assert Target(bound=bound, value=1.0).met_by(figure) is met


def test_every_target_is_judged() -> None:
    """The report has each target once, with what was measured, and says which were missed."""
    found = {figure.name: figure for figure in figures(collected())}
    assert [figure.met for figure in found.values()] == [True, False, True, False, True, True, True, False]
    assert found["resident memory, worker"].value == 130.0


def test_the_table_says_what_was_missed() -> None:
    """A missed target cannot be overlooked; a met one is quiet."""
    text = table(figures(collected()))
    assert text.count("NOT MET") == 3
    assert "June/s 500" in text


def test_the_benchmarks_webhooks_are_accepted() -> None:
    """The ingress takes each webhook of a call as LiveKit's: signed, readable, of the call's room."""
    secrets = {API_KEY: API_SECRET.encode()}
    for event in STORY:
        body = webhook("call-1", event)
        token = signed_headers(body)["Authorization"]
        assert isinstance(verify([token], body, secrets, datetime.now(UTC)), Verified)
        assert read_event(body) == WebhookEvent(id=f"EV_{event}_call-1", event=event, room="call-1")


def test_each_call_keeps_its_order() -> None:
    """Calls are told side by side, and each of them from its beginning to its end."""
    told = list(interleaved([f"call-{number}" for number in range(100)]))
    assert len(told) == 100 * len(STORY)
    for number in range(100):
        assert tuple(event for name, event in told if name == f"call-{number}") == STORY
