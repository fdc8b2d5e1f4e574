"""One copy for many lines: objects of `_base/`, which every instance has, and what an instance has otherwise.

| below the source path | is |
|---|---|
| `_base/*.yaml` | what every instance of the source has, or each in `metadata.instances`: all kinds but Instance |
| `INSTANCE/*.patch.yaml` | parts of documents, merged over the base's for that instance, as overlays are |
| `_shared/` | text files, which any document names as `file: _shared/…` |

Base, then an instance's patch, then the target's overlay: the later wins. Behind this step there are ordinary objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.desired.documents import SHARED, Documents
from reconciler.model import Ref
from reconciler.shape import Fault, closest

if TYPE_CHECKING:
    from reconciler.desired.assemble import Draft

BASE: Final = "_base/"
_PATCH: Final = (".patch.yaml", ".patch.yml")


class Layers(NamedTuple):
    """The YAML files below the source path, by what they are."""

    own: list[str]
    base: list[str]
    patches: list[str]


def layers(paths: Iterable[str], source: str) -> Layers:
    """Sorts the YAML files below a source path; those in `_shared/` are texts, if anything."""
    prefix = "" if source in ("", ".") else f"{source.rstrip('/')}/"
    found = Layers([], [], [])
    for path in paths:
        within = path.removeprefix(prefix)
        if within.startswith(SHARED):
            continue
        if path.endswith(_PATCH):
            found.patches.append(path)
        elif within.startswith(BASE):
            found.base.append(path)
        else:
            found.own.append(path)
    return found


def spread(documents: Documents, base: Mapping[Ref, Draft], instances: list[str]) -> Iterator[Draft]:
    """Each object of the base for each of its instances; what cannot be one of many goes to the problems."""
    for draft in base.values():
        metadata = draft.data["metadata"]
        wrong = None
        if draft.ref.kind == "Instance":
            wrong = Fault(("kind",), "an Instance is one line of chats", f"declare it outside of {BASE}")
        elif "instance" in metadata:
            wrong = Fault(
                ("metadata", "instance"), f"what is in {BASE} is every instance's", "leave it out, or give `instances`"
            )
        elif "adopts" in metadata:
            wrong = Fault(("metadata", "adopts"), "is one object's id", "write it in that instance's *.patch.yaml")
        if wrong is not None:
            documents.problems.append(draft.problem(documents, wrong))
            continue
        for number, name in enumerate(metadata.get("instances", ())):
            if name not in instances:
                hint = closest(name, instances) or "declare it with `kind: Instance`"
                fault = Fault(("metadata", "instances", number), f"there is no Instance '{name}'", hint)
                documents.problems.append(draft.problem(documents, fault))
        rest = {key: value for key, value in metadata.items() if key != "instances"}
        for name in instances:
            if name in metadata.get("instances", instances):
                data = {**draft.data, "metadata": {**rest, "instance": name}}
                yield draft._replace(ref=Ref(draft.ref.kind, name, draft.ref.name), data=data)
