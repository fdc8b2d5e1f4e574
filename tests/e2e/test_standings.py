"""Under `up` the runtime's metrics tell how the loop's targets stand."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.e2e.conftest import KEY, Up, until


def test_passes_and_drift(up: Up) -> None:
    up.run("sync")
    text = up.client.get("/metrics").text
    assert 'reconciler_passes{outcome="applied",target="local"}' in text
    assert 'reconciler_target_outcome{outcome="unchanged",target="local"} 1.0' in text
    assert 'reconciler_drift_fields{target="local"} 0.0' in text
    assert 'reconciler_target_checked_timestamp_seconds{target="local"}' in text


def test_a_commit_that_adds_renames_and_takes_out_targets_is_followed_without_a_restart(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one whose first pass hangs is seen to."""

    def standing() -> dict[str, Any]:
        return {one["target"]: one for one in up.get("/reconciler/status")}

    with socket.create_server(("127.0.0.1", 0)) as hangs:
        url = f"http://127.0.0.1:{hangs.getsockname()[1]}"
        far = f"{{type: evolution, url: '{url}', apiKey: {{env: RECONCILER_API_KEY}}}}"
        config = "apiVersion: reconciler/v1\nkind: Config\ntargets:\n"
        up.repo.commit({"reconciler.yaml": f"{config}  local: {{type: runtime}}\n  far: {far}\n"})
        found = until(lambda: (now := standing()).get("far", {}).get("looking") and now)
        assert (found["far"]["sync"], found["far"]["health"]) == ("Unknown", "Progressing")
        assert (found["far"]["outcome"], found["far"]["checked"], found["far"]["loopRuns"]) == ("running", None, True)
        text = up.client.get("/metrics").text
        assert 'reconciler_pass_started_timestamp_seconds{target="far"}' in text
        assert 'reconciler_target_checked_timestamp_seconds{target="far"}' not in text
        until(
            lambda: (
                "far: Unknown, Progressing" in (said := up.run("status", exit_code=2).stdout)
                and "a pass is under way since" in said
            )
        )
        up.repo.commit({"reconciler.yaml": f"{config}  production: {{type: runtime, apiKey: {{env: NEW_KEY}}}}\n"})
        renamed = until(lambda: (now := standing()).get("production", {}).get("outcome") == "unchanged" and now)
    assert set(renamed) == {"production"}, "local went, and with it what hung"
    assert up.run("status").stdout.startswith("production: Synced, Healthy")
    text = up.client.get("/metrics").text
    assert 'reconciler_synced{target="production"} 1.0' in text
    assert 'target="local"' not in text
    assert 'target="far"' not in text
    assert "none follows it" in up.run("status", "--target", "local", exit_code=2).stdout
    monkeypatch.setenv("NEW_KEY", KEY)
    assert up.run("plan").returncode == 0, "commands find the runtime under its new name"
