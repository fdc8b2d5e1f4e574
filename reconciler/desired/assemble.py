"""Objects: which documents make which object of a target. Before it come `documents`; after it `links`.

Usually one document is one object. In an overlay a document of the same kind, instance and name is a patch on the
base's: JSON merge patch (RFC 7386), so null removes and a list is replaced as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from reconciler.desired.common import spread
from reconciler.desired.documents import Declared, Documents
from reconciler.desired.rules import faults_of
from reconciler.errors import Problem
from reconciler.model import Kind, Place, Ref
from reconciler.shape import Fault, Path_, closest

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Draft(NamedTuple):
    """An object as declared: its documents (base first), and their data as one."""

    ref: Ref
    layers: tuple[Declared, ...]
    data: Mapping[str, Any]
    sound: bool

    @property
    def spec(self) -> dict[str, Any]:
        """What it is to be; empty where the document has no such thing."""
        spec = self.data.get("spec")
        return spec if isinstance(spec, dict) else {}

    @property
    def metadata(self) -> dict[str, Any]:
        """Its identity and what goes with it."""
        metadata: dict[str, Any] = self.data["metadata"]
        return metadata

    @property
    def at(self) -> Place:
        """Where it is declared; for Credentials where their key is asked for."""
        first = self.layer("spec", "apiKey") if self.ref.kind == "Credentials" else self.layers[0]
        return Place(first.path, first.line, first.column)

    def layer(self, *path: str | int) -> Declared:
        """The document from which a value came: the last one that has it, or most of the way to it."""
        best: Declared = max(reversed(self.layers), key=lambda layer: _reach(layer.data, path))
        return best

    def problem(self, documents: Documents, fault: Fault) -> Problem:
        """A fault of the object as a problem at the document and place where its value came from."""
        layer = self.layer(*fault.path)
        return documents.places.problem(layer.path, layer.number, fault)


def assemble(
    documents: Documents,
    own: Iterable[Declared],
    source: str,
    patches: Iterable[Declared] = (),
    overlay: str = "",
    *,
    base: Iterable[Declared] = (),
    within: Iterable[Declared] = (),
) -> list[Draft]:
    """The objects that documents below the folders `source` and `overlay` declare, ordered by kind, instance, name.

    `base` are the documents of every instance, `within` the instances' patches on them. Problems go to
    `documents.problems`: identities that are not whole or stand twice, patches whose result is wrong.
    """
    drafts = identified(documents, own, source)
    instances = [ref.name for ref in drafts if ref.kind == "Instance"]
    for each in spread(documents, identified(documents, base, source, of_all=True), instances):
        if (first := drafts.setdefault(each.ref, each)) is not each:
            hint = f"the base has one: write what is otherwise here into a file *.patch.yaml ({each.at})"
            fault = Fault(("metadata", "name"), f"{each.ref} is declared a second time", hint)
            documents.problems.append(first.problem(documents, fault))
    _merge(documents, drafts, _known(documents, drafts, identified(documents, within, source)))
    _merge(documents, drafts, identified(documents, patches, overlay))
    order = {"Instance": 0, "Credentials": 1, "Assistant": 2, "Settings": 3, "Bot": 4, "Conversation": 5}
    return sorted(drafts.values(), key=lambda draft: (order[draft.ref.kind], draft.ref.instance, draft.ref.name))


def _known(documents: Documents, drafts: Mapping[Ref, Draft], patches: Mapping[Ref, Draft]) -> dict[Ref, Draft]:
    """The patches of what is there; one of something else is a problem, whatever is in it."""
    if documents.complete:
        for ref, patch in patches.items():
            if ref not in drafts:
                hint = (
                    _near(ref, drafts)
                    or "a *.patch.yaml changes what there is: declare what is new in a file of another name"
                )
                fault = Fault(("metadata", "name"), f"there is no {ref} to patch", hint, "patch")
                documents.problems.append(patch.problem(documents, fault))
    return {ref: patch for ref, patch in patches.items() if ref in drafts}


def _merge(documents: Documents, drafts: dict[Ref, Draft], patches: Mapping[Ref, Draft]) -> None:
    """Merges patches over drafts; one of what is not there is an object of its own."""
    for ref, patch in patches.items():
        below = drafts.get(ref)
        data = patch.data if below is None else _patched(below.data, patch.data)
        layers = (*(below.layers if below else ()), *patch.layers)
        sound = below is None or below.sound
        merged = Draft(ref, layers, data, sound)
        if sound and (faults := faults_of(ref.kind, dict(data))):
            if below is None and (absent := _no_base(ref, faults, drafts)) is not None:
                documents.problems.append(merged.problem(documents, absent))
                continue
            documents.problems += [merged.problem(documents, fault) for fault in faults]
            merged = merged._replace(sound=False)
        drafts[ref] = merged


def _no_base(ref: Ref, faults: Iterable[Fault], drafts: Mapping[Ref, Draft]) -> Fault | None:
    """That an overlay's document patches nothing, where it lacks too much to be an object of its own."""
    lacks = [fault.pointer for fault in faults if fault.rule == "required"]
    if not lacks:
        return None
    near = _near(ref, drafts)
    away = sorted(one.instance for one in drafts if (one.kind, one.name) == (ref.kind, ref.name))
    if not near and away:
        near = f"it is there in {', '.join(away[:3])}: say so with `metadata.instance`"
    alone = f"as an object of its own it lacks {', '.join(lacks[:5])}"
    return Fault(("metadata", "name"), f"there is no {ref} to patch, and {alone}", near or "look at its name", "patch")


