"""A review becomes one living comment and a status, whatever the forge does; one from a file has no powers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.errors import Misuse, Rejected
from reconciler.plan.review.marker import Reviewed, Shown, line, read
from reconciler.reconcile.forge.artifact import load, post_file, save
from reconciler.reconcile.forge.detect import forge_of
from reconciler.reconcile.forge.port import LIMITS, AnswerLost, NotAllowed
from reconciler.reconcile.forge.post import Posted, Posting, cut, described, post, state_of, units
from tests.reconcile.forge.conftest import ci_of
from tests.reconcile.forge.served import ANA, EVE, HEAD, Served, serve

LINE = line(Reviewed(HEAD, {"local": Shown("0" * 16, ("12345678",))}))


def posting(text: str = "## Fine\n", **more: Any) -> Posting:
    given = {"head": HEAD, "verdict": "fine", "counts": {"changes": 3, "risks": 0, "routes": 1}, "number": 12}
    return Posting(**{**given, "markdown": f"{LINE}\n{text}", **more})


async def posted(served: Served, what: Posting, token: str = "writes", *, file: bool = False, **more: Any) -> Posted:
    strict = more.pop("strict", False)
    ci = ci_of(served, token, **more)
    forge = forge_of(ci)
    try:
        return await (post_file(forge, ci, what, strict=strict) if file else post(forge, ci, what, strict=strict))
    finally:
        await forge.close()


async def test_one_comment_lives(served: Served) -> None:
    first = await posted(served, posting("one"), url="https://ci.example/1")
    second = await posted(served, posting("two", verdict="broken"))
    assert [one["body"] for one in served.comments] == [f"{LINE}\ntwo"]
    assert first.status
    assert first.comment is not None
    assert second.comment is not None
    assert second.comment.id == first.comment.id
    states = [(one["context"], one["state"], one["description"]) for one in served.statuses[HEAD]]
    bad = "failed" if served.kind == "gitlab" else "failure"
    assert states == [
        ("reconciler/review", "success", "fine to merge: 3 changes, 1 route"),
        ("reconciler/review", bad, "broken: 3 changes, 1 route"),
    ]
    assert served.statuses[HEAD][0]["target_url"] == "https://ci.example/1"


async def test_what_reads_so_already_is_left(served: Served) -> None:
    await posted(served, posting())
    heard = len(served.heard)
    again = await posted(served, posting())
    assert again.comment is not None
    written = [method for method, path, _, _ in served.heard[heard:] if method != "GET" and "statuses" not in path]
    assert written == []


async def test_another_ones_comment_is_not_edited(served: Served) -> None:
    served.comment(EVE, f"{LINE}\nmine")
    await posted(served, posting("ours"))
    assert [one["body"] for one in served.comments] == [f"{LINE}\nmine", f"{LINE}\nours"]


async def test_a_comment_that_cannot_be_edited_is_made_anew(served: Served) -> None:
    served.comment(ANA, f"{LINE}\nold")
    served.faults = [lambda method, _: (404, {}, b"{}") if method in ("PATCH", "PUT") else False]
    await posted(served, posting("new"))
    assert [one["body"] for one in served.comments] == [f"{LINE}\nold", f"{LINE}\nnew"]


async def test_a_comment_of_another_app_is_left_and_ours_found_from_then_on() -> None:
    with serve("github") as served:
        other = {"id": 77, "login": "acme-app[bot]", "type": "Bot"}
        served.comment(other, f"{LINE}\ntheirs")
        theirs = served.comments[0]["id"]
        served.faults = [
            lambda method, path: (403, {}, b"{}") if method == "PATCH" and path.endswith(f"/{theirs}") else False
        ] * 9
        for text in ("one", "two", "three"):
            await posted(served, posting(text), token="job")
        assert [one["body"] for one in served.comments] == [f"{LINE}\ntheirs", f"{LINE}\nthree"]


async def test_a_lost_answer_makes_no_second_comment(served: Served) -> None:
    served.after = [None]
    found = await posted(served, posting())
    assert len(served.comments) == 1
    assert found.comment is not None
    served.comments.clear()
    served.faults = [lambda method, path: (502, {}, b"") if method == "POST" and "status" not in path else False] * 3
    with pytest.raises(AnswerLost):
        await posted(served, posting())
    assert served.comments == []


async def test_the_comment_of_a_newer_head_stays(served: Served) -> None:
    served.pulls[12]["head"] = "e" * 40
    found = await posted(served, posting())
    assert served.comments == []
    assert found.comment is None
    assert found.status
    assert "is at eeeeeeee by now" in found.notes[0]


async def test_a_fork_may_not_write(served: Served) -> None:
    found = await posted(served, posting(), "reads", fork=True)
    assert (found.comment, found.status) == (None, False)
    said = {"github": "--post-file", "gitlab": "REVIEW_MERGE_REQUEST", "gitea": "pull_request_target"}[served.kind]
    assert said in found.refused
    assert served.comments == []


async def test_a_token_that_may_not_write(served: Served) -> None:
    found = await posted(served, posting(), "reads")
    assert found.refused.count("needs") == 2
    served.faults = [lambda _, path: (403, {}, b"{}") if "statuses" in path else False]
    half = await posted(served, posting())
    assert half.comment is not None
    assert not half.status
    assert "the status was not set" in half.notes[0]
    served.faults = [lambda method, path: (403, {}, b"{}") if "statuses" not in path and method != "GET" else False] * 2
    other = await posted(served, posting("x"))
    assert other.comment is None
    assert other.status
    assert "the comment was not written" in other.notes[0]


async def test_there_must_be_a_pull_request_and_a_review(served: Served) -> None:
    with pytest.raises(Misuse, match="no pull request"):
        await posted(served, posting(number=None), number=None)
    with pytest.raises(Misuse, match="first line"):
        await posted(served, posting(markdown="## Fine"))


async def test_a_comment_keeps_within_the_limit(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    kind: Any = served.kind
    monkeypatch.setitem(LIMITS, kind, msgspec.structs.replace(LIMITS[kind], comment=5000))  # type: ignore[arg-type]
    found = await posted(served, posting("word " * 10 + "\n" + "<details>\n```\nlong\n" * 900))
    assert len(served.comments[0]["body"]) <= 5000
    assert "was cut at 5,000 characters" in found.notes[0]


async def test_a_forge_that_counts_otherwise(served: Served) -> None:
    long = (422, {}, b'{"message": "Validation Failed", "errors": [{"message": "body is too long"}]}')
    served.faults = [lambda method, _: long if method == "POST" else False]
    found = await posted(served, posting("row\n" * 30_000))
    assert "a shorter one" in found.notes[-1]
    assert len(served.comments) == 1
    served.faults = [lambda method, _: (422, {}, b'{"message": "no"}') if method in ("POST", "PATCH", "PUT") else False]
    with pytest.raises(Rejected, match="no"):
        await posted(served, posting("other"))


def test_states() -> None:
    assert [state_of(one) for one in ("fine", "human", "broken")] == ["success", "success", "failure"]  # type: ignore[arg-type]
    assert [state_of(one, strict=True) for one in ("fine", "human", "broken")] == ["success", "failure", "failure"]  # type: ignore[arg-type]
    assert described(posting(counts={}, verdict="human")) == "needs a human: nothing changes"
    assert described(posting(counts={"changes": 20_000})) == "fine to merge: 20,000 changes"


@pytest.mark.parametrize(
    "text", ["a\n" * 2000, "```diff\n" + "+x\n" * 2000, "<details>\n\n> ````\n> x\n" * 500, "é🙂\n" * 900]
)
def test_a_cut_closes_what_is_open(text: str) -> None:
    shown = cut(text, 2000)
    assert units(shown) <= 2000
    assert shown.count("<details>") == shown.count("</details>")
    assert shown.rstrip().endswith("*Cut here: the whole is in the job's output.*")
    assert cut("short", 2000) == "short"
    if text.startswith("```"):
        assert shown.split("\n").count("```") == 1


# --- from a file ---------------------------------------------------------------------------------------------


async def test_a_saved_review_is_posted(served: Served, tmp_path: Path) -> None:
    served.pulls[12]["from"] = "eve/bots"
    save(posting("## Fine\n- a bot\n"), tmp_path / "review.json")
    source = "35" if served.kind == "gitlab" else "eve/bots"
    what = load(tmp_path / "review.json")
    found = await posted(served, what, file=True, number=None, expects=HEAD, source=source, fork=True)
    assert found.comment is not None
    body = served.comments[0]["body"]
    assert body.startswith(f"{LINE}\n*Made without secrets")
    assert body.endswith("## Fine\n- a bot\n")
    assert served.statuses[HEAD][0]["state"] == "success"


async def test_a_saved_review_has_no_powers(served: Served) -> None:
    attack = "@all </details> <!-- x --> /merge\n/merge\n[x](http://evil.example) ![p](http://evil.example/p) #1 !2\n"
    await posted(served, posting(attack), file=True)
    body = served.comments[0]["body"]
    rest = body.split("\n", 1)[1]
    for power in ("@all", "<!--", "\n/merge", "](http", "http://", "#1", "!2"):
        assert power not in rest, power


@pytest.mark.parametrize("path", [".github/workflows/review.yml", ".gitlab-ci.yml", ".forgejo/x", "action.yml"])
async def test_a_pull_request_that_changes_its_own_job_is_not_believed(served: Served, path: str) -> None:
    served.pulls[12] |= {"from": "eve/bots", "files": ["bots/a.yaml", path]}
    await posted(served, posting(), file=True, fork=True)
    assert "do not believe the verdict" in served.comments[0]["body"]
    assert served.statuses[HEAD][0]["state"] == "pending"


async def test_what_is_not_known_to_be_harmless_is_not_believed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reconciler.reconcile.forge import alike, gitlab

    for module in (alike, gitlab):
        monkeypatch.setattr(module, "_FILES", 1)
    served.pulls[12] |= {"from": "eve/bots", "files": ["bots/a.yaml"]}
    await posted(served, posting(), file=True, fork=True)
    assert "too many files" in served.comments[0]["body"]


async def test_a_saved_review_of_something_else(served: Served) -> None:
    other = line(Reviewed("e" * 40))
    with pytest.raises(Misuse, match="the job before this one ran for"):
        await posted(served, posting(), file=True, expects="e" * 40)
    with pytest.raises(Misuse, match="names no pull request"):
        await posted(served, posting(number=None), file=True, number=None)
    with pytest.raises(Misuse, match="first line"):
        await posted(served, posting(markdown=f"{other}\nx"), file=True)
    with pytest.raises(Misuse, match="first line"):
        await posted(served, posting(markdown="<!-- reconciler:review @all -->"), file=True)
    with pytest.raises(Misuse, match="from another repository"):
        await posted(served, posting(), file=True, source="eve/other")
    with pytest.raises(NotAllowed, match="404"):
        await posted(served, posting(), file=True, number=404)
    served.pulls[12]["head"] = "e" * 40
    with pytest.raises(Misuse, match="of another one, or old"):
        await posted(served, posting(), file=True)
    late = await posted(served, posting(), file=True, expects=HEAD)
    assert "nothing is posted" in late.notes[0]
    assert served.comments == []
    assert served.statuses == {}


def raw(**change: Any) -> bytes:
    return json.dumps({**json.loads(msgspec.json.encode(posting())), **change}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        raw(more=1),
        raw(head="HEAD"),
        raw(verdict="merge it"),
        raw(number=-1),
        raw(number="12"),
        raw(counts={"@all": 1}),
        raw(counts={"changes": -1}),
        raw(markdown="x" * 1_000_001),
        raw(format_version="2.0"),
    ],
    ids=range(13),
)
def test_a_file_that_is_no_review(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "review.json").write_bytes(content)
    with pytest.raises(Misuse, match="no saved review"):
        load(tmp_path / "review.json")


def test_only_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.reconcile.forge.artifact.MOST", 1 << 20)
    (tmp_path / "long").write_bytes(b" " * ((1 << 20) + 1))
    (tmp_path / "link").symlink_to("long")
    os.mkfifo(tmp_path / "pipe")
    for name, said in {"long": "larger than 1 MiB", "link": "read", "pipe": "no file", "none": "No such"}.items():
        with pytest.raises(Misuse, match=said):
            load(tmp_path / name)
    with pytest.raises(Misuse, match="cannot be written"):
        save(posting(), tmp_path / "no" / "folder")


def test_a_review_is_the_same_after_a_file(tmp_path: Path) -> None:
    save(posting(), tmp_path / "review.json")
    assert load(tmp_path / "review.json") == posting()
    assert read(posting().markdown) is not None
