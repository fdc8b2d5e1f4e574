"""What is live on an Evolution API server, named as the lowered desired state names it. PURE.

Before it come `live.evolution`'s reading and `lower`; after it `own` and `diff`, which then need to know
nothing of that server. Rows of credentials get the name of what is declared as them; one that was replaced gets a name
of its own, so that the plan moves everything off it and deletes it. What cannot be changed there is as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from reconciler.model import Desired, Live, LiveObject, Mark, Object, Ref, unmanaged
from reconciler.plan.evolution.accounts import accounts
from reconciler.plan.own import instance_names

UNLISTED: Final = ""  # among the unproven: an instance that no listing of instances has


def fit(desired: Desired, live: Live) -> Live:
    """The reading with the declared names in it; instances whose listing is not whole are left out."""
    work = _Fitting(desired, live)
    known = [one for one in live.objects if one.instance not in live.unproven]
    objects = [made for one in known if one.kind != "Credentials" for made in work.other(one)]
    return msgspec.structs.replace(live, objects=(*objects, *work.rows()))


def keep_whole(desired: Desired, live: Live) -> Desired:
    """The desired state without the instances whose listing is not whole: nothing of them is changed."""
    if not live.unproven:
        return desired
    names = instance_names(desired)
    listed = {one.instance for one in live.objects}
    left = {
        here
        for here, name in names.items()
        if name in live.unproven or (UNLISTED in live.unproven and name not in listed)
    }
    objects = tuple(one for one in desired.objects if one.ref.instance not in left)
    return msgspec.structs.replace(desired, objects=objects)


class _Fitting:
    def __init__(self, desired: Desired, live: Live) -> None:
        self.source = desired.source
        self.live = live
        self.desired = {one.ref: one for one in desired.objects}
        self.names = instance_names(desired)
        self.yaml = {target: name for name, target in self.names.items()}
        self.found = accounts(desired, live).rows
        self.credentials = {one.id: one for one in live.objects if one.kind == "Credentials"}
        self.called: dict[tuple[str, str], list[str]] = {}  # names of rows, by their instance and id
        for ref, row in sorted(self.found.items()):
            self.called.setdefault((self.names[ref.instance], row.id), []).append(ref.name)
        self.settings = {one.ref.instance: one for one in desired.objects if one.ref.kind == "Settings"}
        bots = [one for one in live.objects if one.kind == "Bot"]
        self.bots = {one.id: self._mine(one) or unmanaged(one.id) for one in bots}

    def other(self, one: LiveObject) -> Iterator[LiveObject]:
        spec = dict(one.spec)
        here = self.yaml.get(one.instance)
        match one.kind:
            case "Instance":
                declared = self.desired.get(Ref("Instance", here or "", here or ""))
                if declared is not None:  # its channel and number are fixed once it is made
                    spec |= {field: declared.spec.get(field) for field in ("integration", "number")}
            case "Settings":
                spec["credentials"] = self._account(one, self.settings.get(here or ""))
                fallback = spec.pop("fallbackId", None)
                spec["fallbackBot"] = self.bots.get(fallback, f"{fallback} (gone)") if fallback else None
            case _:
                spec["credentials"] = self._account(one, self.desired.get(Ref("Bot", here or "", self._mine(one))))
        if (row := self.credentials.get(spec.get("credentialsId") or "")) is not None:
            spec["credentialsIn"] = row.instance
        yield msgspec.structs.replace(one, spec=spec)

    def rows(self) -> Iterator[LiveObject]:
        """Credentials: one for each declared that has a row, then rows that nothing declares."""
        for ref, row in sorted(self.found.items()):
            if self.names[ref.instance] in self.live.unproven:
                continue
            commit = row.mark.commit if row.mark is not None else "0" * 8
            mark = Mark(self.source, ref.name, commit)
            yield msgspec.structs.replace(row, instance=self.names[ref.instance], mark=mark, label=ref.name)
        used = {row.id for row in self.found.values()}
        for row in self.credentials.values():
            if row.id not in used and row.instance not in self.live.unproven:
                yield self._left(row)

    def _left(self, row: LiveObject) -> LiveObject:
        """A row that nothing declares: foreign, no longer declared, or replaced by another."""
        name = self._row_name(row)
        if row.mark is None or row.mark.source != self.source:
            return row
        return msgspec.structs.replace(row, mark=Mark(self.source, name, row.mark.commit), label=name)

    def _row_name(self, row: LiveObject) -> str:
        """What a row that nothing declares is called by what refers to it."""
        if row.mark is None or row.mark.source != self.source:
            return unmanaged(row.label)
        ref = Ref("Credentials", self.yaml.get(row.instance, ""), row.mark.name)
        return f"{row.mark.name}~{row.id[-6:]}" if ref in self.desired else row.mark.name

    def _account(self, one: LiveObject, wanted: Object | None) -> str | None:
        """The name of the row that a bot or Settings use."""
        id = one.spec.get("credentialsId")
        if not id:
            return None
        if names := self.called.get((one.instance, id)):
            meant = wanted.spec.get("credentials") if wanted is not None else None
            return meant if meant in names else names[0]
        row = self.credentials.get(id)
        if row is None:
            return f"{id} (gone)"
        name = self._row_name(row)
        return name if row.instance == one.instance else f"{name} of {row.instance}"

    def _mine(self, one: LiveObject) -> str:
        return one.mark.name if one.mark is not None and one.mark.source == self.source else ""
