"""What the ingress counts. Label values are few, whatever senders write."""

from typing import Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from webhook_ingress.verify import Reason

_KNOWN_EVENTS = frozenset({
    "room_started", "room_finished", "participant_joined", "participant_left",
    "participant_connection_aborted", "track_published", "track_unpublished", "egress_started",
    "egress_updated", "egress_ended", "ingress_started", "ingress_ended", "agent_job_started",
    "agent_job_ended",
})  # fmt: skip
_OTHER = "other"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class SpoolFigures(Protocol):
    """What is told of a spool."""

    @property
    def waiting(self) -> int: ...
    @property
    def used_bytes(self) -> int: ...
    @property
    def oldest_s(self) -> float: ...
    @property
    def damages(self) -> int: ...


class Metrics:
    """The counters of one process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._events = Counter(
            "june_ingress_events", "Signed events that came in, by name.", ["event"], registry=registry
        )
        self._answers = Counter(
            "june_ingress_answers", "Requests answered, by HTTP status.", ["status"], registry=registry
        )
        self._refused = Counter(
            "june_ingress_refused",
            "Webhooks whose token was refused, by reason.",
            ["reason"],
            registry=registry,
        )
        self._dead = Counter(
            "june_ingress_unreadable",
            "Signed webhooks that were dead-lettered as unreadable.",
            registry=registry,
        )
        # Looked up once: each event counts twice.
        self._came_in = {name: self._events.labels(name) for name in (*_KNOWN_EVENTS, _OTHER)}
        self._answered: dict[int, Counter] = {}
        self._publish = Histogram(
            "june_ingress_publish_seconds",
            "From a verified webhook to where it is safe, or to giving up.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._spool_records = Gauge(
            "june_ingress_spool_records", "Events in the spool: depth.", registry=registry
        )
        self._spool_bytes = Gauge(
            "june_ingress_spool_bytes", "The size of the spool's files.", registry=registry
        )
        self._spool_oldest = Gauge(
            "june_ingress_spool_oldest_seconds",
            "The age of the oldest event in the spool.",
            registry=registry,
        )
        self._spool_damaged = Gauge(
            "june_ingress_spool_damaged",
            "Damaged places found in the spool since the start.",
            registry=registry,
        )

    def watch(self, spool: SpoolFigures) -> None:
        """Tell of this spool from now on."""
        self._spool_records.set_function(lambda: spool.waiting)
        self._spool_bytes.set_function(lambda: spool.used_bytes)
        self._spool_oldest.set_function(lambda: spool.oldest_s)
        self._spool_damaged.set_function(lambda: spool.damages)

    def answered(self, status: int) -> None:
        """A request was answered."""
        counter = self._answered.get(status)
        if counter is None:
            counter = self._answered[status] = self._answers.labels(str(status))
        counter.inc()

    def refused(self, reason: Reason) -> None:
        """A token was not right."""
        self._refused.labels(reason.value).inc()

    def came_in(self, event: str) -> None:
        """A signed event was read; names that LiveKit did not have when this was written count as `other`."""
        (self._came_in.get(event) or self._came_in[_OTHER]).inc()

    def unreadable(self) -> None:
        """A signed body was no event."""
        self._dead.inc()

    def published(self, seconds: float) -> None:
        """It took so long, safe or not."""
        self._publish.observe(seconds)
