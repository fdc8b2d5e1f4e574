"""Writes docs/reference/ from the schemas and the commands' --help, the transitions in docs/conversation.md from
reconciler/talk and the list of calls in docs/http-api.md from the route table, and the repository's address of
pyproject.toml wherever else it stands; with --check says whether all of it is up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from links import broken_links, elsewhere_addressed

from reconciler import shape

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
DIAGRAM_PAGE = ROOT / "docs" / "conversation.md"
CALLS_PAGE = ROOT / "docs" / "http-api.md"
NOTE = "<!-- Made by script/docs.py from {source}; do not edit. -->\n\n"


def main() -> int:
    pages = {
        "../http-api.md": with_calls(CALLS_PAGE.read_text()),
        "yaml.md": yaml_page(),
        "http-bodies.md": bodies_page(),
        "outputs.md": outputs_page(),
        "commands.md": commands_page(),
    }
    stale = [name for name, text in pages.items() if current(name) != text]
    conversation = DIAGRAM_PAGE.read_text()
    drawn = with_diagram(conversation)
    addressed = dict(elsewhere_addressed())
    if "--check" in sys.argv:
        broken = list(broken_links())
        for name in stale:
            print(f"docs/reference/{name} is not what the code says: run `python script/docs.py`", file=sys.stderr)
        for line in broken:
            print(line, file=sys.stderr)
        if drawn != conversation:
            print("docs/conversation.md shows other transitions: run `python script/docs.py`", file=sys.stderr)
        for file in addressed:
            print(f"{file.relative_to(ROOT)} names another repository: run `python script/docs.py`", file=sys.stderr)
        return bool(stale or broken or addressed or drawn != conversation)
    if drawn != conversation:
        DIAGRAM_PAGE.write_text(drawn)
        print("wrote docs/conversation.md")
    for file, text in addressed.items():
        file.write_text(text)
        print(f"wrote {file.relative_to(ROOT)}")
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (REFERENCE / name).write_text(pages[name])
        print(f"wrote docs/reference/{name}")
    return 0


def with_diagram(page: str) -> str:
    """The page with the transitions of a session as the code has them between its marks."""
    from reconciler.talk.diagram import mermaid

    before, mark, rest = page.partition("<!-- transitions: ")
    note, _, rest = rest.partition("\n")
    _, end, after = rest.partition("<!-- /transitions -->")
    assert mark, "docs/conversation.md has lost its marks"
    assert end, "docs/conversation.md has lost its marks"
    return f"{before}{mark}{note}\n```mermaid\n{mermaid()}\n```\n{end}{after}"


def current(name: str) -> str | None:
    file = REFERENCE / name
    return file.read_text() if file.exists() else None


def yaml_page() -> str:
    kinds = ["instance", "credentials", "settings", "bot", "assistant", "conversation", "config"]
    parts = [NOTE.format(source="schemas/*.schema.json"), "# YAML reference\n"]
    for kind in kinds:
        document = shape.schema(kind)
        parts.append(f"\n## {document['title']}\n\n{document['description']}\n\n")
        parts.append(table(document))
        if examples := document.get("examples"):
            parts.append(f"\n```json\n{pretty(examples[0])}\n```\n")
    return "".join(parts)


def bodies_page() -> str:
    parts = [NOTE.format(source="schemas/http/*.schema.json"), "# Bodies of the HTTP API\n"]
    for name in shape.names():
        if name.startswith("http/"):
            document = shape.schema(name)
            rows = table(document.get("items", document))  # of a list, those of its entries
            parts.append(f"\n## {document['title']}\n\n{document['description']}\n\n{rows}")
            if examples := document.get("examples"):
                parts.append(f"\n```json\n{pretty(examples[0])}\n```\n")
    return "".join(parts)


def inlined(node: Any, document: dict[str, Any]) -> Any:
    """A schema with its own `$defs` in the place of references to them."""
    if isinstance(node, list):
        return [inlined(one, document) for one in node]
    if not isinstance(node, dict):
        return node
    if str(node.get("$ref", "")).startswith("#/$defs/"):
        target = document["$defs"][node["$ref"].rpartition("/")[2]]
        return inlined({**target, **{key: value for key, value in node.items() if key != "$ref"}}, document)
    return {key: inlined(value, document) for key, value in node.items() if key != "$defs"}


def outputs_page() -> str:
    parts = [NOTE.format(source="schemas/output/*.schema.json"), "# What commands print and read as JSON\n"]
    for name in shape.names():
        if name.startswith("output/"):
            document = shape.schema(name)
            said = f"{document['description']} The whole: `schemas/{name}.schema.json`."
            parts.append(f"\n## {document['title']}\n\n{said}\n\n{table(inlined(document, document))}")
            if examples := document.get("examples"):
                parts.append(f"\n```json\n{pretty(examples[0])}\n```\n")
    return "".join(parts)


CALLS = ("<!-- calls: made by script/docs.py from the route table -->\n", "<!-- end of calls -->\n")
OPENED_BY = {"instance": "instance", "any": "any", "global": "global", "loop": "global", "open": "none"}


def with_calls(text: str) -> str:
    """The page with the list of calls between its marks made anew."""
    before, mark, rest = text.partition(CALLS[0])
    _, end, after = rest.partition(CALLS[1])
    assert mark, "docs/http-api.md has lost its marks"
    assert end, "docs/http-api.md has lost its marks"
    return f"{before}{CALLS[0]}{calls_table()}{CALLS[1]}{after}"


def calls_table() -> str:
    """Every call with the key that opens it and the statuses it can give."""
    from reconciler.runtime.api.describe import statuses, summary
    from reconciler.runtime.app import ENDPOINTS

    rows = ["\n| call | does | key | answers |\n|---|---|---|---|\n"]
    for endpoint in ENDPOINTS:
        query = "".join(f"{'&' if at else '?'}{name}=" for at, name in enumerate(endpoint.query))
        key = "instance or chat" if endpoint.chat else OPENED_BY[endpoint.access]
        if endpoint.access == "loop" and endpoint.method == "GET":
            key += ", reading token"
        answers = ", ".join(str(status) for status in statuses(endpoint) if status not in EVERYWHERE)
        rows.append(f"| `{endpoint.method} {endpoint.path}{query}` | {summary(endpoint)} | {key} | {answers} |\n")
    return "".join([*rows, "\n"])


EVERYWHERE = {401, 413, 415, 429, 500, 503}  # said once, above the table


def table(document: dict[str, Any]) -> str:
    rows = ["| field | type | default | meaning |\n|---|---|---|---|\n"]
    for path, node, required in fields(document):
        default = "required" if required else ("" if "default" not in node else f"`{compact(node['default'])}`")
        meaning = [str(node.get("description", "")), bounds(node)]
        if examples := node.get("examples"):
            meaning.append(f"Example: `{compact(examples[0])}`")
        text = " ".join(part for part in meaning if part).replace("|", "\\|").replace("\n", " ")
        rows.append(f"| `{path}` | {kind_of(node)} | {default} | {text} |\n")
    return "".join(rows)


def fields(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    required = set(node.get("required", []))
    for name, raw in node.get("properties", {}).items():
        child = shape.resolved(raw)
        path = f"{prefix}{name}"
        yield path, child, name in required
        if child.get("type") == "object" and child.get("properties"):
            yield from fields(child, f"{path}.")
        more = child.get("additionalProperties")
        if isinstance(more, dict) and more.get("properties"):
            yield from fields(more, f"{path}.<name>.")
        items = shape.resolved(child.get("items", {}))
        if items.get("properties") and "file" not in items["properties"]:
            yield from fields(items, f"{path}[].")


def kind_of(node: dict[str, Any]) -> str:
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{item}`" for item in node["enum"])
    kinds = node.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    named = " or ".join(kinds)
    if kinds == ["array"]:
        inner = kind_of(shape.resolved(node.get("items", {})))
        return f"list of {inner}"
    if "integer" in kinds and "string" in kinds:
        named = "integer or duration"
    return f"{named}, {node['x-unit']}" if "x-unit" in node else named


def bounds(node: dict[str, Any]) -> str:
    said = []
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        said.append(f"{low} to {high}.")
    if "maxLength" in node and node["maxLength"] < 262144:
        said.append(f"{node['maxLength']} characters at most.")
    if "maxItems" in node:
        said.append(f"{node['maxItems']} entries at most.")
    return " ".join(said)


def compact(value: object) -> str:
    return msgspec.json.encode(value).decode()


def pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def commands_page() -> str:
    from typer.main import get_command

    from reconciler.cli.main import build

    group: Any = get_command(build())
    parts = [NOTE.format(source="the commands' --help"), "# Commands\n\n"]
    parts.append("Every command has `--help`. Exit codes and environment: [the command line](../cli.md).\n")
    for name, command in sorted(commands(group), key=lambda found: found[0]):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["reconciler", name, "[OPTIONS]", *(argument_usage(p) for p in arguments)])
        parts.append(f"\n## {name}\n\n```text\n{usage}\n```\n\n{help_text(command.help or '')}\n")
        rows = [row(p) for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
        if rows:
            parts.append("\n| option | meaning | default |\n|---|---|---|\n" + "".join(rows))
    return "".join(parts)


def commands(group: Any, lead: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{lead}{name}", command
            yield from commands(command, f"{lead}{name} ")
        elif not command.hidden:
            yield f"{lead}{name}", command


def argument_usage(param: Any) -> str:
    name = param.name.upper() + ("..." if param.nargs == -1 else "")
    return name if param.required else f"[{name}]"


def help_text(text: str) -> str:
    text = re.sub(r"\n[ \t]*\n(?=Examples:)", "\n\n", text.strip())
    return text.replace("\f", "")


def row(param: Any) -> str:
    names = ", ".join(f"`{opt}`" for opt in [*param.opts, *param.secondary_opts])
    if param.param_type_name == "argument":
        names = f"`{param.name.upper()}`"
    default = param.default
    shown = "" if default in (None, False, (), []) or callable(default) else f"`{getattr(default, 'value', default)}`"
    meaning = (param.help or "").replace("|", "\\|").replace("\n", " ")
    return f"| {names} | {meaning} | {shown} |\n"


if __name__ == "__main__":
    sys.exit(main())
