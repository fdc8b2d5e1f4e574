"""What the runtime counts, for Prometheus: requests, turns, queues, model calls and tokens, and how targets stand.

Before it come `runtime/observe.py`, which tells it of each request, and `runtime/turns.py`, which tells it of each
turn; after it `GET /metrics`. Routes are counted by their pattern, never by their path. Labels are names of targets,
instances and bots, of these a bounded number: nothing secret, and nothing a customer chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from reconciler.model import Bot, split_mark
from reconciler.store.usage import Record

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_TURN_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 90)
_BOTS: Final = 1000  # whose turns are counted by their names; those of any more are counted together
_NAME: Final = 63  # characters of a name, which a dashboard may have made longer
OTHERS: Final = "other"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a target stands: its last outcome and when that was (seconds since the epoch), the fields that differ on it,
    and how many of the passes that are kept ended how; their steps by action and outcome, and how long the newest took.
    `fetched` is when the remote repository was last fetched, if one is followed; `retiring` counts bots whose models
    go, `absent` Credentials whose key is missing, by what becomes of them. `looking` is when the pass that is under way
    began. Of a target of which no pass has ended nothing else is known.
    """

    target: str
    outcome: str | None = None
    checked: float | None = None
    looking: float | None = None
    drift: int = 0
    passes: Mapping[str, int] = {}
    steps: Mapping[tuple[str, str], int] = {}
    seconds: float | None = None
    attempts: int = 0
    suspended: bool = False
    synced: bool = False
    fetched: float | None = None
    retiring: int = 0
    absent: Mapping[str, int] = {}


class Metrics:
    """The counters of one runtime. `standings` asks how the targets of a loop beside it stand."""

    def __init__(self, standings: Callable[[], Sequence[Standing]] | None = None) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        if standings is not None:
            self.registry.register(_Standings(standings))
        self._bots: set[tuple[str, str]] = set()
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

        self._turns = Counter("reconciler_turns", "Turns that ended", ["outcome"], registry=self.registry)
        self._turn_seconds = Histogram(
            "reconciler_turn_seconds",
            "Time from a turn's start to its answer, by how it went",
            ["outcome"],
            buckets=_TURN_BUCKETS,
            registry=self.registry,
        )
        self._asked = Counter(
            "reconciler_model_calls",
            "Turns that a model was asked",
            ["instance", "bot", "outcome"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "reconciler_model_tokens", "Tokens of the models", ["instance", "bot", "direction"], registry=self.registry
        )
        self._replaced = Counter(
            "reconciler_previous_key_uses", "Uses of a key that is being replaced", ["key"], registry=self.registry
        )
        for key in ("global", "secret"):
            self._replaced.labels(key)  # 0 is what whoever waits for the end of it looks for
        self._depth = Gauge("reconciler_queue_due", "Rows that are due now", ["queue"], registry=self.registry)

    def replaced_key(self, key: str) -> None:
        """Counts a use of a key that is being replaced: `global`, or `secret`."""
        self._replaced.labels(key).inc()

    def turned(self, instance: str, bot: Bot, record: Record) -> None:
        """Counts one turn of a bot, under its instance's name and its own: the one in its mark, else its id."""
        _, mark = split_mark(bot.description)
        labels = instance[:_NAME], (mark.name if mark is not None else bot.id)[:_NAME]
        if labels not in self._bots and len(self._bots) < _BOTS:
            self._bots.add(labels)
        if labels not in self._bots:
            labels = OTHERS, OTHERS
        self._turns.labels(record.outcome).inc()
        self._turn_seconds.labels(record.outcome).observe(record.seconds)
        if record.outcome != "unread":
            self._asked.labels(*labels, record.outcome).inc()
        self._tokens.labels(*labels, "in").inc(record.input)
        self._tokens.labels(*labels, "out").inc(record.output)

    def answered(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Counts one request; `seconds` None: a stream, whose length says nothing."""
        self._requests.labels(method, route, status).inc()
        if seconds is not None:
            self._seconds.labels(route).observe(seconds)

    def text(self, depths: Mapping[str, int]) -> bytes:
        """All of it as Prometheus reads it; `depths` are the queues as they are now."""
        for queue, count in depths.items():
            self._depth.labels(queue).set(count)
        return generate_latest(self.registry)


class _Standings:
    """The loop's part, asked for at each reading: it is another process's, and its history is the truth."""

    def __init__(self, standings: Callable[[], Sequence[Standing]]) -> None:
        self._standings = standings

    def describe(self) -> list[Metric]:
        """Nothing, so that registering asks nobody."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The standings as gauges."""
        checked = GaugeMetricFamily(
            "reconciler_target_checked_timestamp_seconds", "When last looked at", labels=["target"]
        )
        looking = GaugeMetricFamily(
            "reconciler_pass_started_timestamp_seconds", "When the pass that is under way began", labels=["target"]
        )
        good = GaugeMetricFamily(
            "reconciler_target_outcome", "How the last pass ended: 1", labels=["target", "outcome"]
        )
        drift = GaugeMetricFamily("reconciler_drift_fields", "Fields moved by somebody else", labels=["target"])
        passes = GaugeMetricFamily(
            "reconciler_passes", "Passes in the history, which keeps the last thousand", labels=["target", "outcome"]
        )
        steps = GaugeMetricFamily(
            "reconciler_steps", "Steps of the passes in the history", labels=["target", "action", "outcome"]
        )
        seconds = GaugeMetricFamily("reconciler_pass_seconds", "How long the newest pass took", labels=["target"])
        attempts = GaugeMetricFamily("reconciler_attempts", "Tries in vain at the plan that is left", labels=["target"])
        suspended = GaugeMetricFamily("reconciler_suspended", "1: held by a person", labels=["target"])
        synced = GaugeMetricFamily("reconciler_synced", "1: as the wanted commit says", labels=["target"])
        retiring = GaugeMetricFamily(
            "reconciler_retiring_bots", "Bots whose model goes within 60 days, or is gone", labels=["target"]
        )
        absent = GaugeMetricFamily(
            "reconciler_missing_keys",
            "Credentials whose key is missing: kept as they are live, on the demo model, or their instance held",
            labels=["target", "effect"],
        )
        fetched = GaugeMetricFamily(
            "reconciler_source_fetched_timestamp_seconds", "When the remote repository was last fetched"
        )
        known = list(self._standings())
        for moment in {one.fetched for one in known if one.fetched is not None}:
            fetched.add_metric([], moment)
        for one in known:
            if one.looking is not None:
                looking.add_metric([one.target], one.looking)
            if one.checked is None or one.outcome is None:
                continue
            checked.add_metric([one.target], one.checked)
            good.add_metric([one.target, one.outcome], 1)
            drift.add_metric([one.target], one.drift)
            for outcome, count in sorted(one.passes.items()):
                passes.add_metric([one.target, outcome], count)
            for (action, outcome), count in sorted(one.steps.items()):
                steps.add_metric([one.target, action, outcome], count)
            if one.seconds is not None:
                seconds.add_metric([one.target], one.seconds)
            attempts.add_metric([one.target], one.attempts)
            suspended.add_metric([one.target], one.suspended)
            synced.add_metric([one.target], one.synced)
            retiring.add_metric([one.target], one.retiring)
            for effect in ("kept", "demo", "held"):
                absent.add_metric([one.target, effect], one.absent.get(effect, 0))
        yield from (
            looking,
            checked,
            good,
            drift,
            passes,
            steps,
            seconds,
            attempts,
            suspended,
            synced,
            retiring,
            absent,
            fetched,
        )
