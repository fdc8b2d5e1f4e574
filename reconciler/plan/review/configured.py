"""What a change of reconciler.yaml means: where keys go, what is followed, how much a plan may do. PURE.

Before it both commits' configurations; after it `verdict`, for which each is for a person to see: a merged change of
reconciler.yaml takes effect with the next pass, and no plan shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.model import Config, Target
from reconciler.plan.review.addresses import host

_TYPES = {"runtime": "a runtime", "evolution": "an Evolution API server"}


def configured(base: Config, head: Config) -> tuple[str, ...]:
    """Each change that a person should see, in a line."""
    former = {one.name: one for one in base.targets}
    return (
        *_followed(base, head),
        *(said for one in head.targets for said in _target(former.get(one.name), one)),
    )


def _followed(base: Config, head: Config) -> Iterator[str]:
    if base.ref != head.ref or base.url != head.url:
        yield "reconciler.yaml follows another ref or repository: what is applied comes from there"
    if base.forge != head.forge and base.forge is not None:
        yield "reconciler.yaml names another forge, repository or token for outcomes"


def _target(was: Target | None, now: Target) -> Iterator[str]:
    name = now.name
    if was is None:
        yield f"the target {name} is new: the key from {_source(now.api_key)} is sent to {host(now.url)}"
        return
    if was.type != now.type:
        yield f"the target {name} becomes {_TYPES[now.type]}, and was {_TYPES[was.type]}"
    if was.url != now.url:
        there, here = host(was.url), host(now.url)
        yield (
            f"the target {name} is at {here}, no longer at {there}: its key is sent there"
            if there != here
            else (f"the target {name} has another address at {here}")
        )
    if was.api_key != now.api_key:
        sources = _source(now.api_key), _source(was.api_key)
        yield f"the key of the target {name} is taken from {sources[0]}, no longer from {sources[1]}"
    if was.gates != now.gates:
        yield f"the gates of the target {name} change: what was refused may pass, or the other way round"
    if now.sync.prune and not was.sync.prune:
        yield f"the target {name} is pruned from now on: what is not declared is deleted"


def _source(key: Mapping[str, str]) -> str:
    return f"the variable {key['env']}" if "env" in key else f"the file {key.get('file')}"
