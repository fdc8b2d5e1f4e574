"""What is live on an Evolution API server in YAML's own terms, for whoever writes files of it. PURE.

Before it comes a reading; after it `import`. The way back of `evolution_lower`, for foreign objects only: plans never
compare what was converted back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from reconciler.model import Desired, Kind, Live, LiveObject
from reconciler.plan.evolution_fit import fit
from reconciler.plan.evolution_lower import NOBODY, PER_UNIT, lower

_LACKING: Final[Mapping[Kind, tuple[str, ...]]] = {  # fields that YAML has and that server has not
    "Instance": ("webhook", "retention"),
    "Credentials": ("baseUrl", "organization", "project"),
    "Bot": ("tools", "temperature", "reasoningEffort"),
}
_OURS: Final = frozenset({"credentialsId", "credentialsIn", "createdAt"})


def raised(desired: Desired, live: Live) -> Live:
    """The reading with YAML's names, units and fields."""
    seen = fit(lower(desired, live).desired, live)
    return msgspec.structs.replace(seen, objects=tuple(map(_raised, seen.objects)))


def _raised(one: LiveObject) -> LiveObject:
    spec: dict[str, Any] = {field: value for field, value in one.spec.items() if field not in _OURS}
    spec |= dict.fromkeys(_LACKING.get(one.kind, ()))
    for field, size in PER_UNIT.items():
        if isinstance(spec.get(field), int):
            spec[field] *= size
    if str(spec.get("triggerValue") or "").startswith(NOBODY):
        spec |= {"triggerType": "none", "triggerOperator": None, "triggerValue": None}
    if one.kind == "Instance" and not (spec["integration"] == "EVOLUTION" and spec["number"]):
        spec |= {"integration": "WEB", "number": None}  # a line made there stays as it is, whatever YAML says
    return msgspec.structs.replace(one, spec=spec)
