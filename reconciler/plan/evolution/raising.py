"""What is live on an Evolution API server in YAML's own terms, for whoever writes files of it. PURE.

Before it comes a reading as `fit` named it; after it `import`. The way back of `lower`, for
foreign objects only: plans never compare what was converted back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from reconciler.model import Kind, Live, LiveObject
from reconciler.plan.evolution.lower import NOBODY, PER_UNIT
from reconciler.plan.profile import Raised
from reconciler.plan.same import UNSET

_LACKING: Final[Mapping[Kind, tuple[str, ...]]] = {  # fields that YAML has and that server has not
    "Instance": ("webhook", "retention"),
    "Credentials": ("baseUrl", "organization", "project"),
    "Bot": ("tools", "temperature", "reasoningEffort"),
}
_OURS: Final = frozenset({"credentialsId", "credentialsIn", "createdAt"})


_MOST: Final = {"expire": 31_536_000, "debounceTime": 600_000}  # of YAML, in its units
_ASSISTANT: Final = (
    "it runs an assistant of OpenAI's, an API that is gone: see reconciler import assistant, then declare a bot"
)


def raised(live: Live) -> Raised:
    """The reading in YAML's units and fields; what does not fit there is said by its id, with the reason."""
    objects = tuple(map(_raised, live.objects))
    left = {one.id: reason for one in objects if (reason := _unfit(one))}
    return Raised(msgspec.structs.replace(live, objects=objects), left)


def _unfit(one: LiveObject) -> str:
    if one.kind == "Bot" and one.spec["botType"] == "assistant":
        return _ASSISTANT
    much = (field for field, most in _MOST.items() if (one.spec.get(field) or 0) > most)
    return next((f"its {field} is more than YAML takes" for field in much), "")


def _raised(one: LiveObject) -> LiveObject:
    spec: dict[str, Any] = {field: value for field, value in one.spec.items() if field not in _OURS}
    spec |= dict.fromkeys(_LACKING.get(one.kind, ()))
    if one.kind == "Settings":  # what nothing sets there is nothing, and not YAML's default
        spec |= {field: value for field, value in UNSET["evolution"].items() if spec.get(field) is None}
    for field, size in PER_UNIT.items():
        if isinstance(spec.get(field), int):
            spec[field] *= size
    if str(spec.get("triggerValue") or "").startswith(NOBODY):
        spec |= {"triggerType": "none", "triggerOperator": None, "triggerValue": None}
    if one.kind == "Instance" and not (spec["integration"] == "EVOLUTION" and spec["number"]):
        spec |= {"integration": "WEB", "number": None}  # a line made there stays as it is, whatever YAML says
    return msgspec.structs.replace(one, spec=spec)
