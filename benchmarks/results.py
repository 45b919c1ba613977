"""From what was measured to the lines of the report. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks import plan
from benchmarks.figures import Figure, Target, percentile
from benchmarks.measures import Latency, Pace


@dataclass(kw_only=True)
class Collected:
    """All rounds. `memory` has ingress and worker, in MB, by when; pairs are June's and the yardstick's."""

    http: list[tuple[Pace, Pace]] = field(default_factory=list)
    backlog: list[tuple[Pace, Pace]] = field(default_factory=list)
    latency: list[Latency] = field(default_factory=list)
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)


def figures(collected: Collected) -> list[Figure]:
    """The report's lines, in the order of the events' way."""
    return [
        _pace("ingress ÷ bare aiohttp POST", collected.http, plan.INGRESS, "bare aiohttp"),
        _pace(
            "worker ÷ raw aio-pika consume → publish → ack", collected.backlog, plan.WORKER, "raw aio-pika"
        ),
        *_latency(collected.latency),
        *_cost(collected.cost),
        *_memory(collected.memory),
    ]


def _pace(name: str, pairs: Sequence[tuple[Pace, Pace]], target: Target, yardstick: str) -> Figure:
    return Figure(
        name=name,
        unit="ratio",
        rounds=[ours.per_second / theirs.per_second for ours, theirs in pairs],
        target=target,
        details={
            "June/s": median(ours.per_second for ours, _ in pairs),
            f"{yardstick}/s": median(theirs.per_second for _, theirs in pairs),
            "June CPU ms each": median(ours.cpu_ms for ours, _ in pairs),
            f"{yardstick} CPU ms each": median(theirs.cpu_ms for _, theirs in pairs),
        },
    )


def _latency(rounds: Sequence[Latency]) -> list[Figure]:
    everything = [value for each in rounds for value in each.jobs_ms]

    def figure(name: str, share: float, target: Target, details: dict[str, float]) -> Figure:
        return Figure(
            name=f"webhook → job in hand, {plan.EVENTS_PER_SECOND} events/s, {name}",
            unit="ms",
            rounds=[percentile(each.jobs_ms, share) for each in rounds],
            overall=percentile(everything, share),
            target=target,
            details=details,
        )

    behind = {
        "jobs": float(len(everything)),
        "worst ms": max(everything),
        "generator late by ms": max(each.late_ms for each in rounds),
    }
    return [
        figure("p50", 0.5, plan.LATENCY_P50_MS, {}),
        figure("p99", 0.99, plan.LATENCY_P99_MS, behind),
    ]


def _cost(cost: dict[str, Any]) -> list[Figure]:
    few, many = cost["few"], cost["many"]

    def figure(name: str, key: str) -> Figure:
        return Figure(
            name=f"an event at {many['live']:,} ÷ at {few['live']:,} live sessions, {name}",
            unit="ratio",
            rounds=[slow / fast for slow, fast in zip(many[key], few[key], strict=True)],
            target=plan.COST,
            details={
                f"µs at {many['live']:,}": median(many[key]),
                f"µs at {few['live']:,}": median(few[key]),
            },
        )

    return [figure("time", "wall_us"), figure("CPU", "cpu_us")]


def _memory(memory: dict[str, tuple[float, float]]) -> list[Figure]:
    """The figure is the greater one of idle and after the load."""

    def figure(name: str, of: Callable[[tuple[float, float]], float]) -> Figure:
        values = {when: of(pair) for when, pair in memory.items()}
        return Figure(
            name=f"resident memory, {name}",
            unit="MB",
            rounds=list(values.values()),
            overall=max(values.values()),
            target=plan.MEMORY_MB,
            details=values,
        )

    return [figure("ingress", lambda pair: pair[0]), figure("worker", lambda pair: pair[1])]
