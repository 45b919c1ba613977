"""The measurements of one round, each of them June and its yardstick one right after the other, in turns first.

Promises: what is counted is what is safe: a 2xx whose event is in a queue, an event that is acked. Anything else than a
complete round raises `BenchFailed`; a slow one does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.children import BenchFailed, Child
from benchmarks.load.report import moment_s
from benchmarks.plan import Plan
from benchmarks.stage import Ingress, Stage
from benchmarks.vhosts import JOB_QUEUES, PARTITION_QUEUES, empty

_BEYOND = timedelta(seconds=60)
_BACKLOG_WITHIN_S = 120.0
_LOOK_EVERY_S = 0.02
_SELDOM_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast something went, and its own CPU time for it."""

    per_second: float
    cpu_ms: float
    """For each request or event."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """A round at a steady rate, in milliseconds. `late_ms`: how late the generator itself was at worst."""

    jobs_ms: list[float]
    late_ms: float


class _Progress:
    """Asks how many of `events` are handled, as seldom as can be: each asking costs the worker milliseconds.

    Again when half of the rest should be done, by what was done so far.
    """

    def __init__(self, handled: Callable[[], int], events: int) -> None:
        self._handled = handled
        self._events = events
        self._begun_s: float | None = None
        self._next_s = 0.0

    def done(self) -> float | None:
        """When all of them were handled; `None` before."""
        now = moment_s()
        if self._begun_s is None:
            self._begun_s = now
        if now < self._next_s:
            return None
        handled = self._handled()
        if handled >= self._events:
            return moment_s()
        took_s = now - self._begun_s
        rest_s = took_s * (self._events - handled) / handled if handled else 0.0
        self._next_s = now + min(rest_s / 2, _SELDOM_S)
        return None


class Rounds:
    """Measures on a stage; each measurement has a number, which tells whose turn it is to go first."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._plan = plan

    def http(self, number: int) -> tuple[Pace, Pace]:
        """The ingress, and the bare server."""
        return _in_turns(number, self._ingress, lambda: self._posts(self._stage.bare, self._stage.bare_port))

    def backlog(self, number: int) -> tuple[Pace, Pace]:
        """The worker, and the raw loop, at a backlog of whole calls."""
        return _in_turns(number, lambda: self._worker(number), lambda: self._raw(number))

    def latency(self, number: int) -> Latency:
        """From the webhook to the job, through ingress, worker and database."""
        seconds = self._plan.latency_for.total_seconds()
        front = self._stage.front
        load = self._load("latency", front.port, front.amqp_url, f"latency-{number}", seconds)
        result = load.result(self._plan.latency_for + _BEYOND)
        if result["refused"] or result["missing"]:
            raise BenchFailed(
                f"latency: {result['refused']} webhooks refused, {result['missing']} jobs missing"
            )
        return Latency(jobs_ms=result["jobs_ms"], late_ms=result["late_ms"])

    def _ingress(self) -> Pace:
        ingress = self._stage.alone
        return self._posts(ingress.process, ingress.port, in_queue=ingress)

    def _posts(self, subject: Child, port: int, *, in_queue: Ingress | None = None) -> Pace:
        before = subject.cpu_s()
        result = self._load("posts", port, self._plan.http_for.total_seconds()).result(_BEYOND)
        cpu_s = subject.cpu_s() - before
        answers: dict[str, int] = result["answers"]
        if set(answers) - {"200", "early"} or "200" not in answers:
            raise BenchFailed(f"{subject.name}: answers other than 200: {answers}")
        sent = sum(answers.values())
        if in_queue is not None and (there := empty(in_queue.amqp_url, PARTITION_QUEUES)) != sent:
            raise BenchFailed(f"{subject.name}: {sent} webhooks were answered 200, and {there} are in queues")
        return Pace(per_second=answers["200"] / result["seconds"], cpu_ms=cpu_s / sent * 1000)

    def _worker(self, number: int) -> Pace:
        worker, events = self._stage.worker, self._plan.backlog_events
        before = worker.messages()
        progress = _Progress(lambda: worker.messages().get("handled", 0) - before.get("handled", 0), events)
        pace = self._drain(worker.process, worker.amqp_url, f"worker-{number}", progress.done)
        after = worker.messages()
        gained = {name: count - before.get(name, 0) for name, count in after.items()}
        if gained != {**dict.fromkeys(gained, 0), "handled": events}:
            raise BenchFailed(f"worker: {events} events were given, and it made of them {gained}")
        empty(worker.amqp_url, JOB_QUEUES)
        return pace

    def _raw(self, number: int) -> Pace:
        raw = self._stage.raw
        before = len(raw.done_at())
        return self._drain(
            raw.process, raw.amqp_url, f"raw-{number}", lambda: next(iter(raw.done_at()[before:]), None)
        )

    def _drain(self, subject: Child, url: str, name: str, done: Callable[[], float | None]) -> Pace:
        """It stands still while the backlog comes, then goes, until `done` tells the moment of the last ack."""
        events = self._plan.backlog_events
        subject.pause()
        try:
            self._load("backlog", url, name, events).result(_BEYOND)
            before, begun = subject.cpu_s(), moment_s()
        finally:
            subject.resume()
        ended: list[float] = []
        subject.wait_until(
            lambda: _noted(done(), ended),
            f"{events} events",
            within_s=_BACKLOG_WITHIN_S,
            look_every_s=_LOOK_EVERY_S,
        )
        return Pace(per_second=events / (ended[0] - begun), cpu_ms=(subject.cpu_s() - before) / events * 1000)

    def _load(self, kind: str, *arguments: object) -> Child:
        return Child(f"load_{kind}", f"benchmarks.load.{kind}", *arguments, folder=self._stage.folder)


def _in_turns(number: int, ours: Callable[[], Pace], theirs: Callable[[], Pace]) -> tuple[Pace, Pace]:
    if number % 2:
        second = theirs()
        return ours(), second
    return ours(), theirs()


def _noted(moment: float | None, ended: list[float]) -> bool:
    if moment is not None:
        ended.append(moment)
    return moment is not None


def sessions_cost(plan: Plan, folder: Path) -> dict[str, Any]:
    """See `benchmarks.subjects.sessions_cost`."""
    child = Child(
        "sessions_cost",
        "benchmarks.subjects.sessions_cost",
        folder,
        plan.rounds,
        plan.cost_calls,
        folder=folder,
    )
    return child.result(timedelta(minutes=3))
