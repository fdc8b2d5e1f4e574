"""`reconciler.yaml`: where the bots are, which targets there are, how the loop runs. All of it is optional."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from reconciler import shape
from reconciler.desired.documents import LACKS
from reconciler.desired.durations import milliseconds
from reconciler.desired.files import Files, files_of
from reconciler.desired.git import Repository
from reconciler.desired.keys import keys_in
from reconciler.desired.places import Places
from reconciler.desired.read import read
from reconciler.desired.text import Flaw, decode, line_and_column
from reconciler.desired.times import cron, zone_fault
from reconciler.errors import InvalidBots, Misuse, Problem
from reconciler.model import Config, ForgeAt, Gates, Price, Sync, Target, Window
from reconciler.shape import Fault, Path_

PATH: Final = "reconciler.yaml"
_LONGEST: Final = 86_400  # seconds between two passes


def read_config(repository: Repository, commit: str | None) -> Config:
    """The configuration at a commit (full hash), or in the working tree (None); defaults where there is none.

    Raises InvalidBots with every problem of the file.
    """
    files = files_of(repository, commit)
    contents, lacking = files.read([PATH])
    if lacking.get(PATH) == "absent":
        return Config()
    if PATH in lacking:
        raise InvalidBots((Problem(path=PATH, message=LACKS[lacking[PATH]]),))
    data, problems = _parse(files, contents[PATH])
    if problems:
        raise InvalidBots(tuple(problems))
    return _config(data)


def empty_overlays(repository: Repository, commit: str | None, config: Config) -> tuple[Problem, ...]:
    """Overlays without a file: a target whose overlay is misspelt would quietly get the base's values."""
    files = files_of(repository, commit)
    message, hint = "holds no YAML files, so nothing differs from the base", "put what differs there, or leave it out"
    return tuple(
        Places(files).problem(
            PATH, 0, Fault(("targets", one.name, "overlay"), f"the folder '{one.overlay}' {message}", hint)
        )
        for one in config.targets
        if one.overlay and not files.below(one.overlay)
    )


def desired_ref(repository: Repository) -> str:
    """The ref whose commit is desired: `source.ref` of the working tree's file, or of HEAD's where there is no tree.

    Raises InvalidBots where that file is not as it should be.
    """
    return read_config(repository, repository.resolve("HEAD") if repository.bare else None).ref


def target_of(config: Config, name: str | None) -> Target:
    """The target of a name; without one the only target, or the first. Raises Misuse, naming those there are."""
    if name is None:
        return config.targets[0]
    for target in config.targets:
        if target.name == name:
            return target
    names = [target.name for target in config.targets]
    hint = shape.closest(name, names)
    raise Misuse(f"there is no target '{name}': reconciler.yaml has {', '.join(names)}{hint and f' ({hint})'}")


def _parse(files: Files, content: bytes) -> tuple[dict[str, Any], list[Problem]]:
    places = Places(files)
    text = decode(content)
    if isinstance(text, Flaw):
        return {}, [places.flaw(PATH, text)]
    flaws = list(read(text, spots=True).flaws)
    for start, _ in keys_in(text):
        hint = "name a variable: `apiKey: {env: RECONCILER_API_KEY}`"
        flaws.append(Flaw(*line_and_column(text, start), "this looks like an API key in clear", hint))
    problems = [places.flaw(PATH, flaw) for flaw in flaws]
    documents = read(text).documents
    if len(documents) > 1:
        flaw = Flaw(documents[1].line, 1, "a second document", "reconciler.yaml is one document")
        problems.append(places.flaw(PATH, flaw))
    if not documents:
        return {}, problems
    data = documents[0].data
    faults = [*shape.faults("config", data)]
    if isinstance(data, dict) and not faults:
        faults += _across(data)
    problems += [_hidden(places.problem(PATH, 0, fault), fault) for fault in faults]
    return data if isinstance(data, dict) else {}, problems


def _hidden(problem: Problem, fault: Fault) -> Problem:
    """A problem of the remote's address is told without it: it may hold a password."""
    if fault.path != ("source", "url"):
        return problem
    message = "is not the address of a git repository, or has a user and password in it"
    hint = "such as https://github.com/acme/bots.git, with the token in RECONCILER_GIT_TOKEN"
    return msgspec.structs.replace(problem, message=message, hint=hint, excerpt="")


