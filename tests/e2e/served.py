"""A running `reconciler serve` and a client of its API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.e2e.conftest import until

KEY = "the-global-key-of-this-test"


class Serve:
    """`reconciler serve` on a data folder; `stop` is SIGTERM and gives the exit code."""

    def __init__(self, data: Path, *options: str, **variables: str) -> None:
        address = data / "address"
        address.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "serve", "--port", "0", "--data", str(data), *options],
            env={**os.environ, "RECONCILER_API_KEY": KEY, **variables},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until(lambda: address.exists() and address.read_text().strip())
        self.client = httpx.Client(base_url=address.read_text().strip(), headers={"apikey": KEY}, timeout=60)
        until(self._ready)

    def _ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.terminate()
        return self.process.wait(20)
