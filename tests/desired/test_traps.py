"""Texts that look whole and are not, and placeholders that nobody fills: told at their place, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config, target_of
from reconciler.desired.git import Repository
from reconciler.desired.placeholders import placeholders
from reconciler.desired.traps import comments
from tests.conftest import Repo
from tests.reconcile.conftest import bot_file, fleet

CUT = [
    ("unknownMessage: Digite #SAIR para encerrar", 1, 17, "ends before '#SAIR para encerrar'"),
    ("unknownMessage: Type # to end", 1, 17, "ends before '# to end'"),
    ("systemMessages:\n  - Say #hi to all", 2, 5, "ends before '#hi to all'"),
    ("systemMessages: [Say,\n  hi #5\n  ]", 2, 3, "ends before '#5'"),
    ("keywordFinish: #SAIR", 1, 15, "is empty, for what begins with # is a comment: '#SAIR'"),
    ("turns:\n  - user: menu #1\n  - user: #2", 2, 11, "ends before '#1'"),
    ("unknownMessage: two lines\n  and #more", 1, 17, "ends before '#more'"),
]
WHOLE = [
    "model: gpt-6-luna  # cheap",
    "maxTokens: 300 # enough",
    "triggerType: all # everything",
    "unknownMessage: 'Digite #SAIR'  # in quotes",
    'unknownMessage: "Digite #SAIR"',
    "unknownMessage: Digite#SAIR",
    "unknownMessage: |\n  Digite #SAIR\n",
    "unknownMessage: >-\n  Digite #SAIR\n",
    "# unknownMessage: Digite #SAIR",
    "systemMessages:  # what it knows\n  - file: prompts/a.md  # here\n",
    "metadata: {name: a}  # unknownMessage",
    "unknownMessage: hm\n# a comment below",
    "a: [",
]


@pytest.mark.parametrize(("text", "line", "column", "said"), CUT)
def test_a_text_that_a_comment_cuts_short_is_told(text: str, line: int, column: int, said: str) -> None:
    flaw, empty = comments(text)[0]
    assert (flaw.line, flaw.column, empty) == (line, column, "is empty" in said)
    assert flaw.message.startswith(said)
    assert flaw.hint.startswith("put the text in quotes")


@pytest.mark.parametrize("text", WHOLE)
def test_a_comment_beside_anything_else_is_a_comment(text: str) -> None:
    assert comments(text) == []


FILLED_BY_NOBODY = [
    ("Você é a Sofia da {{empresa}}. Hoje é {{ $now }}.", ["{{empresa}}", "{{ $now }}"]),
    ("{{$json.body.name}} and {{ $('Webhook').x }}", ["{{$json.body.name}}", "{{ $('Webhook').x }}"]),
    ("Olá ${nome}, hoje ${new Date()}", ["${nome}", "${new Date()}"]),
    ("Hi {name}, welcome to {business.name}", ["{name}", "{business.name}"]),
    ("Olá {endereço}!", ["{endereço}"]),
    ("%nome% %first_name%", ["%nome%", "%first_name%"]),
    ("<%= name %>", ["<%= name %>"]),
    ("{a} {b} {c} {d}", ["{a}", "{b}", "{c}"]),
]
NO_PLACEHOLDER = [
    'Answer as JSON: {"name": "Ana", "ok": true}',
    "{ a: 1 }",
    "{}",
    "a set {1, 2}",
    "100% of 50% and %",
    "function f() { return x }",
    "```\nUse {name} and {{x}} in code\n```\n",
    "x_{i}",
    "",
]


@pytest.mark.parametrize(("text", "found"), FILLED_BY_NOBODY)
def test_what_another_system_would_fill_in(text: str, found: list[str]) -> None:
    assert [one for _, one in placeholders(text)] == found
    assert all(text[start:].startswith(one) for start, one in placeholders(text))


@pytest.mark.parametrize("text", NO_PLACEHOLDER)
def test_json_and_code_are_no_placeholders(text: str) -> None:
    assert list(placeholders(text)) == []


def warned(repo: Repo, cache: Path) -> list[str]:
    repository = Repository.discover(repo.root)
    config = read_config(repository, None)
    found = read_desired(repository, None, config, target_of(config, None), cache)
    return [f"{one.path}:{one.line}:{one.column}: {one.message}" for one in found.warnings]


def test_both_are_warnings_at_their_place_each_time(repo: Repo, tmp_path: Path) -> None:
    """Also where files were read before; of a prompt that many bots use once."""
    prompt = "  systemMessages:\n    - file: prompts/a.md\n    - Olá {nome}\n"
    repo.commit(
        {
            **fleet(a=bot_file("a", more=prompt + "  unknownMessage: Digite #SAIR\n"), b=bot_file("b", more=prompt)),
            "bots/bistro/prompts/a.md": "Você é a Sofia.\n\nCliente: {{nome}}\n",
        }
    )
    expected = [
        "bots/bistro/a.yaml:12:7: {nome} is filled in by nothing: it goes out as it stands",
        "bots/bistro/a.yaml:13:19: ends before '#SAIR', which is a comment to YAML",
        "bots/bistro/b.yaml:12:7: {nome} is filled in by nothing: it goes out as it stands",
        "bots/bistro/prompts/a.md:3:10: {{nome}} is filled in by nothing: it goes out as it stands",
    ]
    for _ in range(2):
        assert warned(repo, tmp_path / "cache") == expected


UNSEEN = [
    ("triggerValue", "me\u200bnu", "a zero width space (U+200B), which nobody sees: 'me\\u200bnu'"),
    ("keywordFinish", "sair\u00a0já", "a non-breaking space (U+00A0), which nobody sees: 'sair\\xa0já'"),
    ("ignoreJids", ["5511\u202c@s.whatsapp.net"], "a pop directional formatting (U+202C)"),
    ("triggerValue", "“menu”", "quotes that customers would have to write too: “menu”"),
    ("triggerValue", "don’t", ""),
    ("triggerValue", "olá ❤️ 👨\u200d👩", ""),
]


@pytest.mark.parametrize(("field", "value", "said"), UNSEEN)
def test_what_customers_write_and_nobody_sees_is_told(
    repo: Repo, tmp_path: Path, field: str, value: object, said: str
) -> None:
    text = bot_file("a").replace("triggerType: none", "triggerType: keyword\n  triggerOperator: equals")
    text += f"  {field}: {json.dumps(value, ensure_ascii=False)}\n" + (
        "" if field == "triggerValue" else "  triggerValue: menu\n"
    )
    repo.commit(fleet(a=text))
    repository = Repository.discover(repo.root)
    config = read_config(repository, None)
    found = read_desired(repository, None, config, target_of(config, None), tmp_path / "cache").warnings
    assert [one.message.startswith(f"holds {said}") for one in found] == ([True] if said else [])
    assert all(one.pointer.startswith(f"spec.{field}") for one in found)


def test_a_file_without_any_costs_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.desired.traps._plain_texts", lambda _: pytest.fail("looked at"))
    assert comments("unknownMessage: a#b\nmodel: x") == []
