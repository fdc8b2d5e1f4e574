"""`render`: what the files mean for a target, with everything inherited, merged and read in place."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, put_json
from reconciler.cli.validate import documents_cache
from reconciler.errors import Misuse

if TYPE_CHECKING:
    from reconciler.model import Object


class Rendering(StrEnum):
    """YAML to read (and to use as files), JSON for programs."""

    yaml = "yaml"
    json = "json"


def render(
    target: Annotated[str | None, typer.Option("--target", help="A target of reconciler.yaml; else its first.")] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", help="A commit, branch or tag; else the one that is reconciled.")
    ] = None,
    worktree: Annotated[bool, typer.Option("--worktree", help="The files as saved, committed or not.")] = False,
    instance: Annotated[str | None, typer.Option("--instance", help="Only this instance (its YAML name).")] = None,
    format_: Annotated[Rendering, typer.Option("--format", help="How to print it.")] = Rendering.yaml,
) -> None:
    """Print the effective desired state: overlays merged, texts in place, Settings inherited, units made plain.

    Keys are never in it: Credentials show where their key would be read. The YAML is itself a valid set of files.

    Examples:

        reconciler render
        reconciler render --target production --instance bistro
        reconciler render --worktree --format json
    """
    from reconciler import shape
    from reconciler.desired.check import read_desired
    from reconciler.desired.config import desired_ref, read_config, target_of

    if ref is not None and worktree:
        raise Misuse("--ref and --worktree exclude each other: name one")
    context.refresh()
    repository = context.repository if worktree else context.source
    commit = None if worktree else repository.resolve(ref or ("HEAD" if repository.pinned else desired_ref(repository)))
    config = read_config(repository, commit)
    desired = read_desired(repository, commit, config, target_of(config, target), documents_cache(repository))
    known = list(dict.fromkeys(object_.ref.instance for object_ in desired.objects))
    if instance is not None and instance not in known:
        hint = shape.closest(instance, known) or f"there are: {', '.join(known[:10]) or 'none'}"
        raise Misuse(f"there is no instance '{instance}' ({hint})")
    objects = [one for one in desired.objects if instance in (None, one.ref.instance)]
    if format_ is Rendering.json:
        put_json({"commit": desired.commit, "objects": [_row(one) for one in objects]})
        return
    from reconciler.desired.write import dump

    put("---\n".join(dump(document(one)) for one in objects).removesuffix("\n"))


def document(object_: Object) -> dict[str, Any]:
    """An object as a YAML document would declare it; what is unset is left out."""
    spec = {field: value for field, value in object_.spec.items() if value is not None}
    if "assistantId" in spec and object_.ref.kind == "Assistant":
        spec = {"id": spec.pop("assistantId"), **spec}
    if "integration" in spec:
        spec["channel"] = spec.pop("integration").lower()
    return {"apiVersion": "reconciler/v1", "kind": object_.ref.kind, "metadata": _metadata(object_), "spec": spec}


def _metadata(object_: Object) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": object_.ref.name}
    if object_.ref.kind != "Instance":
        metadata["instance"] = object_.ref.instance
    if object_.labels:
        metadata["labels"] = dict(object_.labels)
    if object_.formerly:
        metadata["formerly"] = object_.formerly
    if object_.protect:
        metadata["protect"] = True
    return metadata


def _row(object_: Object) -> dict[str, Any]:
    return {
        "kind": object_.ref.kind,
        "metadata": _metadata(object_),
        "at": str(object_.at),
        "inherited": object_.inherited,
        "spec": object_.spec,
    }
