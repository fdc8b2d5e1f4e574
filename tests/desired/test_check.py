"""Whole repositories as desired state: effective values, overlays, texts, the cache, several targets."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.desired import documents
from reconciler.desired.check import read_desired, read_targets
from reconciler.desired.files import files_of
from reconciler.desired.git import Repository
from reconciler.desired.read import read as read_yaml
from reconciler.desired.write import dump
from reconciler.errors import InvalidBots, Problem
from reconciler.model import Config, Desired, Object, Place, Ref, Target
from tests.conftest import Repo
from tests.reconcile.conftest import INSTANCE, bot_file, fleet

ROOT = Path(__file__).parent.parent.parent
LOCAL = Target(name="local")
PRODUCTION = Target(name="production", overlay="overlays/production")

BASE = """\
apiVersion: reconciler/v1
kind: Instance
metadata: {name: bistro, labels: {a: b}}
spec: {instanceName: Bistro 01, channel: evolution, number: "5511", retention: 90d}
---
kind: Credentials
metadata: {name: main}
spec:
  apiKey: {env: KEY}
  baseUrl: https://api.example.com/v1
---
kind: Settings
metadata: {name: default}
spec: {credentials: main, expire: 1h, keywordFinish: stop, ignoreJids: ["@g.us"], speechToText: true, fallbackBot: one}
---
kind: Assistant
metadata: {name: helper}
spec: {instructions: {file: prompts/helper.md}, model: gpt-4o, temperature: 0.5}
"""
BOT = """\
apiVersion: reconciler/v1
kind: Bot
metadata: {name: one, formerly: zero, labels: {team: x}, protect: true}
spec:
  botType: assistant
  assistant: helper
  triggerType: keyword
  triggerOperator: equals
  triggerValue: no
  systemMessages: [inline, {file: prompts/one.md}]
  expire: 0
  delayMessage: 2s
  ignoreJids: [a@x, "@g.us"]
"""
FILES = {
    "bots/bistro/base.yaml": BASE,
    "bots/bistro/one.yaml": BOT,
    "bots/bistro/prompts/helper.md": "Help.\r\nWell.\n\n",
    "bots/bistro/prompts/one.md": "One.",
}


def objects(desired: Desired) -> dict[str, Object]:
    return {str(object_.ref): object_ for object_ in desired.objects}


def read(repo: Repo, commit: str | None = None, target: Target = LOCAL, cache: Path | None = None) -> Desired:
    config = Config(targets=(LOCAL, PRODUCTION))
    return read_desired(Repository.discover(repo.root), commit, config, target, cache)


def problems(repo: Repo, target: Target = LOCAL, commit: str | None = None) -> list[str]:
    with pytest.raises(InvalidBots) as raised:
        read(repo, commit, target)
    return list(map(str, raised.value.problems))


def test_effective_values(repo: Repo) -> None:
    commit = repo.commit(FILES)
    desired = read(repo, commit)
    assert (desired.commit, desired.source, desired.warnings) == (commit, "", ())
    found = objects(desired)
    assert list(found) == [
        "Instance bistro",
        "Credentials bistro/main",
        "Assistant bistro/helper",
        "Settings bistro/default",
        "Bot bistro/one",
    ]
    assert found["Instance bistro"].spec == {
        "instanceName": "Bistro 01",
        "integration": "EVOLUTION",
        "number": "5511",
        "webhook": None,
        "retention": 90 * 86_400,
    }
    assert found["Instance bistro"].labels == {"a": "b"}
    assert found["Credentials bistro/main"].spec == {
        "apiKey": {"env": "KEY"},
        "baseUrl": "https://api.example.com/v1",
        "organization": None,
        "project": None,
        "whenMissing": None,
    }
    assert found["Credentials bistro/main"].at == Place("bots/bistro/base.yaml", 9, 11)
    assert found["Assistant bistro/helper"].spec == {
        "assistantId": "helper",
        "instructions": "Help.\nWell.",
        "model": "gpt-4o",
        "temperature": 0.5,
        "reasoningEffort": None,
        "tools": None,
        "metadata": None,
    }
    behaviour = {
        "expire": 3600,
        "keywordFinish": "stop",
        "delayMessage": 1000,
        "unknownMessage": None,
        "listeningFromMe": False,
        "stopBotFromMe": False,
        "keepOpen": False,
        "debounceTime": 1000,
        "ignoreJids": ["@g.us"],
        "splitMessages": False,
        "timePerChar": 0,
    }
    assert found["Settings bistro/default"].spec == {
        "credentials": "main",
        **behaviour,
        "speechToText": True,
        "fallbackBot": "one",
    }
    bot = found["Bot bistro/one"]
    assert list(bot.spec.items()) == list(
        {
            "enabled": True,
            "description": None,
            "botType": "assistant",
            "credentials": "main",
            "assistantId": "helper",
            "functionUrl": None,
            "model": None,
            "systemMessages": ["inline", "One."],
            "assistantMessages": None,
            "userMessages": None,
            "maxTokens": None,
            "triggerType": "keyword",
            "triggerOperator": "equals",
            "triggerValue": "no",
            **behaviour,
            "expire": 0,
            "delayMessage": 2000,
            "ignoreJids": ["@g.us", "a@x"],
            "tools": None,
            "temperature": None,
            "reasoningEffort": None,
        }.items()
    )
    assert bot.inherited == ("credentials", "keywordFinish")
    assert (bot.at, bot.labels, bot.formerly, bot.protect) == (
        Place("bots/bistro/one.yaml", 1, 1),
        {"team": "x"},
        "zero",
        True,
    )


def test_overlay(repo: Repo) -> None:
    overlay = """\
