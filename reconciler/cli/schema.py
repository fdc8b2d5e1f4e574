"""`schema`: the JSON Schemas, each whole in one file, for people and for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from reconciler.cli.output import put, put_json, say
from reconciler.errors import Misuse

KINDS: Final = ("Instance", "Credentials", "Settings", "Bot", "Assistant", "Conversation")
FOLDER: Final = ".schemas"
_SETTINGS: Final = ".vscode/settings.json"


def schema(
    kind: Annotated[
        str | None, typer.Argument(help=f"{', '.join(KINDS)} or Config; without it one schema for every kind.")
    ] = None,
    install_: Annotated[
        bool, typer.Option("--install", help="Write the schemas and the editor's settings into this repository.")
    ] = False,
) -> None:
    """Print a kind's JSON Schema (2020-12), whole in itself; or set up an editor to complete and check bots.

    `--install` writes the schemas to `.schemas/` and tells VS Code's YAML extension about them in
    `.vscode/settings.json`, keeping what is there. Other editors that run yaml-language-server find them by a file's
    first line: `# yaml-language-server: $schema=../../.schemas/bot.schema.json`. Commit both folders.

    Examples:

        reconciler schema Bot
        reconciler schema --install
    """
    if install_:
        from reconciler.cli.context import context

        if kind is not None:
            raise Misuse("--install writes every schema: leave the kind out")
        if context.repository.bare:
            raise Misuse(f"{context.repository.root} is a bare repository: nobody edits files in it")
        for file in install(context.repository.root):
            put(str(file))
        return
    put_json(document_schema() if kind is None else whole(_named(kind)))


def install(directory: Path) -> list[Path]:
    """Writes `.schemas/*.schema.json` and VS Code's settings below a folder; returns the files that it wrote.

    A settings file that is not plain JSON (comments) is left alone, and what to add to it is said.
    """
    source, overlays = _folders(directory)
    files = {f"{kind.lower()}.schema.json": whole(kind.lower()) for kind in (*KINDS, "Config")}
    files |= {"document.schema.json": document_schema(), "overlay.schema.json": overlay_schema()}
    written = []
    try:
        for name, content in sorted(files.items()):
            written += _write(directory / FOLDER / name, _pretty(content))
        mapping = {
            f"./{FOLDER}/document.schema.json": _globs([source]),
            f"./{FOLDER}/config.schema.json": ["reconciler.yaml"],
            **({f"./{FOLDER}/overlay.schema.json": _globs(overlays)} if overlays else {}),
        }
        settings = directory / _SETTINGS
        merged = _merged(settings, mapping)
        if merged is None:
            say(f'{settings} is not plain JSON and was left alone; add: "yaml.schemas": {json.dumps(mapping)}')
        else:
            written += _write(settings, _pretty(merged))
    except OSError as error:
        raise Misuse(f"{error.filename} cannot be written: {error.strerror}") from error
    return written


def whole(name: str) -> dict[str, Any]:
    """A schema by its file's name with all that it refers to in it, so that an editor needs no other file."""
    from reconciler import shape

    top = {key: value for key, value in shape.schema(name).items() if key != "$id"}
    return {**_local(top), **({"$defs": defs} if (defs := _definitions(top)) else {})}


def document_schema() -> dict[str, Any]:
    """One schema for a file whose documents may be of any kind: `kind` says which it is."""
    from reconciler import shape

    tops = {kind: shape.schema(kind.lower()) for kind in KINDS}
    defs = _definitions(tops)
    for kind, top in tops.items():
        defs[kind] = _local({key: value for key, value in top.items() if key not in ("$id", "$schema")})
    chosen = [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": {"$ref": f"#/$defs/{kind}"}}
        for kind in KINDS
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Document",
        "description": "One document of a bots' file, of any kind.",
        "type": "object",
        "properties": {"kind": {"enum": list(KINDS), "description": "What the document declares."}},
        "required": ["kind"],
        "allOf": chosen,
        "$defs": defs,
    }


def overlay_schema() -> dict[str, Any]:
    """`document_schema` for overlays, whose documents are patches: a part of the fields, null to remove one."""
    document = document_schema()
    defs = document["$defs"]
    for kind in KINDS:
        properties = defs[kind]["properties"]
        spec = {key: value for key, value in properties["spec"].items() if key not in ("required", "allOf")}
        spec["properties"] = {name: _or_null(value, defs) for name, value in spec["properties"].items()}
        defs[kind] = {**defs[kind], "required": ["kind", "metadata"], "properties": {**properties, "spec": spec}}
    return {**document, "title": "Overlay", "description": "One document of an overlay, whole or in part."}


def _or_null(node: dict[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    named = defs[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    other: Any = ["null", "object"] if named.get("type") == "object" else "null"  # which is itself a patch
    return {"anyOf": [node, {"type": other}]}


def _globs(folders: list[str]) -> list[str]:
    return [f"{folder.removeprefix('./')}/**/*.{suffix}" for folder in folders for suffix in ("yaml", "yml")]


def _named(kind: str) -> str:
    from reconciler import shape

    known = {one.lower(): one.lower() for one in (*KINDS, "Config")}
    if (name := known.get(kind.lower())) is None:
        names = [*KINDS, "Config"]
        hint = shape.closest(kind, names) or f"one of {', '.join(names)}"
        raise Misuse(f"there is no kind '{kind}' ({hint})")
    return name


def _definitions(node: Any) -> dict[str, Any]:
    """Everything of `fields` that a node refers to, directly or not, by name."""
    from reconciler import shape

    fields = shape.schema("fields")["$defs"]
    found: dict[str, Any] = {}
    waiting = _refs(node)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _local(fields[name])
            waiting |= _refs(fields[name])
    return dict(sorted(found.items()))


def _refs(node: Any) -> set[str]:
    match node:
        case dict():
            own = {node["$ref"].rpartition("/")[2]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(_refs, node.values()))
        case list() | tuple():
            return set().union(*map(_refs, node))
    return set()


def _local(node: Any) -> Any:
    """The same with each reference into `fields` made one into the file itself."""
    match node:
        case dict():
            return {
                key: f"#/$defs/{value.rpartition('/')[2]}" if key == "$ref" else _local(value)
                for key, value in node.items()
            }
        case list():
            return [_local(item) for item in node]
    return node


def _folders(directory: Path) -> tuple[str, list[str]]:
    """The source path and the overlays of a folder's reconciler.yaml; the default where it cannot be read."""
    from reconciler.desired.config import read_config
    from reconciler.desired.git import Repository
    from reconciler.errors import ReconcilerError

    try:
        config = read_config(Repository(directory, directory), None)
    except ReconcilerError:
        return "bots", []
    return config.path, [target.overlay for target in config.targets if target.overlay]


def _merged(file: Path, mapping: dict[str, Any]) -> dict[str, Any] | None:
    """VS Code's settings with the mapping in them; None where they are there but no plain JSON."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        settings = {}
    except ValueError:
        return None
    if not isinstance(settings, dict) or not isinstance(settings.get("yaml.schemas", {}), dict):
        return None
    return {**settings, "yaml.schemas": {**settings.get("yaml.schemas", {}), **mapping}}


def _write(file: Path, text: str) -> list[Path]:
    """Writes a file where its text differs."""
    if file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text:
        return []
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return [file]


def _pretty(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
