"""What `GET /metrics` tells of turns, queues and targets, and that its labels are bounded."""

from __future__ import annotations

import time

import httpx
import pytest

from reconciler.runtime import metrics as module
from reconciler.runtime.metrics import OTHERS, Metrics, Standing
from reconciler.store.usage import Record
from tests.runtime.conftest import Server, Tenant
from tests.talk.rows import everyone


def test_turns_models_and_tokens() -> None:
    metrics = Metrics()
    menu = everyone(id="b1", description="What there is [gitops menu@3f2a91c4]")
    metrics.turned("Bistro_01", menu, Record(outcome="answered", input=30, output=5, seconds=0.7))
    metrics.turned("Bistro_01", menu, Record(outcome="failed", input=3, failure="sk-secret", seconds=90))
    metrics.turned("Bistro_01", everyone(id="b2", description=None), Record(outcome="unread"))
    text = metrics.text({"chats": 3, "outbox": 2, "pushes": 1}).decode()
    for line in (
        'reconciler_turns_total{outcome="answered"} 1.0',
        'reconciler_turns_total{outcome="failed"} 1.0',
        'reconciler_turns_total{outcome="unread"} 1.0',
        'reconciler_turn_seconds_bucket{le="1.0",outcome="answered"} 1.0',
        'reconciler_model_calls_total{bot="menu",instance="Bistro_01",outcome="answered"} 1.0',
        'reconciler_model_tokens_total{bot="menu",direction="in",instance="Bistro_01"} 33.0',
        'reconciler_model_tokens_total{bot="menu",direction="out",instance="Bistro_01"} 5.0',
        'reconciler_queue_due{queue="chats"} 3.0',
        'reconciler_queue_due{queue="pushes"} 1.0',
        "process_resident_memory_bytes",
    ):
        assert line in text
    assert 'reconciler_model_calls_total{bot="b2"' not in text
    assert "sk-secret" not in text


def test_bots_are_a_bounded_number_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BOTS", 2)
    metrics = Metrics()
    for number in range(5):
        metrics.turned("i" * 300, everyone(id=f"b{number}"), Record(outcome="answered", input=1))
    text = metrics.text({}).decode()
    assert f'reconciler_model_tokens_total{{bot="{OTHERS}",direction="in",instance="{OTHERS}"}} 3.0' in text
    assert "i" * 64 not in text
    assert '"b2"' not in text


def test_how_targets_stand() -> None:
    asked = []

    def standings() -> list[Standing]:
        asked.append(1)
        seen = Standing(target="local", outcome="applied", checked=1.5, drift=2, passes={"applied": 7, "failed": 1})
        return [seen, Standing(target="new", looking=4.5)]

    metrics = Metrics(standings)
    assert asked == []
    text = metrics.text({}).decode()
    for line in (
        'reconciler_target_checked_timestamp_seconds{target="local"} 1.5',
        'reconciler_target_outcome{outcome="applied",target="local"} 1.0',
        'reconciler_drift_fields{target="local"} 2.0',
        'reconciler_passes{outcome="failed",target="local"} 1.0',
        'reconciler_pass_started_timestamp_seconds{target="new"} 4.5',
    ):
        assert line in text
    assert 'timestamp_seconds{target="new"} 0' not in text
    assert 'outcome="",target="new"' not in text


def test_what_waits(client: httpx.Client, nobody: httpx.Client, tenant: Tenant, server: Server) -> None:
    def waiting() -> float:
        lines = nobody.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith('reconciler_queue_due{queue="chats"}')).split()[1])

    before = waiting()
    client.post(f"/chat/{tenant.name}", json={"remoteJid": "ana", "text": "hi"})
    deadline = time.monotonic() + 120
    while waiting() != before + 1:
        assert time.monotonic() < deadline
