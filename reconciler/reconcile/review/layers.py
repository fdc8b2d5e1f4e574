"""Where a value of a finding stands: in the overlay's document that changes it, else in the base's.

Before it `gather` with findings at their objects' documents; after it the annotations, which are to stand on the lines
that the pull request changes.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.desired.assemble import identified
from reconciler.desired.cache import Cache
from reconciler.desired.documents import Declared, Documents
from reconciler.desired.files import Files
from reconciler.desired.places import Places
from reconciler.model import Place, Ref, Target


class Layers:
    """The documents of a target's overlay that differ between two commits, by object."""

    def __init__(self, before: Files, after: Files, target: Target, places: Places) -> None:
        self._places = places
        self._found: Mapping[Ref, Declared] = {}
        if target.overlay is None:
            return
        paths = after.below(target.overlay)
        old, new = before.ids(paths)[0], after.ids(paths)[0]
        changed = [path for path, blob in new.items() if old.get(path) != blob]
        documents = Documents(after, Cache(None))
        drafts = identified(documents, documents.load(changed, patches=True), target.overlay)
        self._found = {ref: draft.layers[0] for ref, draft in drafts.items()}

    def place(self, ref: Ref, at: Place, *fields: str) -> Place:
        """The place of the first of these fields that the overlay's document has; of the first in the document at `at`
        where it has none."""
        if (layer := self._found.get(ref)) is not None and isinstance(spec := layer.data.get("spec"), dict):
            for field in fields:
                if field in spec:
                    return self._places.within(Place(layer.path, layer.line, layer.column), "spec", field)
        return self._places.within(at, "spec", fields[0])
