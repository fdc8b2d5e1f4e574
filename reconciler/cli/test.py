"""`test`: the Conversations of the bots' files, rehearsed without a runtime."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from reconciler.cli.context import context
from reconciler.cli.output import console, put, put_json, say, show_error
from reconciler.cli.progress import Progress
from reconciler.cli.validate import documents_cache
from reconciler.errors import InvalidBots, Misuse

if TYPE_CHECKING:
    from reconciler.desired.git import Repository
    from reconciler.model import Desired, Object, Place
    from reconciler.reconcile.rehearse import Failure, Outcome

FAILED, INVALID, INCOMPLETE = 1, 2, 3  # exit codes


class Voice(StrEnum):
    """Who answers in the bots' place."""

    none = "none"
    demo = "demo"
    live = "live"


class Report(StrEnum):
    """Text for people, JSON and JUnit's XML for programs."""

    text = "text"
    json = "json"
    junit = "junit"


_COLOURS: Final = {"passed": "green", "failed": "red", "incomplete": "yellow"}


def conversations(
    path: Annotated[
        Path | None, typer.Argument(help="A folder or file: only the Conversations in it are rehearsed.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="A target of reconciler.yaml, for its overlay and matcher; else its first."),
    ] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", help="Read this commit, branch or tag in place of the working tree.")
    ] = None,
    model: Annotated[Voice, typer.Option("--model", help="Who answers in the bots' place.")] = Voice.none,
    functions: Annotated[
        bool, typer.Option("--functions", help="Really call functionUrl, with --model live; else the model is told no.")
    ] = False,
    allow_private_url: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-private-url",
            help="A private or loopback host that baseUrl and functionUrl may name; may be given again.",
        ),
    ] = None,
    format_: Annotated[Report, typer.Option("--format", help="How to print the outcome.")] = Report.text,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write the outcome as JUnit XML.")] = None,
) -> None:
    """Rehearse the Conversations: which bot answers what, what ends a session, what a reply says.

    Plays each on a simulated clock with the rules of the runtime, in no time and without a server; whom a first
    message starts is the target's matter. What a reply says needs a model: the built-in demo model, or with `live` the
    account of the Credentials, which costs tokens.

    Exits with 0 if all passed, 1 if one failed, 2 if the files are not valid, 3 if one needs a model that was not
    asked.

    Examples:

        reconciler test --model demo
        reconciler test bots/bistro --ref main
        reconciler test --model live --junit report.xml
    """
    from reconciler.desired.git import Repository

    if functions and model is not Voice.live:
        raise Misuse("--functions calls real addresses: it needs --model live")
    if path is not None and not path.exists():
        raise Misuse(f"{path} is not there")
    repository = context.repository if path is None else Repository.discover(path)
    try:
        outcomes = _rehearsed(repository, path, target, ref, model, functions, tuple(allow_private_url or ()))
    except InvalidBots as error:
        show_error(error, debug=context.debug)
        raise typer.Exit(INVALID) from None
    if junit is not None or format_ is Report.junit:
        text = junit_xml(outcomes)
        if junit is not None:
            junit.write_text(text, encoding="utf-8")
        if format_ is Report.junit:
            put(text.rstrip())
    if format_ is Report.json:
        put_json([_row(one) for one in outcomes])
    elif format_ is Report.text:
        _show(outcomes)
    verdicts = {one.verdict for one in outcomes}
    raise typer.Exit(FAILED if "failed" in verdicts else INCOMPLETE if "incomplete" in verdicts else 0)


def _rehearsed(
    repository: Repository,
    path: Path | None,
    target: str | None,
    ref: str | None,
    model: Voice,
    functions: bool,
    private: tuple[str, ...],
) -> list[Outcome]:
    from reconciler.desired.check import read_desired
    from reconciler.desired.config import read_config, target_of
    from reconciler.desired.files import files_of
    from reconciler.desired.places import Places
    from reconciler.egress import Gate
    from reconciler.llm.models import Models
    from reconciler.reconcile.rehearse import asking, rehearse, with_models
    from reconciler.reconcile.starts import OTHERWISE

    commit = None if ref is None else repository.resolve(ref)
    config = read_config(repository, commit)
    to = target_of(config, target)
    desired = read_desired(repository, commit, config, to, documents_cache(repository))
    below = "" if path is None else path.resolve().relative_to(repository.root.resolve()).as_posix().removeprefix(".")
    chosen = [one for one in desired.objects if one.ref.kind == "Conversation" and _within(one.at.path, below)]
    if path is not None and not chosen:
        raise Misuse(f"{path} holds no Conversations")
    desired = with_models(_only(desired, chosen), model.value, context.environment.variables, repository.root)
    if not functions:
        desired = _without_functions(desired)
    places = Places(files_of(repository, commit))

    def where(one: Object, path: tuple[str | int, ...]) -> Place:
        return places.within(one.at, *path)

    if to.type == "evolution" and chosen:
        say(f"note     for {to.name} {OTHERWISE}")

    async def play() -> list[Outcome]:
        models = Models(context.environment.variables.get("OPENAI_BASE_URL"), gate=Gate(private))
        found: list[Outcome] = []
        try:
            with Progress("conversations", len(chosen)) as progress:
                for one in chosen:
                    found.append(await rehearse(desired, one, asking(models.answer), where, to.type))
                    progress.did()
        finally:
            await models.close()
        return found

    return asyncio.run(play())


