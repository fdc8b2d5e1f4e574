"""What a target says of a change: drift of what it touches, open chats, and what could not be looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from reconciler.desired.check import read_desired
from reconciler.desired.config import read_config
from reconciler.desired.git import Repository
from reconciler.errors import Unavailable
from reconciler.model import Live, LiveObject, Mark
from reconciler.plan.own import MARKED
from reconciler.plan.review.findings import Review
from reconciler.reconcile.once import Site
from reconciler.reconcile.review.live import counting, looking, unseen
from tests.conftest import Repo
from tests.reconcile.review.conftest import look_at


def live_of(repo: Repo, **moved: Any) -> Live:
    """A target that is as the base says, but for fields of the bot `repairs`."""
    repository = Repository.discover(repo.root)
    commit = repository.resolve("main")
    config = read_config(repository, commit)
    objects = []
    for one in read_desired(repository, commit, config, config.targets[0], None).objects:
        if one.ref.kind != "Conversation":
            spec = {**one.spec, **(moved if one.ref.name == "repairs" else {})}
            mark = Mark("", one.ref.name, commit[:8]) if one.ref.kind in MARKED else None
            name = one.ref.name
            objects.append(LiveObject(kind=one.ref.kind, instance="shop", id=name, spec=spec, mark=mark, label=name))
    return Live(objects=tuple(objects), version="")


def looked(repo: Repo, live: Live | Exception, count: Callable[[str, str], Any]) -> Review:
    async def read() -> Live:
        if isinstance(live, Exception):
            raise live
        return live

    async def counted(instance: str, bot: str) -> int | None:
        found = count(instance, bot)
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    site = Site(Repository.discover(repo.root), {}, None)
    return look_at(repo, head="change", target="local", look=looking(site, read, counted))


def test_drift_and_open_chats_of_what_changes(example: Callable[[str], Repo]) -> None:
    repo = example("head")
    asked: list[tuple[str, str]] = []

    def count(instance: str, bot: str) -> int:
        asked.append((instance, bot))
        return 3 if bot in ("repairs", "vouchers") else 0

    (part,) = looked(repo, live_of(repo, maxTokens=77, temperature=1.0), count).parts
    said = [(one.level, one.rule, one.message) for one in part.risks if one.ref.name in ("repairs", "vouchers")]
    assert said == [
        ("human", "max-tokens", "maxTokens of shop/repairs grows from 400 to 4,000"),
        ("human", "open-chats", "3 open chats of shop/repairs go on with the changed bot"),
        ("human", "delete", "the bot shop/vouchers is deleted; 3 open chats of it end"),
        ("human", "conflict", "maxTokens of shop/repairs was changed on the target, which is overwritten"),
        ("note", "drift", "temperature of shop/repairs was changed on the target, which is put back"),
    ]
    assert ("shop", "vouchers") in asked
    assert ("shop", "presents") not in asked
    assert part.live == ""


LOST = Unavailable("it did not answer")


@pytest.mark.parametrize(
    ("count", "said"),
    [(lambda *_: None, "this key does not open them"), (lambda *_: LOST, "it did not answer")],
    ids=["key", "silence"],
)
def test_chats_that_are_not_counted_are_said_so(example: Callable[[str], Repo], count: Any, said: str) -> None:
    repo = example("head")
    (part,) = looked(repo, live_of(repo), count).parts
    assert part.live == f"open chats were not counted: {said}"


def test_a_target_that_does_not_answer_is_a_sentence(example: Callable[[str], Repo]) -> None:
    repo = example("head")
    (part,) = looked(repo, LOST, lambda *_: 0).parts
    assert (part.live, part.drift) == ("local was not looked at: it did not answer", None)
    review = look_at(repo, head="change", target="local", look=unseen("there is no key"))
    assert review.parts[0].live == "local was not looked at: there is no key"


def test_many_bots_are_not_all_counted(example: Callable[[str], Repo], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.reconcile.review.live._BOTS", 2)
    repo = example("head")
    (part,) = looked(repo, live_of(repo), lambda *_: 0).parts
    assert part.live == "open chats of 6 more bots were not counted"


def counted(answers: dict[str, tuple[int, Any]]) -> list[int | None]:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path not in answers:
            raise httpx.ConnectError("nobody")
        status, body = answers[request.url.path]
        return httpx.Response(status, json=body)

    async def ask() -> list[int | None]:
        http = httpx.AsyncClient(base_url="http://target.example", transport=httpx.MockTransport(answer))
        async with http:
            count = counting(http)
            return [await count("shop", "a"), await count("shop", "b")]

    return asyncio.run(ask())


def test_ways_to_count() -> None:
    assert counted({"/openai/countSessions/shop": (200, [{"botId": "a", "opened": 4}])}) == [4, 0]
    sessions = [{"status": "opened"}, {"status": "paused"}]
    without = {
        "/openai/countSessions/shop": (404, {}),
        "/openai/fetchSessions/a/shop": (200, sessions),
        "/openai/fetchSessions/b/shop": (401, {}),
    }
    assert counted(without) == [1, None]
    with pytest.raises(Unavailable, match="did not answer: ConnectError"):
        counted({})
