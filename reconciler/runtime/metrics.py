"""What the runtime counts, for Prometheus: requests by route and status, and how long they took.

Before it comes `runtime/observe.py`, which tells it of each request; after it `GET /metrics`. Routes are counted by
their pattern, never by their path: names, ids and secrets are no labels.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """The counters of one runtime; `registry` takes those of other parts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "reconciler_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "reconciler_http_request_seconds",
            "Time from a request's head to its answer's end",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Counts one request; `seconds` None: a stream, whose length says nothing."""
        self._requests.labels(method, route, status).inc()
        if seconds is not None:
            self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)
