"""A model of a target: what the HTTP API does, in memory, at the port that plans are applied through."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.errors import Rejected
from reconciler.live.together import PartRefused
from reconciler.model import Live, LiveObject, Mark, Ref, Secret, fingerprint, unmanaged
from reconciler.plan.order import Step
from reconciler.plan.slots import slot_of

REFERENCES = {"credentials": "Credentials", "fallbackBot": "Bot"}


class Model:
    """Objects by id; references are kept as ids, as a real target keeps them."""

    def __init__(self, source: str = "") -> None:
        self.source = source
        self.rows: dict[str, dict[str, Any]] = {}
        self.made = 0
        self.version = 0
        self.calls: list[tuple[str, str]] = []

    def live(self) -> Live:
        return Live(objects=tuple(self._lift(row) for row in self.rows.values()), version=f'"{self.version}"')

    def perform(self, step: Step, ids: Mapping[Ref, str]) -> str | None:
        """One step as the target takes it. Raises Rejected as it would answer."""
        self.calls.append((f"{step.action}", str(step.ref)))
        self.version += 1
        if step.action == "delete":
            self._delete(step)
            return None
        row = self._row(step)
        new = row is None
        if row is None:
            row = {"kind": step.ref.kind, "instance": step.instance_name, "spec": {}, "mark": None, "label": ""}
        spec = dict(row["spec"])
        for field, value in step.values.items():
            if field in REFERENCES and value is not None:
                ref = Ref(REFERENCES[field], step.ref.instance, value)  # type: ignore[arg-type]
                if ref not in ids or ids[ref] not in self.rows:
                    raise Rejected(404, f"{ref} is not there")
                spec[field] = ids[ref]
            elif isinstance(value, Secret):
                spec[field] = fingerprint("salt", value.value)
            elif field != "name":
                spec[field] = value
        if step.ref.kind != "Instance" and not self._instance(step.instance_name):
            raise Rejected(404, f"instance {step.instance_name} is not there")
        slot = slot_of(step.ref.kind, step.instance_name, spec, step.ref.name)
        for other in self.rows.values():
            if (
                other is not row
                and slot
                and slot == slot_of(other["kind"], other["instance"], other["spec"], other["label"])
            ):
                raise Rejected(409, f"{slot} is taken")
        row["spec"] = spec
        if step.mark is not None:
            row["mark"] = step.mark
            row["label"] = step.ref.name
        if new:
            self.made += 1
            row["id"] = f"id{self.made:06d}"
            self.rows[row["id"]] = row
        return str(row["id"])

    def together(self, steps: Sequence[Step], ids: Mapping[Ref, str]) -> dict[int, str]:
        """Steps of one instance, all or none. Raises PartRefused with every step that was refused."""
        assert len({step.instance_name for step in steps}) == 1
        before, known, made = copy.deepcopy(self.rows), dict(ids), dict[int, str]()
        faults: dict[int, tuple[int, str]] = {}
        for step in steps:
            if set(step.needs) & set(faults):
                continue
            try:
                made[step.index] = self.perform(step, known) or ""
            except Rejected as error:
                faults[step.index] = error.status, str(error)
            else:
                known |= {step.ref: made[step.index]} if step.action == "create" else {}
        if faults:
            self.rows = before
            raise PartRefused(faults)
        return made

    def add(self, kind: str, instance: str, spec: Mapping[str, Any], mark: Mark | None, label: str = "by hand") -> str:
        """An object that somebody else made."""
        self.made += 1
        self.version += 1
        key = f"id{self.made:06d}"
        self.rows[key] = {
            "id": key,
            "kind": kind,
            "instance": instance,
            "spec": dict(spec),
            "mark": mark,
            "label": label,
        }
        return key

    def _instance(self, name: str) -> dict[str, Any] | None:
        return next((r for r in self.rows.values() if r["kind"] == "Instance" and r["instance"] == name), None)

    def _row(self, step: Step) -> dict[str, Any] | None:
        if step.ref.kind in ("Instance", "Settings"):
            same = (step.ref.kind, step.instance_name)
            return next((r for r in self.rows.values() if (r["kind"], r["instance"]) == same), None)
        if step.action == "create":
            return None
        if step.id not in self.rows:
            raise Rejected(404, f"{step.ref} is not there")
        return self.rows[step.id]

    def _delete(self, step: Step) -> None:
        assert step.id is not None
        used = any(row["spec"].get("credentials") == step.id for row in self.rows.values())
        if step.ref.kind == "Credentials" and used:
            raise Rejected(409, f"{step.ref} is in use")
        del self.rows[step.id]
        for row in self.rows.values():
            if row["spec"].get("fallbackBot") == step.id:
                row["spec"]["fallbackBot"] = None
        if step.ref.kind == "Instance":
            self.rows = {k: r for k, r in self.rows.items() if r["instance"] != step.instance_name}

    def _lift(self, row: Mapping[str, Any]) -> LiveObject:
        spec = dict(row["spec"])
        for field in REFERENCES:
            if spec.get(field) is not None:
                other = self.rows.get(spec[field])
                mark = other["mark"] if other else None
                name = other["label"] if other and other["kind"] == "Credentials" else spec[field]
                spec[field] = mark.name if mark and mark.source == self.source else unmanaged(name)
        return LiveObject(
            kind=row["kind"], instance=row["instance"], id=row["id"], spec=spec, mark=row["mark"], label=row["label"]
        )


def walk(model: Model, steps: Iterable[Step], ids: Mapping[Ref, str], stop_after: int | None = None) -> dict[str, str]:
    """Performs steps in order as `apply` does; returns what failed. `stop_after`: the process is killed there."""
    known, failed, done = dict(ids), {}, 0
    bad: set[int] = set()
    for step in steps:
        if stop_after is not None and done >= stop_after:
            break
        done += 1
        if bad & set(step.needs):
            bad.add(step.index)
            continue
        try:
            made = model.perform(step, known)
        except Rejected as error:
            failed[str(step.ref)] = str(error)
            bad.add(step.index)
            continue
        if made is not None and step.action == "create":
            known[step.ref] = made
    return failed
