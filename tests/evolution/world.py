"""The Evolution target against the server in this process: plans, applies, faults on the wire, what is there at last.

`World` plans as `reconcile.once` does, without git. Its wire stands where httpx does, so that a thousand fleets take
seconds; `test_wire` shows the same over real sockets.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Collection
from typing import Any, cast
from urllib.parse import quote, unquote

import httpx
import msgspec
from starlette.types import Message

from reconciler.live.evolution import Evolution
from reconciler.model import Desired, Gates, Live, Object, Plan, Secret, split_mark
from reconciler.plan.diff import Before, diff
from reconciler.plan.evolution.accounts import accounts
from reconciler.plan.gate import gate
from reconciler.plan.order import Step, order
from reconciler.plan.profiles import profile_of
from reconciler.reconcile.apply import Ending, Walked, walk
from tests.evolution.app import Calls
from tests.evolution.faults import Fault, Held, Kind
from tests.evolution.fleets import INSTANCES
from tests.evolution.rules import Row, Store
from tests.evolution.serve import KEY, MODELS

ANYTHING = Gates(updates=100, deletes=100, above=10**9)


class Killed(BaseException):
    """The process ends here."""


class Sent(msgspec.Struct):
    """A request on its way."""

    method: str
    path: str
    content: bytes | None
    headers: dict[str, str]


class Wire:
    """Carries a client's requests to the server in its place of `httpx.AsyncClient`, or has faults.

    `refused` are the answers that blame the caller. `killed_at`: the number of the request, from 1, at which the
    process ends, after the server acted if `acting`.
    """

    def __init__(self, server: Calls) -> None:
        self._app = server.app()
        self.armed: list[Fault] = []
        self.sent: list[str] = []
        self.refused: list[str] = []
        self.killed_at: int | None = None
        self.acting = False

    def fault(self, kind: Kind, at: int, times: int = 1) -> Fault:
        """Arms a fault for the `at`th request from now, from 1, and those after it."""
        made = Fault(kind, times=times, seconds=0.001)
        made.at = len(self.sent) + at
        self.armed.append(made)
        return made

    def build_request(self, method: str, path: str, *, content: bytes | None, headers: dict[str, str]) -> Sent:
        return Sent(method, path, content, headers)

    async def send(self, request: Sent, *, stream: bool) -> httpx.Response:
        line = f"{request.method} {request.path}"
        self.sent.append(line)
        killed = len(self.sent) == self.killed_at
        if killed and not self.acting:
            raise Killed
        fault = next((one for one in self.armed if one.strikes(len(self.sent), line)), None)
        if fault is None or killed:
            answer = await self._act(request, line)
            if killed:
                raise Killed
            return answer
        fault.hits += 1
        if fault.at is not None:
            fault.at += 1
        match fault.kind:
            case "refuse":
                raise httpx.ConnectError("connection refused")
            case "reset":
                raise httpx.ReadError("connection reset")
            case "reset-after" | "truncated":
                await self._act(request, line)
                raise httpx.RemoteProtocolError("the connection ended within the answer")
            case "500-after" | "502-after":
                await self._act(request, line)
            case "slow":
                return await self._act(request, line)
        headers = {"retry-after": f"{fault.seconds:g}"} if fault.kind == "429" else {}
        return httpx.Response(int(fault.kind[:3]), headers=headers, html="<h1>try again later</h1>")

    async def _act(self, request: Sent, line: str) -> httpx.Response:
        headers = {"apikey": KEY, **request.headers}
        scope = {
            "type": "http",
            "method": request.method,
            "raw_path": request.path.encode(),
            "path": unquote(request.path),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        held = Held()

        async def receive() -> Message:
            return {"type": "http.request", "body": request.content or b"", "more_body": False}

        await self._app(scope, receive, held.take)
        answer = httpx.Response(held.status, content=held.body)
        if held.status >= 400:
            self.refused.append(f"{line}: {held.status} {held.body.decode()}")
        return answer

    async def aclose(self) -> None:
        pass


class World:
    """One server, and a target that reaches it; `beside`: another repository's, on the same server."""

    def __init__(self, source: str = "", beside: World | None = None) -> None:
        self.store: Store = beside.store if beside is not None else Store()
        self.source = source
        self.wire = Wire(Calls(self.store, KEY, MODELS))
        self.target = self.connect()

    def connect(self) -> Evolution:
        """The target as a new process reaches it."""
        target = Evolution("http://127.0.0.1:1", KEY, source=self.source)
        target._client._http = cast(httpx.AsyncClient, self.wire)
        return target

    def quoted(self, name: str) -> str:
        """An instance's name as paths have it."""
        return re.escape(quote(name, safe=""))

    async def read(self) -> Live:
        live = await self.target.read()
        assert live is not None
        return live

    async def plan(
        self,
        wanted: Desired,
        live: Live | None = None,
        allow: Collection[str] = ("empty",),
        applied: Desired | None = None,
    ) -> Plan:
        """`applied`: what git says of the commit in the marks."""
        live = live or await self.read()
        profile = profile_of("evolution")
        lowered = profile.lower(wanted, live)
        desired, seen = profile.whole(lowered.desired, live), profile.fit(lowered.desired, live)
        then = profile.lower(applied, None).desired.objects if applied is not None else ()
        settings = {one.ref.instance: one.ref for one in desired.objects if one.ref.kind == "Settings"}
        called = {one.ref: settings.get(one.ref.instance) for one in then if one.ref.kind == "Settings"}
        before = Before(objects={called.get(one.ref) or one.ref: one for one in then})
        plan = diff(desired, seen, before, target="evolution", type=profile.type, allow=allow)
        plan = msgspec.structs.replace(plan, faults=(*lowered.faults, *plan.faults))
        return profile.settle(plan, desired, live)

    async def apply(self, plan: Plan, record: Recorder | None = None) -> Walked:
        """Raises PlanRefused."""
        gate(plan, ("empty",), ANYTHING)
        return await walk(order(plan), plan.ids, self.target, record or Recorder())

    async def ended(self) -> None:
        """What a killed process had under way ends with it; a new one takes its place."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self.target = self.connect()

    async def told_by_key_alone(self, wanted: Desired) -> bool:
        """Whether some Credentials' row can be known by its key only: its mark names others of the instance, or what is
        not declared any more; or it is another instance's and no bot uses it."""
        declared = {(INSTANCES[ref.instance], ref.name) for ref in accounts(wanted, None).keys}
        used = {(one.ref.instance, one.spec["credentials"]) for one in wanted.objects if one.ref.kind == "Bot"}
        for ref, row in accounts(wanted, await self.read()).rows.items():
            here = row.instance == INSTANCES[ref.instance]
            if row.mark is not None and (row.instance, row.mark.name) not in declared:
                return True
            if (row.mark is None or row.mark.name != ref.name) if here else (ref.instance, ref.name) not in used:
                return True
        return False

    def wrong(self, wanted: Desired) -> list[str]:
        """How the server's own rows differ from what is declared, read without the code that wrote them."""
        return list(map(str, _wrong(self.store, wanted, self.source)))