apiVersion: reconciler/v1
kind: Bot
metadata: {name: one, labels: {tier: gold}}
spec: {delayMessage: null, expire: 2h, systemMessages: [{file: more.md}], triggerValue: yes}
---
kind: Assistant
metadata: {name: helper}
spec: {instructions: {file: helper.md}}
---
kind: Conversation
metadata: {name: own}
spec: {turns: [{user: yes, after: 2s, expect: {bot: one}}]}
"""
    repo.write("overlays/production/bistro/over.yaml", overlay)
    repo.write("overlays/production/bistro/more.md", "More.\n")
    repo.write("overlays/production/bistro/helper.md", "Other.\n")
    repo.commit(FILES)
    base, over = objects(read(repo)), objects(read(repo, target=PRODUCTION))
    assert base["Bot bistro/one"].spec["delayMessage"] == 2000
    bot = over["Bot bistro/one"]
    changed = {field for field, value in bot.spec.items() if value != base["Bot bistro/one"].spec[field]}
    assert changed == {"delayMessage", "expire", "systemMessages", "triggerValue"}
    assert (bot.spec["expire"], bot.spec["systemMessages"], bot.spec["triggerValue"]) == (7200, ["More."], "yes")
    assert bot.labels == {"team": "x", "tier": "gold"}
    assert bot.at.path == "bots/bistro/one.yaml"
    assert over["Assistant bistro/helper"].spec["instructions"] == "Other."
    assert over["Conversation bistro/own"].spec == {"turns": [{"user": "yes", "after": 2000, "expect": {"bot": "one"}}]}
    assert "Conversation bistro/own" not in base


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (
            "kind: Bot\nmetadata: {name: one}\nspec: {expire: soon, triggerType: null}\n",
            ["4:16: spec.expire: 'soon' is no duration", "4:35: spec.triggerType: is required"],
        ),
        (
            "kind: Bot\nmetadata: {name: two}\nspec: {expire: 1h}\n",
            ["3:18: metadata.name: there is no Bot bistro/two to patch"],
        ),
        ("kind: Bot\nmetadata: {name: Two}\nspec: {}\n", ["3:18: metadata.name: is required"]),
        (
            "kind: Bot\nmetadata: {name: one}\nspec: {systemMessages: [{file: prompts/one.md}]}\n",
            ["4:32: spec.systemM"],
        ),
        ("kind: Bot\nmetadata: {name: one}\nspecs: {}\n", ["4:1: specs: is not a known field"]),
        (
            "kind: Settings\nmetadata: {name: default}\nspec: {fallbackBot: on}\n",
            ["4:21: spec.fallbackBot: there is no"],
        ),
    ],
)
def test_a_problem_of_a_merged_value_is_shown_where_it_came_from(repo: Repo, overlay: str, expected: list[str]) -> None:
    repo.commit({**FILES, "overlays/production/bistro/over.yaml": f"apiVersion: reconciler/v1\n{overlay}"})
    assert read(repo).warnings == ()
    found = problems(repo, PRODUCTION)
    assert len(found) == len(expected)
    for one, begin in zip(found, expected, strict=True):
        assert one.startswith(f"overlays/production/bistro/over.yaml:{begin}"), one


def test_an_overlay_does_not_hide_what_is_wrong_below_it(repo: Repo) -> None:
    over = "apiVersion: reconciler/v1\nkind: Bot\nmetadata: {name: one}\nspec: {expire: 1h}\n"
    files = {**FILES, "bots/bistro/one.yaml": BOT.replace("expire: 0", "expire: never")}
    repo.commit({**files, "overlays/production/bistro/over.yaml": over})
    assert len(problems(repo, PRODUCTION)) == 1


def test_several_targets_give_each_problem_once(repo: Repo) -> None:
    repo.commit({**FILES, "bots/bistro/bad.yaml": "apiVersion: reconciler/v1\nkind: Bog\n"})
    targets = (LOCAL, PRODUCTION, Target(name="third"))
    config = Config(targets=targets)
    repository = Repository.discover(repo.root)
    with pytest.raises(InvalidBots) as raised:
        read_targets(repository, None, config, targets, None)
    assert len(raised.value.problems) == 1
    commit = repo.commit({"bots/bistro/bad.yaml": None})
    read_all = read_targets(repository, commit, config, targets, None)
    assert list(read_all) == ["local", "production", "third"]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("bots/loose.yaml", BOT, "bots/loose.yaml:3:1: metadata.instance: is required: the file lies in no folder"),
        ("bots/Bistro/x.yaml", BOT, "bots/Bistro/x.yaml:3:1: metadata.instance: is required: the folder 'Bistro'"),
        ("bots/bistro/empty.yaml", "", None),
        ("bots/bistro/prompts/helper.md", " \n", "bots/bistro/base.yaml:18:29: spec.instructions.file: the file"),
        ("bots/bistro/prompts/helper.md", "a\0b", "bots/bistro/base.yaml:18:29: spec.instructions.file: the file"),
        ("bots/bistro/prompts/helper.md", "x" * (documents.TEXT_LIMIT + 1), "bots/bistro/base.yaml:18:29"),
        ("bots/bistro/prompts/one.md", "use sk-Ab1Cd2Ef3Gh4Ij5Kl6", "bots/bistro/prompts/one.md:1:5: this looks like"),
    ],
)
def test_one_file_wrong(repo: Repo, path: str, text: str, expected: str | None) -> None:
    commit = repo.commit({**FILES, path: text})
    if expected is None:
        assert read(repo, commit).warnings == ()
        return
    for at in (None, commit):
        (found,) = problems(repo, commit=at)
        assert found.startswith(expected)
        assert "Ab1Cd2" not in found


def test_links_and_names(repo: Repo) -> None:
    repo.commit(FILES)
    (repo.root / "bots/bistro/prompts/one.md").unlink()
    (repo.root / "bots/bistro/prompts/one.md").symlink_to("helper.md")
    (repo.root / "bots/bistro/link.yaml").symlink_to("one.yaml")
    (repo.root / os.fsdecode(b"bots/bistro/\xe9.yaml")).write_text(BOT)
    (repo.root / "bots/bistro/\x1b[31m.yaml").symlink_to("one.yaml")
    expected = [
        "bots/bistro/\\x1b[31m.yaml: the file is a link, which is not followed",
        "bots/bistro/\\xe9.yaml: the file's name is not UTF-8 (rename it)",
        "bots/bistro/link.yaml: the file is a link, which is not followed",
        "bots/bistro/one.yaml:10:35: spec.systemMessages[1].file: the file bots/bistro/prompts/one.md is a link, "
        "which is not followed",
    ]
    commit = repo.commit()
    assert problems(repo) == expected
    assert problems(repo, commit=commit) == expected


def test_text_that_is_not_utf_8(repo: Repo) -> None:
    repo.commit(FILES)
    (repo.root / "bots/bistro/prompts/one.md").write_bytes(b"a\n\xff")
    assert "is no UTF-8 text (line 2: the file has the byte 0xff" in problems(repo)[0]
    (repo.root / "bots/bistro/prompts/one.md").write_bytes("olá".encode("utf-16"))
    assert "the file is UTF-16, which is not UTF-8" in problems(repo)[0]


def test_an_uncommitted_text_is_named(repo: Repo) -> None:
    files: dict[str, Any] = {**FILES, "bots/bistro/one.yaml": BOT.replace("prompts/one.md", "late.md")}
    commit = repo.commit(files)
    repo.write("bots/bistro/late.md", "Late.")
    assert f"looked for it in commit {commit[:8]}; is it committed?" in problems(repo, commit=commit)[0]
    assert objects(read(repo))["Bot bistro/one"].spec["systemMessages"] == ["inline", "Late."]


def test_a_name_is_not_called_missing_while_a_file_cannot_be_read(repo: Repo) -> None:
    repo.commit({**FILES, "bots/bistro/base.yaml": BASE + "---\na: [\n"})
    assert [one.split(": ")[1] for one in problems(repo)] == ["this is not YAML"]


@pytest.mark.parametrize(
    ("spec", "warned"),
    [
        ("triggerType: all, keepOpen: true, expire: 0", "spec.triggerType: with `all`, `keepOpen` and no `expire`"),
        ("triggerType: all, keepOpen: true, expire: 1h", None),
        ("triggerType: all, keepOpen: true", None),
        ("triggerType: none, tools: [{type: function, name: f}]", "spec.functionUrl: the bot has function tools"),
        ("triggerType: none, tools: [{type: function, name: f}], functionUrl: 'https://example.com/f'", None),
        ("triggerType: all, enabled: false, description: none", None),
    ],
)
def test_warnings(repo: Repo, spec: str, warned: str | None) -> None:
    bot = f"apiVersion: reconciler/v1\nkind: Bot\nmetadata: {{name: two}}\nspec: {{botType: chatCompletion, model: m, maxTokens: 1, {spec}}}\n"  # noqa: E501
    repo.commit({**FILES, "bots/bistro/two.yaml": bot})
    said = read(repo).warnings
    assert len(said) == (warned is not None)
    assert not warned or str(said[0]).partition(": ")[2].startswith(warned)


def test_more_warnings(repo: Repo) -> None:
    disabled = BOT.replace("spec:\n", "spec:\n  enabled: false\n")
    repo.commit({**FILES, "bots/bistro/one.yaml": disabled.replace("assistant: helper", "assistantId: asst_9")})
    assert [one.pointer for one in read(repo).warnings] == ["spec.fallbackBot", "spec.assistantId"]


def test_no_files_at_all(repo: Repo) -> None:
    desired = read(repo, repo.commit())
    assert desired.objects == ()
    assert [str(one) for one in desired.warnings] == ["bots: holds no YAML files, so nothing is declared"]


def test_same_trigger_counts_enabled_bots_only(repo: Repo) -> None:
    two = BOT.replace("name: one, formerly: zero", "name: two").replace("spec:\n", "spec:\n  enabled: false\n")
    assert len(read(repo, repo.commit({**FILES, "bots/bistro/two.yaml": two})).objects) == 6


# --- the cache -----------------------------------------------------------------------------------------------


def test_the_cache_spares_reading_and_changes_nothing(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "documents.cache"
    over = "apiVersion: reconciler/v1\nkind: Bot\nmetadata: {name: one}\nspec: {expire: 1h}\n"
    commit = repo.commit({**FILES, "overlays/production/bistro/over.yaml": over})
    fresh = read(repo, commit, PRODUCTION)
    assert read(repo, commit, PRODUCTION, cache) == fresh
    assert cache.stat().st_mode & 0o777 == 0o400
    monkeypatch.setattr(documents, "read", None)
    assert read(repo, commit, PRODUCTION, cache) == fresh
    tree = read(repo, None, PRODUCTION, cache)
    assert tree.objects == fresh.objects


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "mode", "folder", "forged"])
def test_a_damaged_or_foreign_cache_is_as_good_as_none(repo: Repo, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "documents.cache"
    commit = repo.commit(FILES)
    fresh = read(repo, commit, LOCAL, cache)
    content = cache.read_bytes()
    cache.unlink()
    if damage == "folder":
        cache.mkdir()
    else:
        damaged = {"cut": content[: len(content) // 2], "garbage": b"\xc1" * 50, "empty": b""}.get(damage, content)
        cache.write_bytes(damaged.replace(b"reconciler/v1", b"reconciler/v9") if damage == "forged" else damaged)
        cache.chmod(0o400 if damage in ("cut", "garbage", "empty") else 0o600)
    assert read(repo, commit, LOCAL, cache) == fresh


def test_files_with_problems_and_files_gone_are_not_kept(repo: Repo, tmp_path: Path) -> None:
    cache = tmp_path / "documents.cache"
    bad = repo.commit(
        {**FILES, "bots/bistro/bad.yaml": "apiVersion: reconciler/v1\nkind: Bot\nmetadata: {name: bad}\n"}
    )
    for _ in range(2):
        with pytest.raises(InvalidBots):
            read(repo, bad, LOCAL, cache)
    assert b"One." in cache.read_bytes()
    files: dict[str, str | None] = {"bots/bistro/bad.yaml": None, "bots/bistro/prompts/one.md": "Uno."}
    read(repo, repo.commit(files), LOCAL, cache)
    assert b"Uno." in cache.read_bytes()
    assert b"One." not in cache.read_bytes()


def test_a_cache_that_cannot_be_written_harms_nobody(repo: Repo, tmp_path: Path) -> None:
    assert read(repo, repo.commit(FILES), LOCAL, tmp_path / "absent" / "documents.cache").objects


# --- patterns of triggers, by what searches them ---------------------------------------------------------------

EVOLUTION = Target(name="evo", type="evolution", url="http://127.0.0.1:1", api_key={"env": "K"})


@pytest.mark.parametrize(
    ("pattern", "on_runtime", "on_evolution"),
    [
        ("^a+$", "", ""),
        ("(?i)\\bhello\\b", "", ""),  # JavaScript gets both cases of each letter
        ("a(?=b)", "RE2 refuses this pattern", ""),
        ("(a)\\1", "RE2 refuses this pattern", ""),
        ("a(?i)b", "", "JavaScript refuses this pattern: invalid group"),
        ("\\pL+", "", "JavaScript reads \\p in the pattern as the letter p"),
        ("[[:alpha:]]", "", "JavaScript does not read [:alpha:]"),
        ("(a", "RE2 refuses this pattern", "JavaScript refuses this pattern: unterminated group"),
    ],
)
def test_a_pattern_is_judged_by_what_searches_it(
    repo: Repo, pattern: str, on_runtime: str, on_evolution: str, tmp_path: Path
) -> None:
    bot = BOT.replace("Operator: equals", "Operator: regex").replace("triggerValue: no", f"triggerValue: '{pattern}'")
    commit = repo.commit({**FILES, "bots/bistro/one.yaml": bot})
    for target, expected in ((LOCAL, on_runtime), (EVOLUTION, on_evolution)):
        for _ in range(2):  # the second time from the cache, which both share
            try:
                read(repo, commit, target, tmp_path / "documents.cache")
                found = ""
            except InvalidBots as error:
                (problem,) = error.problems
                found = problem.message
                assert (problem.path, problem.line, problem.pointer) == ("bots/bistro/one.yaml", 9, "spec.triggerValue")
                assert ("overlay" in problem.hint) == (target is EVOLUTION)
            assert found.startswith(expected), target.name
            assert bool(found) == bool(expected), target.name


# --- whole fleets --------------------------------------------------------------------------------------------


def test_the_example_fleet_is_valid_and_covers_every_trigger() -> None:
    desired = read_desired(Repository(ROOT, ROOT / ".git"), None, Config(), LOCAL, None)
    assert desired.warnings == ()
    bots = [object_.spec for object_ in desired.objects if object_.ref.kind == "Bot"]
    assert {bot["triggerType"] for bot in bots} == {"all", "keyword", "none", "advanced"}
    operators = {bot["triggerOperator"] for bot in bots if bot["triggerOperator"]}
    assert operators == {"equals", "contains", "startsWith", "endsWith", "regex"}
    for instance in ("bistro", "clinica"):
        kinds = [object_.ref.kind for object_ in desired.objects if object_.ref.instance == instance]
        assert {"Instance", "Credentials", "Settings", "Conversation"} <= set(kinds)
    for path in files_of(Repository(ROOT, ROOT / ".git"), None).below("bots"):
        first = (ROOT / path).read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        assert (ROOT / path).parent.joinpath(first.partition("=")[2]).is_file()


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_how_files_are_split_and_ordered_is_irrelevant(repo: Repo, seed: int) -> None:
    parts = [*BASE.removeprefix("apiVersion: reconciler/v1\n").split("---\n"), BOT]
    random.Random(seed).shuffle(parts)
    for old in (repo.root / "bots").rglob("*.yaml"):
        old.unlink()
    for number, part in enumerate(parts):
        text = part if part.startswith("apiVersion") else f"apiVersion: reconciler/v1\n{part}"
        repo.write(f"bots/bistro/{number}.yaml", text)
    repo.write("bots/bistro/prompts/helper.md", "Help.\nWell.")
    repo.write("bots/bistro/prompts/one.md", "One.")
    found = read(repo).objects
    assert [(one.ref, one.spec) for one in found] == sorted(
        [(one.ref, one.spec) for one in found],
        key=lambda pair: (["Instance", "Credentials", "Assistant", "Settings", "Bot"].index(pair[0].kind), pair[0]),
    )
    assert found[-1].ref == Ref("Bot", "bistro", "one")
    assert found[-1].spec["systemMessages"] == ["inline", "One."]
    assert len(found) == 5


_ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "one", "main", "bistro", "1h", "a:b", "(", "/x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["file", "env", "type", "name", "user", "expect", "bot"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def _fields() -> list[tuple[int, tuple[str, ...]]]:
    """Every field of every document of the fleet: the number of the document, the field's path."""
    found = []
    for number, document in enumerate(read_yaml(WHOLE).documents):
        for part in ("metadata", "spec"):
            found += [(number, (part, field)) for field in document.data[part]]
        found += [(number, (part,)) for part in ("kind", "metadata", "spec")]
    return found


