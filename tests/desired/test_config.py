"""reconciler.yaml: defaults, values, and every problem at its place."""

from __future__ import annotations

import pytest

from reconciler.desired.config import desired_ref, read_config, target_of
from reconciler.desired.git import Repository
from reconciler.errors import InvalidBots, Misuse
from reconciler.model import Config, ForgeAt, Gates, Price, Sync, Target, Window
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
        " gates: {updates: 12.5, deletes: 0, from: 3}, sync: {prune: true}}\n"
        "sync: {interval: 2m, prune: false, selfHeal: false}\n"
    )
    repo.write("reconciler.yaml", text)
    assert read_config(repository, None) == Config(
        path="fleet/bots",
        ref="main",
        name="acme",
        targets=(
            Target(name="local", sync=Sync(interval=120, prune=False, self_heal=False)),
            Target(
                name="far",
                url="https://far.example.com",
                api_key={"file": "key"},
                overlay="overlays/far",
                gates=Gates(updates=12.5, deletes=0, above=3),
                sync=Sync(interval=120, prune=True, self_heal=False),
                here=False,
            ),
        ),
    )
    assert read_config(repository, commit) == Config()
    assert desired_ref(repository) == "main"
    repo.write("reconciler.yaml", HEAD + "sync: {interval: 30}\nsource: {path: .}\ntargets: {}\n")
    assert (read_config(repository, None).targets[0].sync.interval, read_config(repository, None).path) == (30.0, ".")
    assert [target.name for target in read_config(repository, None).targets] == ["local"]


def test_times_of_all_targets_and_of_one(repo: Repo) -> None:
    text = HEAD + (
        "source: {url: 'git@github.com:acme/bots.git', interval: 5m}\n"
        "sync:\n"
        "  schedule: '*/5 8-18 * * mon-fri'\n"
        "  timezone: Europe/Rome\n"
        "  windows: [{allow: '0 8 * * 1-5', for: 10h}, {deny: '0 12 24 12 *', for: 3600}]\n"
        "targets:\n"
        "  one: {type: runtime, sync: {interval: 10s}}\n"
        "  two: {type: runtime, sync: {schedule: '0 3 * * *', timezone: UTC, windows: []}}\n"
        "  three: {type: runtime}\n"
    )
    repo.write("reconciler.yaml", text)
    config = read_config(Repository.discover(repo.root), None)
    assert (config.url, config.fetch) == ("git@github.com:acme/bots.git", 300)
    windows = (
        Window(allow=True, cron="0 8 * * 1-5", seconds=36_000),
        Window(allow=False, cron="0 12 24 12 *", seconds=3600),
    )
    assert [target.sync for target in config.targets] == [
        Sync(interval=10, timezone="Europe/Rome", windows=windows),
        Sync(schedule="0 3 * * *"),
        Sync(schedule="*/5 8-18 * * mon-fri", timezone="Europe/Rome", windows=windows),
    ]
    assert [target.here for target in config.targets] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "sync: {interval: 500ms}\n", "3:18: sync.interval: '500ms' is not between 1s and 24h"),
        (HEAD + "sync: {interval: 2d}\n", "3:18: sync.interval: '2d' is not between 1s and 24h"),
        (
            HEAD + "sync: {schedule: '61 * * * *'}\n",
            "3:18: sync.schedule: '61 * * * *' is no cron expression: '61': the last value (61)",
        ),
        (
            HEAD + "sync: {schedule: '0 0 * * *', timezone: Mars/Base}\n",
            "3:41: sync.timezone: there is no time zone 'Mars/Base': write one such as Europe/Rome",
        ),
        (
            HEAD + "sync: {windows: [{allow: '0 8 * * funday', for: 1h}]}\n",
            "3:26: sync.windows[0].allow: '0 8 * * funday' is no cron expression: 'funday' is no weekday",
        ),
        (HEAD + "sync: {windows: [{deny: '0 8 * * *', for: 8d}]}\n", "3:43: sync.windows[0].for: '8d' is not between"),
        (
            HEAD + "targets: {a: {type: runtime, sync: {schedule: '* * * *'}}}\n",
            "3:47: targets.a.sync.schedule: '* * * *' is no cron expression: it has 4 fields of five",
        ),
        (HEAD + "source: {interval: 10ms}\n", "3:20: source.interval: '10ms' is not between 1s and 24h"),
        (HEAD + "source: {url: 'https://me:secret@github.com/a/b'}\n", "3:15: source.url: is not the address of a git"),
        (HEAD + "source: {url: 'ext::sh -c x'}\n", "3:15: source.url: is not the address of a git"),
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
    assert "secret" not in found


def test_bytes_and_links(repo: Repo) -> None:
    (repo.root / "reconciler.yaml").write_bytes(b"\xff")
    repository = Repository.discover(repo.root)
    with pytest.raises(InvalidBots, match="not UTF-8"):
        read_config(repository, None)
    (repo.root / "reconciler.yaml").unlink()
    (repo.root / "reconciler.yaml").symlink_to("elsewhere")
    with pytest.raises(InvalidBots, match="is a link, which is not followed"):
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


def test_prices(repo: Repo) -> None:
    text = HEAD + "prices: {currency: EUR, models: {m: {input: 2, cached: 0.5, output: 8}, n: {input: 1, output: 3}}}\n"
    repo.write("reconciler.yaml", text)
    config = read_config(Repository.discover(repo.root), None)
    assert config.currency == "EUR"
    assert config.prices == {
        "m": Price(input=2, cached=0.5, output=8),
        "n": Price(input=1, cached=1, output=3),
    }
    repo.write("reconciler.yaml", HEAD + "prices: {currency: euro, models: {m: {input: -1}}}\n")
    with pytest.raises(InvalidBots) as found:
        read_config(Repository.discover(repo.root), None)
    assert [one.pointer for one in found.value.problems] == [
        "prices.currency",
        "prices.models.m.input",
        "prices.models.m.output",
    ]


def test_forge(repo: Repo) -> None:
    repo.write("reconciler.yaml", HEAD + "forge: {type: github, repository: acme/bots, token: {env: FORGE_TOKEN}}\n")
    config = read_config(Repository.discover(repo.root), None)
    assert config.forge == ForgeAt(type="github", repository="acme/bots", token={"env": "FORGE_TOKEN"})
    repo.write("reconciler.yaml", HEAD + "forge: {type: gitea, repository: acme/bots}\n")
    with pytest.raises(InvalidBots, match="'url' is missing, which gitea needs"):
        read_config(Repository.discover(repo.root), None)
    repo.write("reconciler.yaml", HEAD + "forge: {type: bitbucket, repository: 'a b'}\n")
    with pytest.raises(InvalidBots) as found:
        read_config(Repository.discover(repo.root), None)
    assert [one.pointer for one in found.value.problems] == ["forge.repository", "forge.type"]