class Recorder:
    """Told of each step; raises Killed after so many."""

    def __init__(self, killed_after: int | None = None) -> None:
        self._left = killed_after
        self.failed: dict[str, str] = {}

    def started(self, step: Step) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed

    def ended(self, step: Step, ending: Ending, message: str) -> None:
        if ending != "done":
            self.failed[f"{step.action} {step.ref} {step.note}"] = f"{ending}: {message}"


def _wrong(store: Store, wanted: Desired, source: str) -> Any:
    names = {one.ref.instance: one.spec["instanceName"] for one in wanted.objects if one.ref.kind == "Instance"}
    keys = {one.ref: one.spec["apiKey"] for one in wanted.objects if one.ref.kind == "Credentials"}
    hosts = {(one.ref.instance, one.spec["assistantId"]): one for one in wanted.objects if one.ref.kind == "Assistant"}
    for instance, name in names.items():
        if (row := store.instances.get(name)) is None:
            yield f"{name} is not there"
            continue
        own: dict[str, list[Row]] = {}
        for bot in store.find_bots(row["id"]):
            mark = split_mark(bot["description"])[1]
            if mark is not None and mark.source == source:
                own.setdefault(mark.name, []).append(bot)
        here = [one for one in wanted.objects if one.ref.instance == instance]
        bots = {one.ref.name: one for one in here if one.ref.kind == "Bot"}
        if own.keys() != bots.keys():
            yield f"{name} has the bots {sorted(own)}, declared are {sorted(bots)}"
        for called, found in own.items():
            if len(found) > 1:
                yield f"{name} has {called} {len(found)} times"
            if (declared := bots.get(called)) is not None:
                account = keys[declared.ref.__class__("Credentials", instance, declared.spec["credentials"])]
                host = hosts.get((instance, declared.spec["assistantId"]))
                yield from _wrong_bot(declared, found[0], store.credentials[found[0]["openaiCredsId"]], account, host)
        for settings in (one for one in here if one.ref.kind == "Settings"):
            yield from _wrong_settings(settings, store.fetch_settings(row["id"]))


