"""reconciler.yaml: defaults, values, and every problem at its place."""

from __future__ import annotations

import pytest

from reconciler.desired.config import desired_ref, read_config, target_of
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Misuse
from reconciler.model import Config, Gates, Target
from tests.conftest import Repo

HEAD = "apiVersion: reconciler/v1\nkind: Config\n"


def test_absent_empty_and_whole(repo: Repo) -> None:
    repository = Repository.discover(repo.root)
    assert read_config(repository, None) == Config()
    repo.write("reconciler.yaml", "# nothing yet\n")
    assert read_config(repository, None) == Config()
    commit = repo.commit({"reconciler.yaml": HEAD})
    assert read_config(repository, commit) == Config()
    text = HEAD + (
        "source: {path: ./fleet//bots/, ref: main, name: acme}\n"
        "targets:\n"
        "  local: {type: runtime}\n"
        "  far: {type: runtime, url: https://far.example.com, apiKey: {file: key}, overlay: overlays/far/,"
        " gates: {updates: 12.5, deletes: 0, from: 3}}\n"
        "sync: {interval: 2m, prune: false, selfHeal: false}\n"
    )
    repo.write("reconciler.yaml", text)
    assert read_config(repository, None) == Config(
        path="fleet/bots",
        ref="main",
        name="acme",
        targets=(
            Target(name="local"),
            Target(
                name="far",
                url="https://far.example.com",
                api_key={"file": "key"},
                overlay="overlays/far",
                gates=Gates(updates=12.5, deletes=0, above=3),
            ),
        ),
        interval=120,
        prune=False,
        self_heal=False,
    )
    assert read_config(repository, commit) == Config()
    assert desired_ref(repository) == "main"
    repo.write("reconciler.yaml", HEAD + "sync: {interval: 30}\nsource: {path: .}\ntargets: {}\n")
    assert (read_config(repository, None).interval, read_config(repository, None).path) == (30.0, ".")
    assert [target.name for target in read_config(repository, None).targets] == ["local"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "sync: {interval: 500ms}\n", "3:18: sync.interval: '500ms' is not between 1s and 24h"),
        (HEAD + "sync: {interval: 2d}\n", "3:18: sync.interval: '2d' is not between 1s and 24h"),
        (HEAD + "sorce: {}\n", "3:1: sorce: is not a known field (did you mean 'source'?)"),
        (HEAD + "source: {path: ../x}\n", "3:16: source.path: '../x' is not as it should be"),
        (HEAD + "targets: {a: {type: runtime, overlay: .}}\n", "3:39: targets.a.overlay: the overlay '.' holds"),
        (HEAD + "---\nkind: Config\n", "4:1: a second document"),
        (HEAD + "a: [\n", "3:5: this is not YAML"),
        ("- a\n", "1:1: is not of type object"),
        (HEAD + "targets: {a: {type: runtime, url: 'http://x/?k=sk-Ab1Cd2Ef3Gh4Ij5Kl6'}}\n", "3:48: this looks like"),
    ],
)
def test_problems(repo: Repo, text: str, expected: str) -> None:
    repo.write("reconciler.yaml", text)
    with pytest.raises(InvalidBots) as raised:
        read_config(Repository.discover(repo.root), None)
    (found, *others) = map(str, raised.value.problems)
    assert found.startswith(f"reconciler.yaml:{expected}"), found
    assert others == []
    assert "Ab1Cd2" not in found


def test_bytes_and_links(repo: Repo) -> None:
    (repo.root / "reconciler.yaml").write_bytes(b"\xff")
    repository = Repository.discover(repo.root)
    with pytest.raises(InvalidBots, match="not UTF-8"):
        read_config(repository, None)
    (repo.root / "reconciler.yaml").unlink()
    (repo.root / "reconciler.yaml").symlink_to("elsewhere")
    with pytest.raises(InvalidBots, match="it is link"):
        read_config(repository, None)


def test_target_of() -> None:
    config = Config(targets=(Target(name="local"), Target(name="production")))
    assert target_of(config, None).name == "local"
    assert target_of(config, "production").name == "production"
    with pytest.raises(Misuse, match="did you mean 'production'"):
        target_of(config, "prodution")


def test_a_bare_repository_says_its_ref_at_head(repo: Repo) -> None:
    repo.commit({"reconciler.yaml": HEAD + "source: {ref: other}\n"})
    assert desired_ref(Repository(repo.root / ".git", repo.root / ".git", bare=True)) == "other"
