"""A review on its pull request: one living comment and a commit status.

Before it `reconciler review` made the Markdown and the verdict, or `artifact` read them from another job; after it the
forge. Nothing here is lost in silence: what could not be posted is said, with what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from reconciler.errors import Misuse, Rejected
from reconciler.plan.review.marker import REVIEW
from reconciler.reconcile.forge.detect import CI
from reconciler.reconcile.forge.port import LIMITS, AnswerLost, Comment, Forge, Kind, NotAllowed, State, Status

CONTEXT: Final = "reconciler/review"
Verdict = Literal["fine", "human", "broken"]

_TRIES: Final = 3  # of a comment whose making was not answered: it is looked for before it is made again
_SAID: Final[Mapping[Verdict, str]] = {"fine": "fine to merge", "human": "needs a human", "broken": "broken"}
FORKS: Final[Mapping[Kind, str]] = {
    "github": "a fork's pull request gets a token that only reads. Keep the review (`--save FILE`) as an artifact and "
    "post it from a workflow_run job with `reconciler review --post-file FILE`: templates/github/",
    "gitlab": "a fork's pipeline gets no variables of this project. Run a pipeline of this project for it, with the "
    "variable REVIEW_MERGE_REQUEST set to its number: templates/gitlab/reconciler.gitlab-ci.yml",
    "gitea": "a fork's pull request gets a token that only reads. Review it from a pull_request_target job, which runs "
    "only the base's files: templates/gitea/reconciler.yml",
}

Hash = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]


class Posting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A review as it is posted, or kept in a file for another job to post.

    `markdown` begins with the hidden line of plan/review/marker.py. `counts` (changes, risks, …) go into the status's
    description in their order. `number` is the pull request's, None where the job does not know it.
    """

    head: Hash
    verdict: Verdict
    markdown: Annotated[str, msgspec.Meta(max_length=1_000_000)]
    counts: dict[
        Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z ]{0,39}$")], Annotated[int, msgspec.Meta(ge=0, le=10**9)]
    ] = {}
    number: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None
    format_version: Literal["1.0"] = "1.0"


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a posting: where the comment is (None: there is none), whether the status is set, what to know.

    `refused` says what to do where the token may do neither.
    """

    comment: Comment | None = None
    status: bool = False
    notes: tuple[str, ...] = ()
    refused: str = ""


async def post(forge: Forge, ci: CI, posting: Posting, *, state: State | None = None, strict: bool = False) -> Posted:
    """Makes or edits the review's comment and sets the status of its head.

    `state` overrides that of the verdict; with `strict` what needs a human is a failure too. Raises Misuse where there
    is no pull request, Unavailable, Rejected; a token that may not write is told of in the result.
    """
    number = ci.number or posting.number
    if number is None:
        raise Misuse("there is no pull request to post to: run this for one, or name it with --pull")
    if not posting.markdown.startswith(REVIEW):
        raise Misuse("the Markdown is no review's: its first line is missing")
    notes: list[str] = []
    refusals: list[str] = []
    comment, marked = None, False
    try:
        comment = await _comment(forge, ci.kind, number, posting, notes)
    except NotAllowed as error:
        refusals.append(f"the comment was not written: {error}")
    status = Status(CONTEXT, state or state_of(posting.verdict, strict=strict), described(posting), ci.url)
    try:
        await forge.set_status(posting.head, status)
        marked = True
    except NotAllowed as error:
        refusals.append(f"the status was not set: {error}")
    if len(refusals) == 2:
        return Posted(notes=tuple(notes), refused=FORKS[ci.kind] if ci.fork else "\n".join(refusals))
    return Posted(comment=comment, status=marked, notes=(*notes, *refusals))


def state_of(verdict: Verdict, *, strict: bool = False) -> State:
    """A verdict as a status. What needs a human passes, since a human merges; with `strict` it does not."""
    return "failure" if verdict == "broken" or (strict and verdict == "human") else "success"


def described(posting: Posting) -> str:
    """`needs a human: 20 changes, 3 risks`."""
    counts = ", ".join(
        f"{count:,} {name.removesuffix('s') if count == 1 else name}" for name, count in posting.counts.items() if count
    )
    return f"{_SAID[posting.verdict]}: {counts or 'nothing changes'}"


async def say(forge: Forge, number: int, marker: str, body: str) -> Comment:
    """Our one comment that begins with `marker`: made, given this text, or left as it is where it reads so already.

    Raises NotAllowed, Unavailable, Rejected.
    """
    for left in reversed(range(_TRIES)):
        found = await forge.find(number, marker)
        if found is not None and found.body == body:
            return found
        try:
            return await _written(forge, number, body, found)
        except AnswerLost:
            if not left:
                raise
    raise AssertionError("the last try returned or raised")


async def _written(forge: Forge, number: int, body: str, found: Comment | None) -> Comment:
    if found is not None:
        try:
            return await forge.write(number, body, found)
        except NotAllowed:  # it is of somebody else after all, or gone by now
            pass
    return await forge.write(number, body)


async def _comment(forge: Forge, kind: Kind, number: int, posting: Posting, notes: list[str]) -> Comment | None:
    now = await forge.pull(number)
    if now.head != posting.head:
        notes.append(f"the pull request is at {now.head[:8]} by now, so the comment stays that of its own job")
        return None
    body = cut(posting.markdown, LIMITS[kind].comment)
    if body != posting.markdown:
        notes.append(f"the comment was cut at {LIMITS[kind].comment:,} characters, {kind}'s limit")
    try:
        return await say(forge, number, REVIEW, body)
    except Rejected as error:
        if error.status not in (400, 413, 422) or "too long" not in str(error).lower():
            raise
        notes.append(f"{kind} found the comment too long ({error}): a shorter one is in its place")
        return await say(forge, number, REVIEW, cut(posting.markdown, LIMITS[kind].comment // 4))


def cut(markdown: str, most: int) -> str:
    """Markdown of at most `most` UTF-16 units, cut between paragraphs, with every fence and fold closed.

    A review keeps within a limit by itself, by sections; this is the net below it.
    """
    if units(markdown) <= most:
        return markdown
    kept: list[str] = []
    left = most - 200  # for the word about it, and a fence
    fence, folds = "", 0
    for row in markdown.split("\n"):
        mark = row.lstrip()
        opens = 0 if fence else row.count("<details") - row.count("</details>")
        left -= units(row) + 1 + len("</details>\n") * max(0, opens)
        if left < 0:
            break
        kept.append(row)
        folds += opens
        if fence:
            fence = "" if mark.startswith(fence) and not mark.strip("`~ ") else fence
        elif mark.startswith(("```", "~~~")):
            fence = mark[: len(mark) - len(mark.lstrip(mark[0]))]
    closing = [fence] if fence else []
    closing += ["", *["</details>"] * max(0, folds), "", "*Cut here: the whole is in the job's output.*", ""]
    return "\n".join([*kept, *closing])


def units(text: str) -> int:
    """A text's length as the strictest forge may count it: in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
