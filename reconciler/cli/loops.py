"""The loop that a command asks: the one of this data folder, else the one behind RECONCILER_URL; what both answer.

Before it the commands; after it `reconcile/control.py` here, or the same over HTTP there (`/reconciler/*`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.cli.context import context
from reconciler.errors import Misuse, Unavailable
from reconciler.reconcile.control import Asked, Control, Shown, State, named, reading
from reconciler.reconcile.holds import Rollback, Suspended
from reconciler.reconcile.targets import GOOD

if TYPE_CHECKING:
    import httpx

    from reconciler.reconcile.history import History, PassRow, Source
    from reconciler.reconcile.targets import TargetRow
    from reconciler.runtime.beside import Back
    from reconciler.runtime.metrics import Standing
    from reconciler.settings import DataFolder

T = TypeVar("T")
_POLL = 0.1  # seconds between two looks for the answer of a request over HTTP
_POLL_HERE = 0.02


def at_hand() -> bool:
    """Whether this machine has the loop's own database."""
    try:
        return context.data.loop_database.exists()
    except Misuse:  # no repository, and no data folder named
        return False


def loop() -> Control | There:
    """The loop to ask. Raises Unavailable where there is none."""
    if at_hand():
        return control(context.data)
    if (url := context.environment.url) is not None:
        if (key := context.environment.api_key) is None:
            raise Misuse(f"no API key for {url}: set RECONCILER_API_KEY")
        return There(url.rstrip("/"), key)
    raise Unavailable(
        "no loop's records are at hand: start `reconciler up` or `reconciler run` here, set RECONCILER_DATA to the "
        "folder of the one that runs, or RECONCILER_URL to its address"
    )


def control(folder: DataFolder) -> Control:
    """The loop of a data folder, with the desired commit of the repository one stands in, where there is one."""

    return Control(folder.path, reading(lambda: context.source))


def chosen(asked: Control | There, target: str | None) -> str:
    """The target that is meant. Raises Misuse for one that there is not."""
    return named(asked.targets(), target)


def wait(asked: Control | There, request: Asked, timeout: float) -> Asked:
    """Waits for the pass that answers a request. Raises Unavailable where it does not end in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if (found := asked.requested(request.request)) is not None and found.pass_ is not None:
            return found
        time.sleep(_POLL_HERE if isinstance(asked, Control) else _POLL)
    raise Unavailable(f"the loop did not end a pass of {request.target} within {timeout:g} s: see `reconciler status`")


class There:
    """The loop behind an address, as `Control` is the one at hand. Raises Unavailable where nothing answers, Misuse
    for what it refuses."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key

    def targets(self) -> tuple[str, ...]:
        return tuple(one.target for one in self.status()) or ("local",)

    def status(self, target: str | None = None) -> list[State]:
        found: list[State] = self._ask(list[State], "GET", "status")
        return [one for one in found if target in (None, one.target)]

    def passes(self, limit: int, target: str | None = None, before: int | None = None) -> list[PassRow]:
        from reconciler.reconcile.history import PassRow

        asked = {"limit": limit, "target": target, "before": before}
        given = {name: value for name, value in asked.items() if value is not None}
        return self._ask(list[PassRow], "GET", "passes", params=given)

    def one(self, number: int) -> Shown | None:
        return self._find(Shown, f"passes/{number}")

    def ask(self, target: str, rollback: Rollback | None = None) -> Asked:
        if rollback is None:
            return self._ask(Asked, "POST", "sync", json={"target": target})
        body: dict[str, Any] = {"target": target, "allow": list(rollback.allow)}
        return self._ask(
            Asked, "POST", "rollback", json={**body, "to": rollback.to} if rollback.to is not None else body
        )

    def requested(self, request: int) -> Asked | None:
        return self._find(Asked, f"requests/{request}")

    async def suspend(self, target: str, reason: str) -> Suspended:
        held = self._ask(dict[str, Any], "POST", "suspend", json={"target": target, "reason": reason})
        return Suspended(**held["suspended"])

    def resume(self, target: str) -> bool:
        return self._send("POST", "resume", json={"target": target}).status_code != 409

    def _find(self, kind: type[T], path: str) -> T | None:
        answer = self._send("GET", path)
        if answer.status_code == 404:
            return None
        return self._read(kind, answer)

    def _ask(self, kind: type[T], method: str, path: str, **more: Any) -> T:
        return self._read(kind, self._send(method, path, **more))

    def _read(self, kind: type[T], answer: httpx.Response) -> T:
        import msgspec

        if answer.is_error:
            raise Misuse(f"{self._url} answered {answer.status_code}: {_messages(answer)}")
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"{self._url} answered what no loop answers: is it a reconciler's address?") from error

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        import httpx

        try:
            with httpx.Client(headers={"apikey": self._key}, timeout=httpx.Timeout(10, read=70)) as client:
                answer = client.request(method, f"{self._url}/reconciler/{path}", **more)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unavailable(f"nothing answers at {self._url} (RECONCILER_URL): is the loop's process up?") from error
        if answer.status_code == 401:
            raise Misuse(f"{self._url} does not take this API key: set RECONCILER_API_KEY")
        alone = answer.status_code == 404 and "No reconcile loop" in answer.text
        if alone or answer.status_code == 429 or answer.status_code >= 500:
            raise Unavailable(f"{self._url} answered {answer.status_code}: {_messages(answer)}")
        return answer


