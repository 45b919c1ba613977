"""How much is measured, and what is hoped for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from benchmarks.figures import Bound, Target

CONNECTIONS: Final = 32
EVENTS_PER_SECOND: Final = 300
PREFETCH: Final = 16
FEW_SESSIONS: Final = 10
MANY_SESSIONS: Final = 10_000

INGRESS: Final = Target(bound=Bound.AT_LEAST, value=0.25)
WORKER: Final = Target(bound=Bound.AT_LEAST, value=1.0)
LATENCY_P50_MS: Final = Target(bound=Bound.AT_MOST, value=5)
LATENCY_P99_MS: Final = Target(bound=Bound.AT_MOST, value=25)
COST: Final = Target(bound=Bound.AT_MOST, value=1.2)
MEMORY_MB: Final = Target(bound=Bound.AT_MOST, value=120)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The size of a run. Each round measures everything once, so that a busy minute hits all of it alike."""

    rounds: int
    http_for: timedelta
    backlog_events: int
    latency_for: timedelta
    cost_calls: int


FULL: Final = Plan(
    rounds=7,
    http_for=timedelta(seconds=2),
    backlog_events=6_000,
    latency_for=timedelta(seconds=5),
    cost_calls=128,
)
QUICK: Final = Plan(
    rounds=5,
    http_for=timedelta(seconds=0.8),
    backlog_events=1_800,
    latency_for=timedelta(seconds=2),
    cost_calls=64,
)
