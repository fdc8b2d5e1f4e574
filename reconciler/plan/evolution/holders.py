"""Which Settings hold an account on an Evolution API server, and what stands in the others. PURE.

Before it `accounts` found the rows; after it `lower` names them. One row of credentials serves the
Settings of one instance, and Settings cannot be without: so where an account is shared, placeholder credentials stand
in all Settings but one, and an instance that declares no Settings gets some before its first bot would make them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.model import DEFAULTS, Desired, Live, LiveObject, Object, Ref
from reconciler.plan.evolution.accounts import PLACEHOLDER, Accounts, Key, placeholder_key

SETTINGS: Final = ("credentials", *DEFAULTS, "speechToText", "fallbackBot")


class Holders:
    """Which Settings may name an account: one row of credentials serves the Settings of one instance."""

    def __init__(self, desired: Desired, live: Live | None, found: Accounts, names: Mapping[str, str]) -> None:
        self._source = desired.source
        self._names = names
        self._wants: dict[str, str] = {}
        self._speech: set[str] = set()
        self._at: dict[str, Object] = {}
        for one in desired.objects:
            here = one.ref.instance
            if one.ref.kind == "Settings":
                self._at[here] = one
                self._speech |= {here} if one.spec.get("speechToText") else set()
                if one.spec.get("credentials"):
                    self._wants[here] = one.spec["credentials"]
        for one in sorted(desired.objects, key=lambda one: one.ref):
            if one.ref.kind == "Bot" and one.spec.get("credentials"):
                self._wants.setdefault(one.ref.instance, one.spec["credentials"])
                self._at.setdefault(one.ref.instance, one)
        settings = {one.instance: one for one in live.objects if one.kind == "Settings"} if live is not None else {}
        rows = {one.id: one for one in live.objects if one.kind == "Credentials"} if live is not None else {}
        self._holding = {str(one.spec.get("credentialsId")): name for name, one in settings.items()}
        self._live = set(settings)
        self._stood_in = {name for id, name in self._holding.items() if id in rows and self._made(rows[id])}
        self._declared = {one.ref.instance for one in desired.objects if one.ref.kind == "Settings"}
        self._holder: dict[str, str | None] = {}
        sharing: dict[Key | None, set[str]] = {}
        wanted = {here: Ref("Credentials", here, name) for here, name in self._wants.items()}
        for here, ref in wanted.items():
            sharing.setdefault(found.keys.get(ref), set()).add(here)
        for here, ref in wanted.items():
            self._holder[here] = self._chosen(sharing[found.keys.get(ref)], found.rows.get(ref))

    def _made(self, row: LiveObject) -> bool:
        """Whether a row is a placeholder."""
        return row.mark is not None and row.mark.source == self._source and row.mark.name == PLACEHOLDER

    def _chosen(self, among: set[str], row: LiveObject | None) -> str | None:
        """Who holds it now, else who transcribes, else the first that may; None where none of them does.

        Settings on placeholder credentials stay on them, and what another's Settings hold is not waited for: a plan
        that was applied leaves nothing to do.
        """
        holding = self._holding.get(row.id) if row is not None else None
        if holding is not None:
            return next((here for here in among if self._names[here] == holding), None)
        free = [here for here in among if self._names[here] not in self._live]
        free += [here for here in among & self._declared if self._names[here] in self._live - self._stood_in]
        free += [here for here in among & self._declared if here in self._speech]
        return min(free, key=lambda here: (here not in self._speech, here), default=None)

    def filled(self, instance: str) -> str | None:
        """What Settings that name no Credentials get: those of the instance's first bot."""
        return self._wants.get(instance)

    def elsewhere(self, instance: str) -> bool:
        """Whether the instance's Settings cannot hold its account."""
        return instance in self._holder and self._holder[instance] != instance

    def holder_of(self, instance: str) -> str | None:
        return self._holder.get(instance)

    def implied(self, instance: str) -> Object | None:
        """Settings for an instance that declares and has none.

        The server would make some of whichever bot comes first, and refuse that bot where its account is held.
        """
        if instance in self._declared or self._names[instance] in self._live or instance not in self._at:
            return None
        ref = Ref("Settings", instance, PLACEHOLDER)
        spec = {**dict.fromkeys(SETTINGS), **DEFAULTS, "speechToText": False}
        return Object(ref=ref, spec=spec, at=self._at[instance].at)

    def placeholder(self, instance: str) -> Object | None:
        """The credentials that stand in Settings which cannot hold the account."""
        name = self._names[instance]
        left = instance not in self._declared and name in self._live and name not in self._stood_in
        if left or not self.elsewhere(instance):
            return None
        ref = Ref("Credentials", instance, PLACEHOLDER)
        key = placeholder_key(self._source, self._names[instance])
        return Object(ref=ref, spec={"apiKey": key}, at=self._at[instance].at)