def _near(ref: Ref, drafts: Mapping[Ref, Draft]) -> str:
    """The question whether another name of the instance was meant, where one is near."""
    return closest(ref.name, [one.name for one in drafts if (one.kind, one.instance) == (ref.kind, ref.instance)])


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386, made anew: neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _patched(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **base,
        **{key: patch[key] for key in patch if key not in ("metadata", "spec")},
        "metadata": merge_patch(base.get("metadata"), patch.get("metadata", {})),
        "spec": merge_patch(base.get("spec"), patch.get("spec", {})),
    }


def identified(
    documents: Documents, declared: Iterable[Declared], source: str, *, of_all: bool = False
) -> dict[Ref, Draft]:
    """The objects of documents, each alone, by what they are; whatever has no identity or another's is a problem.

    `of_all`: they are of every instance, and named so by none.
    """
    drafts: dict[Ref, Draft] = {}
    prefix = 0 if source in ("", ".") else len(source.rstrip("/")) + 1
    for one in declared:
        metadata = one.data.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            documents.complete = False  # its schema says so; others may have meant it
            if one.sound:
                fault = Fault(("metadata", "name"), "is required", "", "required")
                documents.problems.append(documents.places.problem(one.path, one.number, fault))
            continue
        kind: Kind = one.data["kind"]
        if not of_all and isinstance(metadata, dict) and "instances" in metadata:
            fault = Fault(("metadata", "instances"), "belongs to what is in `_base/`", "leave it out, or move it there")
            documents.problems.append(documents.places.problem(one.path, one.number, fault))
        instance = "" if of_all else name if kind == "Instance" else _instance(documents, one, prefix, source)
        if instance is None:
            documents.complete = False
            continue
        ref = Ref(kind, instance, name)
        if (first := drafts.get(ref)) is not None:
            fault = Fault(("metadata", "name"), f"{ref} is declared a second time", f"first at {first.at}")
            documents.problems.append(documents.places.problem(one.path, one.number, fault))
            continue
        drafts[ref] = Draft(ref, (one,), one.data, one.sound)
    return drafts


def _instance(documents: Documents, one: Declared, prefix: int, source: str) -> str | None:
    """The instance that a document says, or the first folder below the source path."""
    given = one.data["metadata"].get("instance")
    if given is not None:
        return given if isinstance(given, str) and _NAME.fullmatch(given) else None
    folder, slash, _ = one.path[prefix:].partition("/")
    if slash and _NAME.fullmatch(folder):
        return folder
    if slash:
        message = f"is required: the folder '{folder}' is not a name (lower-case letters, digits and '-')"
    else:
        message = f"is required: the file lies in no folder below {source or 'the repository'}"
    hint = "give the YAML name of an Instance"
    fault = Fault(("metadata", "instance"), message, hint, "required")
    documents.problems.append(documents.places.problem(one.path, one.number, fault))
    return None


def _reach(data: Any, path: Path_) -> int:
    """How many steps of a path the data has."""
    for count, step in enumerate(path):
        if isinstance(data, dict) and step in data:
            data = data[str(step)]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return count
    return len(path)
