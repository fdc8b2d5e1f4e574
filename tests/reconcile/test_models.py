"""Accounts' lists of models: read once a day, over real HTTP, and what is remembered of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Unavailable
from reconciler.llm import lists
from reconciler.llm.lists import listed
from reconciler.model import DEMO, Account, Desired, Ref, Secret
from reconciler.plan.retire import Retiring
from reconciler.reconcile import models as module
from reconciler.reconcile.history import History
from reconciler.reconcile.listings import AGAIN, AGE
from reconciler.reconcile.models import Models
from tests.live.served import scripted
from tests.plan.fleet import bistro, bot, declared, desired, main

TODAY = datetime.now(UTC).date()
SOON = (TODAY + timedelta(days=20)).isoformat()
KEY = Secret("sk-0123456789abcdef")


def account(base_url: str | None = None, **more: Any) -> Account:
    return Account(**{"id": "1", "name": "bistro/main", "api_key": KEY, "base_url": base_url, "organization": None,
                      "project": None, **more})  # fmt: skip


# --- one list ------------------------------------------------------------------------------------------------

PAGE = (
    b'{"object":"list","data":[{"id":"a","object":"model","shutdown_date":"2027-01-14"},'
    b'{"id":"b"},{"id":"c","shutdown_date":null}]}'
)


async def test_a_list_is_asked_for_with_the_accounts_own_headers() -> None:
    async with scripted((200, {}, PAGE)) as server:
        one = account(f"{server.url}/v1/", organization="org-1", project="proj_1")
        assert await listed(one, "http://127.0.0.1:9/unused") == {"a": "2027-01-14", "b": None, "c": None}
    (heard,) = server.heard
    assert heard.startswith("GET /v1/models HTTP/1.1")
    for line in (f"authorization: Bearer {KEY.value}", "openai-organization: org-1", "openai-project: proj_1"):
        assert line in heard.replace("Authorization", "authorization")


async def test_without_a_base_url_the_operators_is_asked() -> None:
    async with scripted((200, {}, PAGE)) as server:
        assert len(await listed(account(), f"{server.url}/v1")) == 3
    assert "openai-project" not in server.heard[0]


REFUSED: list[tuple[str, Any, str]] = [
    ("refused", (401, {}, b"{}"), "answered 401"),
    ("moved", (302, {"location": "http://127.0.0.1:1/"}, b""), "answered 302"),
    ("no JSON", (200, {}, b"<html>"), "gave no list of models"),
    ("another shape", (200, {}, b'{"data":[5]}'), "gave no list of models"),
    ("closed", None, "did not answer: RemoteProtocolError"),
    ("too much", (200, {}, b" " * 2000), "are more than"),
]


@pytest.mark.parametrize(("case", "answer", "said"), REFUSED, ids=[case for case, *_ in REFUSED])
async def test_what_is_no_list_is_unavailable_and_shows_no_key(
    case: str, answer: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "BYTES", 1000)
    async with scripted(answer) as server:
        with pytest.raises(Unavailable, match=said) as raised:
            await listed(account(server.url), None)
    assert KEY.value not in str(raised.value)


async def test_an_address_that_is_none_and_one_where_nobody_is() -> None:
    for address in ("http://127.0.0.1:1", "http://[::1"):
        with pytest.raises(Unavailable, match="did not answer"):
            await listed(account(address), None)


# --- what is remembered --------------------------------------------------------------------------------------


def due(history: History, now: float, base: str = "") -> bool:
    return history.listings.due("t", {("bistro", "main"): base}, now) != []


def test_an_account_is_due_once_a_day_and_an_hour_after_a_failure(history: History) -> None:
    keys, now = [("bistro", "main")], 1_000_000.0
    assert due(history, now)
    history.listings.failed("t", keys, "", "away", now)
    assert (due(history, now + AGAIN - 1), due(history, now + AGAIN), due(history, now - 5)) == (False, True, True)
    history.listings.keep("t", keys, "", {"a": SOON}, now)
    assert (due(history, now + AGE - 1), due(history, now + AGE)) == (False, True)
    assert due(history, now, base="https://other.example")
    history.listings.failed("t", keys, "", "away", now + AGE)
    assert history.listings.lists("t") == {("bistro", "main"): {"a": SOON}}  # a failed reading changes nothing
    history.listings.failed("t", keys, "https://other.example", "away", now + AGE)
    assert history.listings.lists("t") == {}  # but the list of another address says nothing of this one


def test_accounts_of_one_list_share_it_and_those_that_are_gone_are_forgotten(history: History) -> None:
    keys = [("bistro", "main"), ("clinic", "main")]
    history.listings.keep("t", keys, "", {"a": None}, 1.0)
    history.listings.keep("other", keys[:1], "", {"b": None}, 1.0)
    assert history.listings.lists("t") == {key: {"a": None} for key in keys}
    history.listings.forget("t", {("bistro", "main")})
    assert list(history.listings.lists("t")) == [("bistro", "main")]
    history.listings.forget("t", set())
    assert (history.listings.lists("t"), len(history.listings.lists("other"))) == ({}, 1)


def test_days_pass_for_what_is_noted(history: History) -> None:
    one = Retiring(bot=Ref("Bot", "bistro", "a"), model="x", gone=False, date="2027-01-14", days=52, replacement="y")
    lost = Retiring(bot=Ref("Bot", "bistro", "b"), model="z", gone=True)
    history.listings.stand("t", [one, lost])
    assert history.listings.retiring("t", date(2026, 11, 23)) == (one, lost)
    later = history.listings.retiring("t", date(2027, 1, 15))
    assert [(each.gone, each.days) for each in later] == [(True, -1), (True, None)]
    history.listings.stand("t", [])
    assert history.listings.retiring("t") == ()


# --- the loop's readings -------------------------------------------------------------------------------------


class Asked:
    def __init__(self, answer: Mapping[str, str | None] | Exception) -> None:
        self.answer, self.accounts, self.most, self._now = answer, [], 0, 0  # type: ignore[var-annotated]

    async def __call__(self, one: Account) -> Mapping[str, str | None]:
        self.accounts.append(one)
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def settled(models: Models) -> None:
    if models._task is not None:
        await models._task


def fleet(**more: Any) -> Desired:
    return desired(bistro(), main(**more), bot("a", model="gpt-4o"))


async def test_bots_whose_model_goes_are_noted_once_the_list_is_there(history: History) -> None:
    asked = Asked({"gpt-4o": SOON})
    models = Models(history, asked)
    wanted = fleet()
    models.look([("local", wanted), ("none yet", None)])
    await settled(models)
    (found,) = history.listings.retiring("local")
    assert (found.bot.name, found.date, found.replacement) == ("a", SOON, "gpt-6-luna")
    models.look([("local", wanted)])
    await settled(models)
    assert len(asked.accounts) == 1
    # Another commit: the same list, another bot.
    models.look([("local", desired(bistro(), main(), bot("b", model="gpt-6-luna")))])
    assert [(one.bot.name, one.gone) for one in history.listings.retiring("local")] == [("b", True)]
    await models.close()


async def test_a_failed_reading_changes_nothing(history: History) -> None:
    history.listings.keep("local", [("bistro", "main")], "", {"gpt-4o": SOON}, time.time() - 2 * AGE)
    models = Models(history, Asked(Unavailable("away")))
    models.look([("local", fleet())])
    await settled(models)
    assert len(history.listings.retiring("local")) == 1


async def test_accounts_of_one_content_are_asked_once_and_few_at_a_time(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = []
    for number in range(30):
        name = f"i{number:02}"
        key = Secret(f"sk-000000000000{number % 7}")
        objects += [
            declared("Instance", name, name, instanceName=name),
            declared("Credentials", "main", name, apiKey=key),
            declared("Bot", "a", name),
        ]
    asked = Asked({"gpt-4o": None})
    models = Models(history, asked)
    monkeypatch.setattr(module, "_A_ROUND", 5)
    wanted = desired(*objects)
    models.look([("local", wanted)])
    models.look([("local", wanted)])  # one is under way
    await settled(models)
    assert (len(asked.accounts), asked.most) == (5, 4)
    models.look([("local", wanted)])
    await settled(models)
    assert len(asked.accounts) == 7
    assert len(history.listings.lists("local")) == 30


async def test_demo_accounts_unused_ones_and_unknown_keys_are_not_asked(history: History) -> None:
    asked = Asked({})
    models = Models(history, asked)
    models.look([("a", fleet(baseUrl=DEMO)), ("b", fleet(apiKey={"env": "KEY"})), ("c", desired(bistro(), main()))])
    await settled(models)
    assert asked.accounts == []
    await models.close()


async def test_a_reading_under_way_ends_with_the_loop(history: History) -> None:
    async def never(_: Account) -> Mapping[str, str | None]:
        await asyncio.sleep(60)
        return {}

    models = Models(history, never)
    models.look([("local", fleet())])
    await asyncio.sleep(0)
    await asyncio.wait_for(models.close(), 120)


def test_an_older_file_gets_the_tables(data: Path) -> None:
    with History(data / "loop.db"):
        pass
    with History(data / "loop.db") as again:
        assert again.listings.lists("t") == {}