_SAME = (
    "enabled", "functionUrl", "assistantMessages", "userMessages", "keywordFinish", "delayMessage", "unknownMessage",
    "listeningFromMe", "stopBotFromMe", "keepOpen", "splitMessages", "timePerChar", "ignoreJids",
)  # fmt: skip


def _plain(value: Any) -> Any:
    return None if value in ("", [], ()) else value


def _units(spec: Any) -> dict[str, int]:
    return {"expire": math.ceil(spec["expire"] / 60), "debounceTime": math.ceil(spec["debounceTime"] / 1000)}


def _wrong_bot(one: Object, row: Row, credentials: Row, key: Any, host: Object | None) -> Any:
    spec = one.spec
    expected = {field: spec[field] for field in _SAME} | _units(spec)
    expected |= {"botType": "chatCompletion", "model": spec["model"] or (host and host.spec["model"])}
    messages = list(spec["systemMessages"] or ())
    if spec["botType"] == "assistant" and host is not None:
        messages = [host.spec["instructions"], *messages]
    expected["systemMessages"] = messages
    match spec["triggerType"]:
        case "none":
            if row["triggerType"] != "keyword" or "none" not in row["triggerValue"]:
                yield f"{one.ref} answers to {row['triggerType']} {row['triggerValue']}"
        case "all":
            expected["triggerType"] = "all"
        case _:
            expected |= {field: spec[field] for field in ("triggerType", "triggerValue")}
            if spec["triggerType"] == "keyword":
                expected["triggerOperator"] = spec["triggerOperator"]
    for field, value in expected.items():
        if _plain(row[field]) != _plain(value):
            yield f"{one.ref}: {field} is {row[field]!r}, declared is {value!r}"
    if split_mark(row["description"])[0] != spec["description"]:
        yield f"{one.ref}: description is {row['description']!r}"
    if isinstance(key, Secret) and credentials["apiKey"] != key.value:
        yield f"{one.ref} uses another key"


def _wrong_settings(one: Object, row: Row) -> Any:
    expected = {field: one.spec[field] for field in (*_SAME[5:], "speechToText")} | _units(one.spec)
    for field, value in expected.items():
        if _plain(row.get(field)) != _plain(value):
            yield f"{one.ref}: {field} is {row.get(field)!r}, declared is {value!r}"
    fallback = row["fallback"]
    name = None if fallback is None else split_mark(fallback["description"])[1]
    if (name.name if name else None) != one.spec["fallbackBot"]:
        yield f"{one.ref}: falls back to {name}, declared is {one.spec['fallbackBot']}"


async def applied(world: World, wanted: Desired) -> None:
    """One pass that must be whole, and after which the next one has nothing to do."""
    plan = await world.plan(wanted)
    assert plan.faults == ()
    record = Recorder()
    walked = await world.apply(plan, record)
    assert record.failed == {}
    assert walked.complete
    assert world.wire.refused == []
    await settled(world, wanted)


async def settled(world: World, wanted: Desired) -> None:
    """What is there is what is declared, to the server's own rows and to the next plan."""
    assert world.wrong(wanted) == []
    again = await world.plan(wanted)
    assert [change for change in again.changes if not change.held] == []
    # Settings that are no longer declared are left as they are, and so what they use.
    assert all("Settings" in change.held for change in again.changes)
    assert again.faults == ()
    assert again.unproven == {}
    if not await world.told_by_key_alone(wanted):
        blind = await world.plan(without_keys(wanted))
        assert [change for change in blind.changes if not change.held] == []
        assert blind.faults == ()


def without_keys(wanted: Desired) -> Desired:
    """As `plan` has it, which resolves no keys: a variable for each key."""
    objects = (
        msgspec.structs.replace(one, spec={**one.spec, "apiKey": {"env": one.spec["apiKey"].value}})
        if one.ref.kind == "Credentials"
        else one
        for one in wanted.objects
    )
    return msgspec.structs.replace(wanted, objects=tuple(objects))


async def converged(world: World, wanted: Desired, passes: int = 2) -> None:
    """Passes without trouble bring about what one with it did not; nothing is refused on the way."""
    world.wire.armed.clear()
    world.wire.refused.clear()
    for _ in range(passes):
        plan = await world.plan(wanted)
        assert plan.faults == ()
        await world.apply(plan)
        if not order(await world.plan(wanted)):
            break
    assert world.wire.refused == []
    await settled(world, wanted)
