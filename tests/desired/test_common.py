"""One copy for many lines: a base, the instances' patches on it, shared texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired.again import Again
from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config, target_of
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Problem
from reconciler.model import Desired, Object, Ref
from tests.conftest import Repo
from tests.reconcile.conftest import ACCOUNT, INSTANCE, bot_file

LINES = ["bistro", "cafe", "bar"]
SETTINGS = (
    "apiVersion: reconciler/v1\nkind: Settings\nmetadata: {name: default}\nspec:\n  credentials: main\n  expire: 1h\n"
    "  unknownMessage: Sorry\n"
)
PATCH = "apiVersion: reconciler/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def lines() -> dict[str, str | None]:
    """Three lines that share an account, Settings and a bot."""
    files: dict[str, str | None] = {f"bots/{name}/line.yaml": INSTANCE.replace("bistro", name) for name in LINES}
    base = {"main": ACCOUNT, "settings": SETTINGS, "a": bot_file("a")}
    return files | {f"bots/_base/{name}.yaml": text for name, text in base.items()}


def read(repo: Repo, commit: str | None = None) -> Desired:
    repository = Repository.discover(repo.root)
    config = read_config(repository, commit)
    return read_desired(repository, commit, config, target_of(config, None), None)


def one(desired: Desired, kind: str, instance: str, name: str) -> Object:
    return next(each for each in desired.objects if each.ref == Ref(kind, instance, name))  # type: ignore[arg-type]


def test_every_instance_has_what_is_in_the_base(repo: Repo) -> None:
    found = read(repo, repo.commit(lines()))
    assert [str(each.ref) for each in found.objects if each.ref.kind != "Instance"] == [
        f"{kind} {name}/{what}"
        for kind, what in (("Credentials", "main"), ("Settings", "default"), ("Bot", "a"))
        for name in sorted(LINES)
    ]
    bot = one(found, "Bot", "cafe", "a")
    assert (bot.spec["expire"], bot.spec["unknownMessage"], bot.at.path) == (3600, "Sorry", "bots/_base/a.yaml")


def test_an_instance_may_have_some_of_it_otherwise(repo: Repo) -> None:
    repo.commit(lines())
    repo.commit(
        {
            "bots/bar/late.patch.yaml": PATCH.format(kind="Settings", name="default", spec="{expire: 2h}"),
            "bots/cafe/deep/bot.patch.yml": PATCH.format(
                kind="Bot", name="a", spec="{maxTokens: 7, model: null, botType: assistant, assistantId: x}"
            ),
            "bots/bar/own.yaml": bot_file("own"),
        }
    )
    found = read(repo)
    settings = {name: one(found, "Settings", name, "default").spec for name in LINES}
    assert [settings[name]["expire"] for name in LINES] == [3600, 3600, 7200]
    assert {each["unknownMessage"] for each in settings.values()} == {"Sorry"}
    assert (one(found, "Bot", "cafe", "a").spec["maxTokens"], one(found, "Bot", "cafe", "a").spec["model"]) == (7, None)
    assert one(found, "Bot", "bar", "own").spec["unknownMessage"] == "Sorry"


def test_an_overlay_has_the_last_word(repo: Repo) -> None:
    repo.commit(
        {
            **lines(),
            "reconciler.yaml": "kind: Config\ntargets: {one: {type: runtime, overlay: over}}\n",
            "bots/bar/a.patch.yaml": PATCH.format(kind="Bot", name="a", spec="{maxTokens: 7, expire: 5m}"),
            "over/bar/a.yaml": PATCH.format(kind="Bot", name="a", spec="{maxTokens: 9}"),
        }
    )
    spec = one(read(repo), "Bot", "bar", "a").spec
    assert (spec["maxTokens"], spec["expire"]) == (9, 300)


def test_some_instances_alone(repo: Repo) -> None:
    text = bot_file("few", meta=", instances: [bar, cafe]")
    found = read(repo, repo.commit({**lines(), "bots/_base/few.yaml": text}))
    assert sorted(each.ref.instance for each in found.objects if each.ref.name == "few") == ["bar", "cafe"]


WRONG = [
    ("bots/_base/x.yaml", INSTANCE, "an Instance is one line of chats"),
    ("bots/_base/x.yaml", bot_file("x", meta=", instance: bar"), "what is in _base/ is every instance's"),
    ("bots/_base/x.yaml", bot_file("x", meta=", adopts: cmw1"), "is one object's id"),
    ("bots/_base/x.yaml", bot_file("x", meta=", instances: [baar]"), "no Instance 'baar' (did you mean 'bar'?)"),
    ("bots/bar/x.yaml", bot_file("x", meta=", instances: [bar]"), "belongs to what is in `_base/`"),
    ("bots/bar/x.yaml", bot_file("a"), "Bot bar/a is declared a second time (the base has one"),
    ("bots/bar/x.patch.yaml", PATCH.format(kind="Bot", name="b", spec="{}"), "there is no Bot bar/b to patch"),
]


@pytest.mark.parametrize(("path", "text", "said"), WRONG)
def test_what_cannot_be(repo: Repo, path: str, text: str, said: str) -> None:
    repo.commit({**lines(), path: text})
    with pytest.raises(InvalidBots) as raised:
        read(repo)
    assert [one.path for one in raised.value.problems] == [path]
    assert said in str(raised.value.problems[0])


def test_a_mistake_in_the_base_is_told_once(repo: Repo) -> None:
    repo.commit({**lines(), "bots/_base/a.yaml": bot_file("a").replace("credentials: main", "credentials: mian")})
    with pytest.raises(InvalidBots) as raised:
        read(repo)
    (problem,) = raised.value.problems
    assert str(problem).startswith(
        "bots/_base/a.yaml:5:16: spec.credentials: there are no Credentials named 'mian' in the instance 'bar' "
        "(and so in 2 more instances)"
    )


def test_texts_are_shared_from_one_folder_and_found_at_the_commit(repo: Repo, tmp_path: Path) -> None:
    more = "  systemMessages:\n    - file: _shared/prompts/tone.md\n    - file: prompts/own.md\n"
    commit = repo.commit(
        {
            **lines(),
            "bots/_base/a.yaml": bot_file("a", more=more),
            "bots/bar/deep/b.yaml": bot_file("b", more="  systemMessages: [{file: _shared/prompts/tone.md}]\n"),
            "bots/_base/prompts/own.md": "Of the base",
            "bots/_shared/prompts/tone.md": "Be kind",
            "bots/_shared/notes.yaml": "not: a document",
        }
    )
    repo.write("bots/_shared/prompts/tone.md", "Be quick")
    assert one(read(repo, commit), "Bot", "cafe", "a").spec["systemMessages"] == ["Be kind", "Of the base"]
    assert one(read(repo, commit), "Bot", "bar", "b").spec["systemMessages"] == ["Be kind"]
    assert one(read(repo), "Bot", "bar", "b").spec["systemMessages"] == ["Be quick"]
    repo.commit({"bots/bar/deep/b.yaml": bot_file("b", more="  systemMessages: [{file: _shared/../a.md}]\n")})
    with pytest.raises(InvalidBots, match="is not a path below this folder"):
        read(repo)


def test_the_loop_sees_a_change_of_the_base_in_every_instance(repo: Repo, tmp_path: Path) -> None:
    repository = Repository.discover(repo.root)
    again = Again(repository, tmp_path / "cache")
    repo.commit(lines())
    for tokens in (1, 2):
        commit = repo.commit({"bots/_base/a.yaml": bot_file("a", tokens)})
        config = read_config(repository, commit)
        found = again.read(commit, config, target_of(config, None))
        assert {each.spec["maxTokens"] for each in found.objects if each.ref.kind == "Bot"} == {tokens}
    patch = PATCH.format(kind="Bot", name="a", spec="{maxTokens: 9}")
    found = again.read(repo.commit({"bots/bar/a.patch.yaml": patch}), config, target_of(config, None))
    assert one(found, "Bot", "bar", "a").spec["maxTokens"] == 9


def problems(repo: Repo) -> list[Problem]:
    with pytest.raises(InvalidBots) as raised:
        read(repo)
    return list(raised.value.problems)


def test_a_patch_of_what_is_not_there_is_an_error_even_if_it_is_whole(repo: Repo) -> None:
    named = bot_file("aa")
    repo.commit({**lines(), "bots/cafe/typo.patch.yaml": named})
    (problem,) = problems(repo)
    assert (problem.path, problem.message) == ("bots/cafe/typo.patch.yaml", "there is no Bot cafe/aa to patch")
    assert "'a'" in problem.hint
    settings = PATCH.format(kind="Settings", name="defualt", spec="{expire: 2h}")
    repo.commit({"bots/cafe/typo.patch.yaml": settings})
    (problem,) = problems(repo)
    assert problem.message == "there is no Settings cafe/defualt to patch"
    assert "'default'" in problem.hint
    # What cannot be read may have declared it.
    repo.commit({"bots/_base/settings.yaml": "kind: [\n"})
    assert [one.path for one in problems(repo)] == ["bots/_base/settings.yaml"]


def test_a_patch_belongs_to_an_instance(repo: Repo) -> None:
    repo.commit({**lines(), "bots/_base/a.patch.yaml": PATCH.format(kind="Bot", name="a", spec="{maxTokens: 7}")})
    (problem,) = problems(repo)
    assert (problem.path, problem.pointer) == ("bots/_base/a.patch.yaml", "metadata.instance")
