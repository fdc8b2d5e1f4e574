"""`python -m tests.evolution --port 8090 [--key KEY] [--file rows.json]`: the server, to try things by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.evolution.rules import Store
from tests.evolution.serve import KEY, Server

if __name__ == "__main__":
    asked = argparse.ArgumentParser(prog="python -m tests.evolution", description=__doc__)
    asked.add_argument("--port", type=int, default=0, help="0: any free one")
    asked.add_argument("--key", default=KEY, help="the global API key")
    asked.add_argument("--file", type=Path, help="a JSON file that keeps the rows")
    given = asked.parse_args()
    Server(Store(given.file), key=given.key).run(given.port)