def _across(data: Mapping[str, Any]) -> list[Fault]:
    faults = list(_times(data.get("sync", {}), ("sync",), data.get("sync", {})))
    faults += _bounds(data.get("source", {}), "interval", ("source",), 1, _LONGEST, "1s and 24h")
    forge = data.get("forge", {})
    if forge.get("type") == "gitea" and "url" not in forge:
        faults.append(Fault(("forge",), "'url' is missing, which gitea needs", "add `url: https://git.example.com`"))
    source = _folder(data.get("source", {}).get("path", "bots"))
    for name, target in data.get("targets", {}).items():
        faults += _times(target.get("sync", {}), ("targets", name, "sync"), data.get("sync", {}))
        overlay = _folder(target["overlay"]) if "overlay" in target else None
        if overlay == "." or (overlay and f"{source}/".startswith(f"{overlay}/")):
            message = f"the overlay '{overlay}' holds the source path '{source}'"
            faults.append(Fault(("targets", name, "overlay"), message, "use a folder of its own"))
    return faults


def _times(sync: Mapping[str, Any], at: Path_, usual: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with intervals, cron expressions and time zones."""
    yield from _bounds(sync, "interval", at, 1, _LONGEST, "1s and 24h")
    zone = sync.get("timezone", usual.get("timezone", "UTC"))
    if "timezone" in sync and (message := zone_fault(zone)):
        yield Fault((*at, "timezone"), message)
    if zone_fault(zone):
        return
    expressions: list[tuple[Path_, str]] = [((*at, "schedule"), sync["schedule"])] if "schedule" in sync else []
    for number, window in enumerate(sync.get("windows", ())):
        where = (*at, "windows", number)
        expressions += [((*where, how), window[how]) for how in ("allow", "deny") if how in window]
        yield from _bounds(window, "for", where, 60, 7 * 86_400, "1m and 7d")
    for place, expression in expressions:
        try:
            cron(expression, zone)
        except ValueError as error:
            yield Fault(place, f"'{expression}' is no cron expression: {error}", "such as '*/5 8-18 * * mon-fri'")


def _bounds(data: Mapping[str, Any], field: str, at: Path_, least: float, most: float, between: str) -> Iterator[Fault]:
    length = data.get(field)
    if isinstance(length, str) and not least <= _seconds(length) <= most:
        yield Fault((*at, field), f"'{length}' is not between {between}")


def _seconds(length: str | float) -> float:
    return milliseconds(length) / 1000 if isinstance(length, str) else float(length)


def _config(data: Mapping[str, Any]) -> Config:
    source, sync = data.get("source", {}), data.get("sync", {})
    here = next((name for name, target in data.get("targets", {}).items() if target["type"] == "runtime"), None)
    targets = tuple(
        Target(
            name=name,
            type=target["type"],
            url=target.get("url", "http://127.0.0.1:8080"),
            api_key=target.get("apiKey", {"env": "RECONCILER_API_KEY"}),
            overlay=_folder(target["overlay"]) if "overlay" in target else None,
            gates=_gates(target.get("gates", {})),
            sync=_sync({**_left(sync, target.get("sync", {})), **target.get("sync", {})}),
            here=name == here,
        )
        for name, target in data.get("targets", {}).items()
    )
    return Config(
        path=_folder(source.get("path", "bots")),
        ref=source.get("ref", "HEAD"),
        name=source.get("name", ""),
        url=source.get("url"),
        fetch=_seconds(source.get("interval", 60)),
        targets=targets or (Target(name="local", sync=_sync(sync)),),
        prices=_prices(data.get("prices", {})),
        currency=data.get("prices", {}).get("currency", "USD"),
        forge=ForgeAt(**data["forge"]) if "forge" in data else None,
    )


def _prices(data: Mapping[str, Any]) -> dict[str, Price]:
    return {
        model: Price(input=each["input"], cached=each.get("cached", each["input"]), output=each["output"])
        for model, each in data.get("models", {}).items()
    }


def _left(usual: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What of the usual `sync` holds for a target: with an interval of its own not the usual schedule."""
    return {name: value for name, value in usual.items() if not (name == "schedule" and "interval" in own)}


def _sync(data: Mapping[str, Any]) -> Sync:
    return Sync(
        interval=_seconds(data.get("interval", 60)),
        schedule=data.get("schedule"),
        timezone=data.get("timezone", "UTC"),
        windows=tuple(
            Window(allow="allow" in one, cron=one.get("allow") or one["deny"], seconds=_seconds(one["for"]))
            for one in data.get("windows", ())
        ),
        prune=data.get("prune", True),
        self_heal=data.get("selfHeal", True),
    )


def _gates(data: Mapping[str, Any]) -> Gates:
    usual = Gates()
    return Gates(
        updates=data.get("updates", usual.updates),
        deletes=data.get("deletes", usual.deletes),
        above=data.get("from", usual.above),
    )


def _folder(path: str) -> str:
    """A folder of the repository as git writes it: no `./`, no `/` at the end; the root is `.`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join(parts) or "."
