"""What the HTTP API counts. Label values are few, whatever is asked for."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Registered once in a process."""
        self._requests = Counter(
            "june_api_requests",
            "Requests answered, by route and status.",
            ["route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "june_api_request_seconds",
            "From a request to its answer, by route; event streams are not in it.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._streams = Gauge("june_api_event_streams", "Event streams that are open.", registry=registry)
        self._events = Counter("june_api_events_sent", "Events written to streams.", registry=registry)

    def answered(self, route: str, status: int, seconds: float | None) -> None:
        """A request was answered; None for an event stream, whose time says nothing."""
        self._requests.labels(route, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(route).observe(seconds)

    def streams(self, count: int) -> None:
        """So many event streams are open."""
        self._streams.set(count)

    def event_sent(self) -> None:
        """An event was written to a stream."""
        self._events.inc()
