"""Counts what is asked of the service, for Prometheus: by method, route's template and status."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from serving.telemetry.access import Answered

# From a thumbnail to a CT on a slow line.
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0)


class RequestFigures:
    """Counts requests. The labels are of fixed lists, so an attacker's addresses make no new series.

    Attributes
    ----------
    registry : CollectorRegistry
        Where other parts' figures join these.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self._seconds = Histogram(
            "firstread_request_seconds",
            "Time to answer, by method, route and status.",
            labels,
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._bytes = Counter(
            "firstread_request_bytes",
            "Bytes of bodies, received and sent.",
            ["route", "direction"],
            registry=self.registry,
        )

    def observe(self, answered: Answered) -> None:
        """Count a request that was answered."""
        self._seconds.labels(answered.method, answered.route, str(answered.status)).observe(answered.seconds)
        self._bytes.labels(answered.route, "in").inc(answered.bytes_in)
        self._bytes.labels(answered.route, "out").inc(answered.bytes_out)
