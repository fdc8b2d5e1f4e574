"""What nobody owns in one instance becomes documents and files: which objects, under which names, in which files. PURE.

Before it `take` chose the instance; after it the files are written. Each document names by `metadata.adopts` the live
object that it is, so that applying it puts a mark on that object and changes nothing else.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from textwrap import shorten
from typing import Any, Final

import msgspec

from reconciler.desired.document import Made, Place, document_of
from reconciler.desired.keys import keys_in
from reconciler.desired.naming import name_of, variable_of
from reconciler.desired.rules import faults_of
from reconciler.desired.write import dump
from reconciler.model import Desired, Kind, LiveObject, Ref, same_secret, unmanaged
from reconciler.plan.own import MARKED
from reconciler.plan.slots import slot_of

_TITLE: Final = 40  # characters of a description that make a name
_DOCUMENT: Final = 256 << 10  # bytes of a file of YAML
_ORDER: Final[tuple[Kind, ...]] = ("Instance", "Credentials", "Assistant", "Bot", "Settings")


class One(msgspec.Struct, frozen=True, kw_only=True):
    """One object that was taken: what it is in YAML, its id on the target, its file, what is to be known of it.

    `variable` is the environment variable of its key, `known` whether that holds the key already.
    """

    ref: Ref
    id: str
    path: str
    notes: tuple[str, ...] = ()
    variable: str | None = None
    known: bool = False


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """One that could not be taken, and why."""

    kind: str
    instance: str
    label: str
    id: str
    reason: str


class Into(msgspec.Struct, frozen=True, kw_only=True):
    """Where to: `folder` is the source path or the overlay, `taken` the paths that are files already.

    `out` is a folder for everything, in place of one for each instance. `variables` is the environment, in which a
    key may be found again, `cannot` why something cannot come back as it is, by id.
    """

    folder: str
    taken: Collection[str]
    variables: Mapping[str, str]
    out: str | None = None
    cannot: Mapping[str, str] = {}


class Taking:
    """One instance. Names are given first, since documents name one another; then each becomes one, or is left."""

    def __init__(
        self,
        desired: Desired,
        here: list[LiveObject],
        instance_name: str,
        declared: str | None,
        used: set[str],
        into: Into,
        files: dict[str, str],
    ) -> None:
        self.objects: list[One] = []
        self.left: list[Left] = []
        self._desired, self._here, self._into, self._files = desired, here, into, files
        self._new = declared is None
        self._name = declared or name_of(instance_name, used, "instance")
        self._instance_name = instance_name
        used.add(self._name)
        mine = [one for one in desired.objects if one.ref.instance == self._name]
        self._mine = {(one.ref.kind, one.ref.name): one for one in mine}
        self._adopting = {(one.ref.kind, one.adopts) for one in mine if one.adopts}
        self._settings = next((one.spec for one in mine if one.ref.kind == "Settings"), None)
        live = next((one for one in here if one.kind == "Settings"), None)
        self._live_settings = live.spec if live is not None else {}
        # Of what is declared already: what references on the target call it, and the name it has in YAML.
        self._accounts = {name: name for kind, name in self._mine if kind == "Credentials"}
        self._bots = {name: name for kind, name in self._mine if kind == "Bot"}
        self._assistants = {
            one.spec["assistantId"]: name for (kind, name), one in self._mine.items() if kind == "Assistant"
        }

    def run(self, bots: frozenset[str]) -> None:
        chosen = [one for one in self._here if self._free(one)]
        if bots:
            chosen = list(_needed(chosen, bots))
        names = self._names(chosen)
        settings = next((one for one in chosen if one.kind == "Settings"), None)
        if settings is not None and not self._may_follow(settings):
            chosen.remove(settings)
            settings = None
        # Bots follow Settings that come with them; each round leaves out what needs something that was left out.
        while True:
            made, bad = self._all(chosen, names, settings)
            if not bad:
                break
            if (line := next((one for one in chosen if one.kind == "Instance" and one.id in bad), None)) is not None:
                bad = {one.id: "its instance is left out" for one in chosen} | {line.id: bad[line.id]}
            chosen = [one for one in chosen if one.id not in bad]
            for one in self._here:
                if one.id in bad:
                    self._leave(one, bad[one.id])
                    self._forget(one, names)
            settings = next((one for one in chosen if one.kind == "Settings"), None)
        for one, found in made:
            self._put(one, names[one.kind, one.id], found)

    # --- which ---

    def _free(self, one: LiveObject) -> bool:
        if one.kind == "Instance":
            return self._new
        if one.kind == "Settings":
            return self._settings is None
        return one.kind in MARKED and one.mark is None and (one.kind, one.id) not in self._adopting

    def _may_follow(self, one: LiveObject) -> bool:
        """Whether the Settings may be declared: bots that are declared already would begin to follow them."""
        followers = sum(kind == "Bot" for kind, _ in self._mine)
        others = {mark.source for each in self._here if (mark := each.mark) and mark.source != self._desired.source}
        if followers:
            self._leave(one, f"{followers} declared bots would begin to follow them: declare them by hand")
        elif others:
            self._leave(one, "they may be declared by another repository, which has objects here")
        return not followers and not others

    def _leave(self, one: LiveObject, reason: str) -> None:
        label = "Settings" if one.kind == "Settings" else one.label
        self.left.append(Left(kind=one.kind, instance=self._instance_name, label=label, id=one.id, reason=reason))

    # --- names ---

    def _names(self, chosen: Iterable[LiveObject]) -> dict[tuple[str, str], str]:
        """YAML names by kind and id."""
        taken: dict[str, set[str]] = {}
        for kind, name in self._mine:
            taken.setdefault(kind, set()).add(name)
        for one in self._here:
            if one.mark is not None and one.mark.source == self._desired.source:
                taken.setdefault(one.kind, set()).add(one.mark.name)
        found: dict[tuple[str, str], str] = {}
        for one in sorted(chosen, key=lambda one: (one.kind, one.label, one.id)):
            used = taken.setdefault(one.kind, set())
            match one.kind:
                case "Instance":
                    name = self._name
                case "Settings":
                    name = "default"
                case "Bot":
                    title = one.label if one.label != one.id else str(one.spec.get("triggerValue") or "bot")
                    name = name_of(shorten(title, _TITLE, placeholder="") or title[:_TITLE], used, "bot")
                case "Assistant":
                    name = name_of(one.label, used, "assistant")
                case _:
                    name = name_of(one.label, used, "credentials")
            used.add(name)
            found[one.kind, one.id] = name
            self._know(one, name)
        return found

    def _know(self, one: LiveObject, name: str) -> None:
        match one.kind:
            case "Credentials":
                self._accounts[unmanaged(one.label)] = name
            case "Bot":
                self._bots[unmanaged(one.id)] = name
            case "Assistant":
                self._assistants[one.spec["assistantId"]] = name

    def _forget(self, one: LiveObject, names: Mapping[tuple[str, str], str]) -> None:
        self._accounts.pop(unmanaged(one.label), None)
        self._bots.pop(unmanaged(one.id), None)
        if one.kind == "Assistant" and self._assistants.get(one.spec["assistantId"]) == names[one.kind, one.id]:
            del self._assistants[one.spec["assistantId"]]

    # --- documents ---

    def _all(
        self, chosen: Iterable[LiveObject], names: Mapping[tuple[str, str], str], settings: LiveObject | None
    ) -> tuple[list[tuple[LiveObject, Made]], dict[str, str]]:
        """Every document, and by id why some cannot be made."""
        made: list[tuple[LiveObject, Made]] = []
        bad: dict[str, str] = {}
        said = self._settings if settings is None else settings.spec
        for one in sorted(chosen, key=lambda one: (_ORDER.index(one.kind), names[one.kind, one.id])):
            ref = Ref(one.kind, self._name, names[one.kind, one.id])
            place = Place(
                ref=ref,
                credentials=self._accounts,
                bots=self._bots,
                assistants=self._assistants,
                settings=said,
                live_settings=self._live_settings,
                variable=self._variable(one, ref.name)[0] if one.kind == "Credentials" else "",
            )
            if one.id in self._into.cannot:
                bad[one.id] = self._into.cannot[one.id]
                continue
            try:
                found = document_of(one, place)
            except KeyError as error:
                bad[one.id] = f"it uses {error.args[0]}, which is not to be had in YAML"
                continue
            if wrong := self._wrong(one, ref, found):
                bad[one.id] = wrong
            else:
                made.append((one, found))
        return made, bad

    def _wrong(self, one: LiveObject, ref: Ref, made: Made) -> str:
        for held in self._mine.values():
            slot = slot_of(one.kind, self._instance_name, one.spec, one.label)
            if slot and slot == slot_of(held.ref.kind, self._instance_name, held.spec, held.ref.name):
                return (
                    f"it stands in the place of {held.ref}: if it is {held.ref.name} and lost its mark, "
                    f"reconciler apply --allow adopt:{one.id}"
                )
        if faults := faults_of(one.kind, made.document):
            return f"it cannot be said in YAML: {faults[0].pointer} {faults[0].message}"
        text = dump(made.document)
        for name, part in (("its document", text), *made.texts.items()):
            if any(keys_in(part)):
                return f"{name} holds what looks like an API key: take it out on the target first"
        if len(text.encode()) > _DOCUMENT - 4096:
            return f"{ref} is longer than 256 KiB, the most that a document may have"
        return ""

    def _variable(self, one: LiveObject, name: str) -> tuple[str, bool]:
        """The environment variable of a key: one that holds it, else one to be set."""
        shown = one.spec.get("apiKey")
        if isinstance(shown, str):
            variables = self._into.variables
            for known in sorted(variables, key=lambda each: (each != "OPENAI_API_KEY", each)):
                if variables[known] and same_secret(shown, variables[known].strip()):
                    return known, True
        return variable_of(self._name, name), False

    # --- files ---

    def _put(self, one: LiveObject, name: str, made: Made) -> None:
        folder = self._into.out or posixpath.normpath(posixpath.join(self._into.folder, self._name))
        below = posixpath.relpath(folder, self._into.folder).split("/")[0]
        document = made.document
        if one.kind != "Instance" and below != self._name:
            document["metadata"] = {"name": name, "instance": self._name, **document["metadata"]}
        plain = {"Instance": "instance", "Settings": "settings"}.get(one.kind, name)
        paths = {text: self._path(folder, "prompts", text) for text in made.texts}
        _rename(document["spec"], {text: posixpath.relpath(path, folder) for text, path in paths.items()})
        for text, path in paths.items():
            self._files[path] = made.texts[text]
        path = self._path(folder, "", f"{plain}.yaml", otherwise=f"{plain}-{one.kind.lower()}.yaml")
        self._files[path] = dump(document)
        variable, known = self._variable(one, name) if one.kind == "Credentials" else (None, False)
        self.objects.append(
            One(
                ref=Ref(one.kind, self._name, name),
                id=one.id,
                path=path,
                notes=made.notes,
                variable=variable,
                known=known,
            )
        )

    def _path(self, folder: str, below: str, name: str, otherwise: str = "") -> str:
        """A path that is nobody's yet."""
        stem, _, ending = name.rpartition(".")
        ways = [name, *([otherwise] if otherwise else []), *(f"{stem}-{number}.{ending}" for number in range(2, 1000))]
        paths = (posixpath.normpath(posixpath.join(folder, below, way)) for way in ways)
        return next(path for path in paths if path not in self._files and path not in self._into.taken)


def _needed(chosen: list[LiveObject], bots: frozenset[str]) -> Iterable[LiveObject]:
    """Some bots with the credentials and assistants that they use, and their instance if it is not declared yet."""
    picked = [one for one in chosen if one.kind == "Bot" and not bots.isdisjoint((one.id, one.label))]
    if not picked:
        return
    accounts = {one.spec.get("credentials") for one in picked}
    assistants = {one.spec.get("assistantId") for one in picked}
    for one in chosen:
        match one.kind:
            case "Instance":
                yield one
            case "Credentials" if unmanaged(one.label) in accounts:
                yield one
            case "Assistant" if one.spec["assistantId"] in assistants:
                yield one
    yield from picked


def _rename(spec: dict[str, Any], paths: Mapping[str, str]) -> None:
    """Text files by the paths that they got."""
    for value in spec.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict) and isinstance(one.get("file"), str):
                one["file"] = paths[one["file"].removeprefix("prompts/")]
