"""Under `up` the runtime's metrics tell how the loop's targets stand."""

from __future__ import annotations

from tests.e2e.conftest import Up


def test_passes_and_drift(up: Up) -> None:
    up.run("sync")
    text = up.client.get("/metrics").text
    assert 'reconciler_passes{outcome="applied",target="local"}' in text
    assert 'reconciler_target_outcome{outcome="unchanged",target="local"} 1.0' in text
    assert 'reconciler_drift_fields{target="local"} 0.0' in text
    assert 'reconciler_target_checked_timestamp_seconds{target="local"}' in text