def _within(path: str, below: str) -> bool:
    return not below or path == below or path.startswith(f"{below}/")


def _only(desired: Desired, chosen: list[Object]) -> Desired:
    """Only the instances that are rehearsed, so that no other's key is asked for."""
    instances = {one.ref.instance for one in chosen}
    objects = tuple(one for one in desired.objects if one.ref.instance in instances)
    return msgspec.structs.replace(desired, objects=objects)


def _without_functions(desired: Desired) -> Desired:
    """A rehearsal books no table: functions have no address, which the model is told when it calls one."""
    objects = (
        msgspec.structs.replace(one, spec={**one.spec, "functionUrl": None}) if one.ref.kind == "Bot" else one
        for one in desired.objects
    )
    return msgspec.structs.replace(desired, objects=tuple(objects))


def _show(outcomes: list[Outcome]) -> None:
    from rich.text import Text

    out = console()
    for one in outcomes:
        text = Text(f"{one.verdict:<10} ", style=_COLOURS[one.verdict])
        text.append(f"{one.ref.instance}/{one.ref.name}", style="bold")
        text.append(f"  {one.turns} turns, {one.expectations} expectations", style="dim")
        out.print(text)
        for failure in one.failures:
            style = "yellow" if failure.incomplete else "red"
            row = Text(f"  {failure.at}: ")
            row.append(f"turn {failure.turn}, {failure.expectation}: ", style="cyan")
            row.append(failure.message, style=style)
            out.print(row)
    if not outcomes:
        say("no Conversations: docs/testing-bots.md says how to write one")
        return
    counted = ((verdict, sum(one.verdict == verdict for one in outcomes)) for verdict in _COLOURS)
    put(", ".join(f"{count} {verdict}" for verdict, count in counted if count))


def _row(one: Outcome) -> dict[str, object]:
    return {
        "instance": one.ref.instance,
        "conversation": one.ref.name,
        "at": str(one.at),
        "verdict": one.verdict,
        "turns": one.turns,
        "expectations": one.expectations,
        "failures": [
            {
                "at": str(failure.at),
                "turn": failure.turn,
                "expectation": failure.expectation,
                "message": failure.message,
                "incomplete": failure.incomplete,
            }
            for failure in one.failures
        ],
    }


def junit_xml(outcomes: list[Outcome]) -> str:
    """The outcome as the XML that continuous integration servers read: a suite for each instance; what is incomplete
    counts as skipped.
    """
    rows = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {_counts(outcomes)}>"]
    for instance in dict.fromkeys(one.ref.instance for one in outcomes):
        suite = [one for one in outcomes if one.ref.instance == instance]
        rows.append(f"  <testsuite name={_quote(instance)} {_counts(suite)}>")
        for one in suite:
            case = f"name={_quote(one.ref.name)} classname={_quote(instance)} file={_quote(one.at.path)}"
            rows.append(f'    <testcase {case} line="{one.at.line}">')
            if one.verdict == "failed":
                rows.append(_element("failure", [each for each in one.failures if not each.incomplete]))
            elif one.verdict == "incomplete":
                rows.append(_element("skipped", list(one.failures)))
            rows.append("    </testcase>")
        rows.append("  </testsuite>")
    return "\n".join([*rows, "</testsuites>", ""])


def _counts(outcomes: list[Outcome]) -> str:
    verdicts = [one.verdict for one in outcomes]
    failed, skipped = verdicts.count("failed"), verdicts.count("incomplete")
    return f'tests="{len(outcomes)}" failures="{failed}" skipped="{skipped}" errors="0"'


def _element(name: str, failures: list[Failure]) -> str:
    from xml.sax.saxutils import escape  # writes only

    text = "\n".join(f"{one.at}: turn {one.turn}, {one.expectation}: {one.message}" for one in failures)
    return f"      <{name} message={_quote(failures[0].message)}>{escape(_printable(text))}</{name}>"


def _quote(text: str) -> str:
    from xml.sax.saxutils import quoteattr  # writes only

    return quoteattr(_printable(text))


def _printable(text: str) -> str:
    """Without the control characters that XML 1.0 cannot hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