def _messages(answer: httpx.Response) -> str:
    try:
        return "; ".join(map(str, answer.json()["response"]["message"]))[:500]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase


# --- for the process that serves a loop's endpoints ------------------------------------------------------------------


class Beside(Control):
    """A loop as the HTTP API asks it."""

    def ask(self, target: str, back: Back | Rollback | None = None) -> Asked:
        return super().ask(target, Rollback(to=back.to, allow=tuple(back.allow)) if back is not None else None)


def beside(folder: DataFolder) -> Beside:
    """The loop of a data folder for the HTTP API."""
    return Beside(folder.path, reading(lambda: context.source))


def hook_secret() -> str | None:
    """What forges sign their push webhooks by. Raises Misuse where it is too short to be a secret."""
    secret = context.environment.variables.get("RECONCILER_HOOK_SECRET", "")
    if secret and len(secret) < 16:
        raise Misuse("RECONCILER_HOOK_SECRET is shorter than 16 characters: make a long one, `openssl rand -hex 32`")
    return secret or None


def standings(folder: DataFolder) -> Callable[[], Sequence[Standing]]:
    """How a loop's targets stand, for metrics."""

    def found() -> Sequence[Standing]:
        from reconciler.reconcile.history import History
        from reconciler.runtime.metrics import Standing

        if not folder.loop_database.exists():
            return []
        with History(folder.loop_database) as history:
            source = history.source()
            rows = {one.target: one for one in history.targets.all()}
            # Of targets that went, or that a loop followed which ended in order, nothing is to be alarmed about. Those
            # of a loop that was killed stay: that nobody looks at them any more is what an alarm is for.
            return [
                _standing(history, rows[one.target], one.looking, source)
                if one.target in rows
                else Standing(target=one.target, looking=one.looking)
                for one in history.targets.followed()
            ]

    return found


def _standing(history: History, row: TargetRow, looking: float | None, source: Source | None) -> Standing:
    from reconciler.runtime.metrics import Standing

    drifted = len(history.targets.drift(row.target))
    return Standing(
        target=row.target,
        outcome=row.outcome,
        checked=row.checked,
        looking=looking,
        drift=drifted,
        passes=history.outcomes(row.target),
        steps=history.step_outcomes(row.target),
        seconds=history.seconds(row.target),
        attempts=row.attempts,
        suspended=history.holds.suspended(row.target) is not None,
        synced=row.outcome in GOOD and not drifted,
        fetched=source.fetched if source is not None else None,
        retiring=len(history.listings.retiring(row.target)),
        absent=Counter(key["effect"] for key in row.absent),
    )