WHOLE = f"{BASE}---\n{BOT}---\nkind: Conversation\nmetadata: {{name: t}}\nspec: {{turns: [{{user: a}}]}}\n"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(_fields()), _ODD), min_size=1, max_size=3))
def test_anything_in_any_field_is_taken_or_refused_with_places(
    repo: Repo, changes: list[tuple[tuple[int, tuple[str, ...]], Any]]
) -> None:
    found = [document.data for document in read_yaml(WHOLE).documents]
    for (number, path), value in changes:
        node = found[number]
        for part in path[:-1]:
            node = node[part] if isinstance(node.get(part), dict) else {}
        node[path[-1]] = value
    for path, text in FILES.items():
        if path.endswith(".md"):
            repo.write(path, text)
    repo.write("bots/bistro/all.yaml", "---\n".join(map(dump, found)))
    said: tuple[Problem, ...] = ()
    try:
        assert len(read(repo).objects) == 6
    except InvalidBots as error:
        said = error.problems
    assert all(one.line > 0 and one.column > 0 for one in said)


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ("metadata: {name: mneu}", "there is no Bot bistro/mneu to patch, and as an object of its own it lacks"),
        ("metadata: {name: mneu}", "(did you mean 'menu'?)"),
        ("metadata: {name: menu, instance: clinic}", "(it is there in bistro: say so with `metadata.instance`)"),
        ("metadata: {name: unlike}", "(look at its name)"),
    ],
)
def test_a_patch_of_what_is_not_there_says_so(repo: Repo, patch: str, said: str) -> None:
    repo.commit(
        {
            **fleet(menu=bot_file("menu")),
            "bots/clinic/line.yaml": INSTANCE.replace("bistro", "clinic"),
            "reconciler.yaml": "kind: Config\ntargets: {one: {type: runtime, overlay: over}}\n",
            "over/bistro/patch.yaml": f"apiVersion: reconciler/v1\nkind: Bot\n{patch}\nspec: {{maxTokens: 5}}\n",
        }
    )
    from reconciler.desired.config import read_config, target_of
    from reconciler.desired.git import Repository

    repository = Repository.discover(repo.root)
    config = read_config(repository, None)
    with pytest.raises(InvalidBots) as raised:
        read_desired(repository, None, config, target_of(config, None), None)
    problem, *more = raised.value.problems
    assert more == []
    assert (problem.path, problem.line) == ("over/bistro/patch.yaml", 3)
    assert said in str(problem)
