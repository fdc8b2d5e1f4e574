"""The three forges behave as one port says, on servers with their own routes, shapes and refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest

from reconciler.errors import Misuse, Rejected, Unavailable
from reconciler.reconcile.forge import calls
from reconciler.reconcile.forge.port import LIMITS, AnswerLost, Comment, Forge, NotAllowed, Pull, Status, room, short
from tests.reconcile.forge.conftest import open_forge
from tests.reconcile.forge.served import ANA, BASE, BEN, BOT, EVE, HEAD, JOB, MERGED, Served

MARKER = "<!-- reconciler:review"
GREEN = Status("reconciler/review", "success", "fine to merge: 3 changes", "https://ci.example/1")


@asynccontextmanager
async def opened(served: Served, token: str = "writes", **more: object) -> AsyncIterator[Forge]:
    forge = open_forge(served, token, **more)
    try:
        yield forge
    finally:
        await forge.close()


async def test_a_comment_is_made_found_and_edited(served: Served) -> None:
    async with opened(served) as forge:
        assert await forge.find(12, MARKER) is None
        made = await forge.write(12, f"{MARKER} 1 -->\none")
        assert made.body == f"{MARKER} 1 -->\none"
        assert await forge.find(12, MARKER) == made
        edited = await forge.write(12, f"{MARKER} 2 -->\ntwo", made)
        assert edited.id == made.id
        assert [one["body"] for one in served.comments] == [f"{MARKER} 2 -->\ntwo"]
        assert await forge.find(13, MARKER) is None


async def test_only_our_own_comment_is_found(served: Served) -> None:
    served.comment(EVE, f"{MARKER} -->\nmine")  # another's, that begins with the line
    served.comment(ANA, f"> {MARKER} -->\nquoted")
    served.comment(ANA, f"see {MARKER} -->")
    served.comment(ANA, "")
    ours = served.comment(ANA, f"{MARKER} -->\nours")
    served.comment(ANA, f"{MARKER} -->\na later one")
    async with opened(served) as forge:
        found = await forge.find(12, MARKER)
    assert found is not None
    assert found.id == ours["id"]


async def test_others_who_are_trusted_are_found_where_that_is_asked_for(served: Served) -> None:
    served.comment(EVE, f"{MARKER} -->\nforged")
    served.comment({"id": 9, "login": "reporter", "type": "User"}, f"{MARKER} -->\nof one who only reads")
    trusted = {"github": [BOT, BEN], "gitlab": [BEN], "gitea": [JOB]}[served.kind]
    for user in trusted:
        theirs = served.comment(user, f"{MARKER} -->\ntheirs")
        async with opened(served) as forge:
            assert await forge.find(12, MARKER) is None
            found = await forge.find(12, MARKER, others=True)
        assert found is not None
        assert found.id == theirs["id"]
        served.comments.remove(theirs)


async def test_a_comment_is_found_on_a_later_page(served: Served) -> None:
    for number in range(10):
        served.comment(EVE, f"comment {number}")
    ours = served.comment(ANA, f"{MARKER} -->")
    async with opened(served) as forge:
        found = await forge.find(12, MARKER)
        # The next page is asked for where the first one was, wherever the link says it is.
        assert not any("elsewhere" in str(heard) for heard in served.heard)
    assert found is not None
    assert found.id == ours["id"]


async def test_pages_have_an_end(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls.Calls.pages, "__defaults__", (2,))
    served.pulls[12]["files"] = [f"bots/{number}.yaml" for number in range(8)]
    async with opened(served) as forge:
        with pytest.raises(Unavailable, match="more than 2 pages"):
            await forge.changed(12)


async def test_the_token_of_a_job_cannot_ask_who_it_is(served: Served) -> None:
    served.tokens["job"]["user"] = {"id": -2, "login": "gitea-actions"} if served.kind == "gitea" else BOT
    served.comment(EVE, f"{MARKER} -->\nof a person")
    ours = served.comment(served.tokens["job"]["user"], f"{MARKER} -->")
    async with opened(served, "job") as forge:
        found = await forge.find(12, MARKER)
        assert found is not None
        if served.kind != "gitlab":  # where a job's token can only read, so that it does no harm to be wrong
            assert found.id == ours["id"]
        assert await forge.find(12, MARKER) == found
    assert sum(path.endswith("/user") for _, path, _, _ in served.heard) == 1


async def test_system_notes_are_no_comments(served: Served) -> None:
    served.comment(ANA, f"{MARKER} -->", system=True)
    async with opened(served) as forge:
        found = await forge.find(12, MARKER)
    assert (found is None) == (served.kind == "gitlab")


async def test_a_status_is_set(served: Served) -> None:
    async with opened(served, pipeline="77") as forge:
        await forge.set_status(HEAD, GREEN)
        await forge.set_status(HEAD, Status("reconciler/review", "failure", "broken\n\x1b[2J" + "x" * 400))
    first, second = served.statuses[HEAD]
    assert (first["context"], first["state"]) == ("reconciler/review", "success")
    assert first["target_url"] == GREEN.url
    assert second["state"] == ("failed" if served.kind == "gitlab" else "failure")
    assert len(second["description"]) == LIMITS[served.kind].description  # type: ignore[index]
    assert second["description"].endswith("x…")
    assert "\x1b" not in second["description"]
    assert "target_url" not in second
    assert first.get("pipeline_id") == ("77" if served.kind == "gitlab" else None)


async def test_a_status_may_be_set_twice(served: Served) -> None:
    async with opened(served) as forge:
        for _ in range(2):
            await forge.set_status(HEAD, Status("reconciler/apply", "pending", "waits"))
    assert served.statuses[HEAD][-1]["state"] == "pending"


async def test_a_pull_request(served: Served) -> None:
    ours, theirs = {"gitlab": ("34", "35")}.get(served.kind, ("acme/bots", "eve/bots"))
    served.pulls[13] = {"head": HEAD, "from": "eve/bots", "open": False, "files": ["a"] * 8}
    served.pulls[14] = {"head": HEAD, "from": "", "open": True, "files": []}
    async with opened(served) as forge:
        found = await forge.pull(12)
        expected = Pull(number=12, head=HEAD, base=BASE, from_repository=ours, to_repository=ours, open=True)
        assert found == expected
        assert not found.fork
        fork = await forge.pull(13)
        assert (fork.fork, fork.from_repository, fork.open) == (True, theirs, False)
        assert (await forge.pull(14)).fork
        with pytest.raises(NotAllowed, match="404"):
            await forge.pull(15)


async def test_the_paths_of_a_pull_request(served: Served) -> None:
    served.pulls[12]["files"] = [f"bots/{number}.yaml" for number in range(8)]
    async with opened(served) as forge:
        assert sorted(await forge.changed(12) or ()) == sorted(served.pulls[12]["files"])


async def test_too_many_paths_are_not_known(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from reconciler.reconcile.forge import alike, gitlab

    for module in (alike, gitlab):
        monkeypatch.setattr(module, "_FILES", 4)
    served.pulls[12]["files"] = [f"bots/{number}.yaml" for number in range(4)]
    async with opened(served) as forge:
        assert await forge.changed(12) is None


async def test_the_pull_request_of_a_merged_commit(served: Served) -> None:
    async with opened(served) as forge:
        assert await forge.merged(MERGED) == (12,)
        assert await forge.merged(HEAD) == ()


async def test_what_a_token_may_not_do_says_what_it_needs(served: Served) -> None:
    theirs = served.comment(EVE, MARKER)
    async with opened(served, "reads") as forge:
        with pytest.raises(NotAllowed, match="needs") as caught:
            await forge.write(12, "x")
        assert caught.value.status == 403
        with pytest.raises(NotAllowed):
            await forge.set_status(HEAD, GREEN)
    async with opened(served) as forge:
        with pytest.raises(NotAllowed):
            await forge.write(12, "x", Comment(theirs["id"], ""))
        with pytest.raises(NotAllowed):
            await forge.write(12, "x", Comment(1, ""))
    assert served.comments == [theirs]


async def test_the_token_is_in_a_header_and_nowhere_else(served: Served) -> None:
    served.tokens["s3cret-t0ken"] = served.tokens.pop("reads")
    async with opened(served, "s3cret-t0ken") as forge:
        with pytest.raises(NotAllowed) as refused:
            await forge.write(12, "x")
    async with opened(served, "n0-such-token") as forge:
        with pytest.raises(NotAllowed, match="does not accept the token: check") as unknown:
            await forge.pull(12)
    for caught in (refused, unknown):
        assert "t0ken" not in repr(caught.value)
        assert "such" not in repr(caught.value)
    assert not any("t0ken" in path or "t0ken" in json.dumps(body) for _, path, _, body in served.heard)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_passes_is_waited_for(served: Served, status: int, quick: list[float]) -> None:
    served.faults = [(status, {}, b"{}"), (status, {}, b"<html>")]
    async with opened(served) as forge:
        assert (await forge.pull(12)).number == 12
    assert len(quick) == 2
    assert quick[1] > quick[0]


async def test_it_is_not_waited_for_ever(served: Served, quick: list[float]) -> None:
    served.faults = [(503, {}, b"")] * 9
    async with opened(served) as forge:
        with pytest.raises(Unavailable, match="fault of its own"):
            await forge.pull(12)
    assert len(quick) == 3


@pytest.mark.parametrize(
    ("status", "headers", "body", "least"),
    [
        (429, {"Retry-After": "7"}, b"{}", 7),
        (403, {"Retry-After": "9"}, b"{}", 9),
        (503, {"Retry-After": "3"}, b"{}", 3),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1005"}, b"{}", 5),
        (429, {"RateLimit-Reset": "1006"}, b"{}", 6),
        (403, {"X-RateLimit-Remaining": "0"}, b"{}", 60),
        (403, {}, b'{"message": "You have exceeded a secondary rate limit"}', 60),
        (429, {"Retry-After": formatdate(1008, usegmt=True)}, b"{}", 8),
        (429, {"Retry-After": "soon"}, b"{}", 0),
    ],
    ids=range(9),
)
async def test_the_forge_says_when_to_come_again(
    served: Served, status: int, headers: dict[str, str], body: bytes, least: int, quick: list[float]
) -> None:
    served.faults = [(status, headers, body)]
    async with opened(served) as forge:
        forge._calls._clock = lambda: 1000.0  # type: ignore[attr-defined]
        assert (await forge.pull(12)).number == 12
    assert len(quick) == 1
    assert least <= quick[0] < least + 2


async def test_too_long_a_wait_is_left_to_the_caller(served: Served, quick: list[float]) -> None:
    served.faults = [(429, {"Retry-After": "600"}, b"{}")]
    async with opened(served) as forge:
        with pytest.raises(Unavailable, match="come again later") as caught:
            await forge.pull(12)
    assert caught.value.retry_after == 600
    assert quick == []


async def test_a_lost_connection_is_tried_again(served: Served, quick: list[float]) -> None:
    served.faults = [None, None]
    async with opened(served) as forge:
        assert (await forge.pull(12)).number == 12
    served.faults = [None] * 9
    async with opened(served) as forge:
        with pytest.raises(Unavailable, match="did not answer"):
            await forge.pull(12)


async def test_a_comment_that_may_have_been_made_is_not_made_again(served: Served) -> None:
    for lost in (None, (502, {}, b"")):
        served.after = [lost]
        async with opened(served) as forge:
            with pytest.raises(AnswerLost):
                await forge.write(12, "once")
    assert [one["body"] for one in served.comments] == ["once", "once"]
    served.faults = [(429, {}, b"")]  # not taken: that is certain
    async with opened(served) as forge:
        await forge.write(12, "twice")
    assert len(served.comments) == 3


async def test_a_forge_that_is_not_there(served: Served) -> None:
    served.url = "http://127.0.0.1:9"
    async with opened(served) as forge:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await forge.pull(12)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((200, {}, b"<html>"), Unavailable, "something else than JSON"),
        ((200, {}, b""), Unavailable, "another shape"),
        ((200, {}, b'{"number": "x"}'), Unavailable, "another shape"),
        ((302, {"Location": "http://elsewhere.invalid/"}, b""), Misuse, "has moved"),
        ((422, {}, b'{"message": "Validation Failed", "errors": [{"code": "invalid"}]}'), Rejected, "invalid"),
        ((400, {}, b'{"message": {"note": ["is bad"]}}'), Rejected, "is bad"),
        ((400, {}, b'{"error": "x", "errors": ["no"]}'), Rejected, "x"),
        ((418, {}, b"tea"), Rejected, "no reason given"),
    ],
    ids=range(8),
)
async def test_answers_of_other_kinds(
    served: Served, answer: tuple[int, dict[str, str], bytes], error: type[Exception], said: str
) -> None:
    served.faults = [answer]
    async with opened(served) as forge:
        with pytest.raises(error, match=said):
            await forge.pull(12)


async def test_an_answer_has_a_bound(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_ANSWER", 1 << 20)
    served.faults = [(200, {}, b" " * (2 << 20))]
    async with opened(served) as forge:
        with pytest.raises(Unavailable, match="more than 1 MiB"):
            await forge.pull(12)


@pytest.mark.parametrize("api", ["ftp://x", "https://", "https://ana:key@git.example", "https://x/?private_token=1"])
def test_an_address_that_is_none(api: str) -> None:
    with pytest.raises(Misuse, match="no address of an API") as caught:
        calls.Calls(api, {}, token_source="T", needs="")
    assert "key" not in str(caught.value)
    assert "private" not in str(caught.value)


def test_limits() -> None:
    assert room("github") < 65_536 == LIMITS["github"].comment
    assert short("a  b\nc", 10) == "a b c"
    assert short("x" * 10, 5) == "xxxx…"
