"""octoDNS beside the reconciler: as many records as bots, and a target that keeps them in a file.

`bench/reconcile.py` installs octoDNS into an environment of its own and runs this there: `write` makes the zones, and
`LocalProvider` is their target, since octoDNS' own YAML provider reads nothing back. It is the cheapest there can be:
no network, one JSON file a zone.
"""

from __future__ import annotations

import json
from logging import getLogger
from pathlib import Path
from typing import Any

CONFIG = """manager:
  max_workers: 2
providers:
  config: {{class: octodns.provider.yaml.YamlProvider, directory: {folder}/zones}}
  local: {{class: octodns_local.LocalProvider, directory: {folder}/live}}
zones:
"""


def write(folder: Path, records: int) -> None:
    """A repository of octoDNS: ten records to a zone, each a TXT of a kilobyte, as a bot's prompt is."""
    zones = max(1, records // 10)
    (folder / "zones").mkdir(parents=True)
    (folder / "live").mkdir()
    lines = [CONFIG.format(folder=folder)]
    for number in range(zones):
        zone = f"z{number:04d}.example."
        lines.append(f"  {zone}: {{sources: [config], targets: [local]}}\n")
        names = range(number, records, zones)
        (folder / "zones" / f"{zone}yaml").write_text("---\n" + "".join(_record(one // zones, one) for one in names))
    (folder / "config.yaml").write_text("".join(lines))


def change(folder: Path, number: int) -> None:
    """Another text in the first record of a zone."""
    file = folder / "zones" / f"z{number:04d}.example.yaml"
    file.write_text(file.read_text().replace("text 0 ", "text another ", 1))


def _record(number: int, seed: int) -> str:
    text = f"text {number} " + f"We are open on day {seed} and closed on the others. " * 20
    return f"r{number:02d}:\n  ttl: 300\n  type: TXT\n  value: '{text.strip()}'\n"


try:
    from octodns.provider.base import BaseProvider
    from octodns.record import Record
except ImportError:  # outside octoDNS' environment
    pass
else:

    class LocalProvider(BaseProvider):  # type: ignore[misc,unused-ignore]
        """One JSON file a zone."""

        SUPPORTS_GEO = SUPPORTS_DYNAMIC = False
        SUPPORTS = frozenset({"TXT"})

        def __init__(self, id: str, directory: str, **more: Any) -> None:
            self.log = getLogger(f"LocalProvider[{id}]")
            super().__init__(id, **more)
            self._folder = Path(directory)

        def populate(self, zone: Any, target: bool = False, lenient: bool = False) -> bool:  # noqa: ARG002
            file = self._folder / zone.name
            if not file.exists():
                return False
            for name, data in json.loads(file.read_text()).items():
                zone.add_record(Record.new(zone, name, data, source=self, lenient=lenient), lenient=lenient)
            return True

        def _apply(self, plan: Any) -> None:
            zone = plan.desired.name
            (self._folder / zone).write_text(
                json.dumps({one.name: {"type": one._type, **one.data} for one in plan.desired.records})
            )
