"""An Evolution API server of 2.3.x as a target: reading it whole, and steps as its calls.

Before it come `reconcile`'s readings and steps, lowered by `plan.evolution.profile`; after it `evolution_rows` and
`client`. That server has no call for everything, no ETag that spans it, no transactions: an instance is three listings,
and its rules are judged by each call on its own. So the listings are held against one another, an instance whose
listing is not proven whole is left alone, and the writes of one instance go one after the other.

Its 500s are told apart: with a text of its own the server refuses what was asked, and asking again would not help;
anything else is its own trouble, tried again where doing it twice does no harm.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Final, Unpack
from urllib.parse import quote

import msgspec

from reconciler.errors import Rejected, Unavailable
from reconciler.live.client import Answer, AnswerLost, Calling, Client, Failed
from reconciler.live.evolution_rows import Row, bot_body, credentials_body, instance_body, lift, settings_body
from reconciler.live.evolution_whole import Part, part_of, unproven
from reconciler.model import DEMO, Kind, Live, Ref, Secret
from reconciler.plan.order import Step

_WAIT: Final = 0.2  # seconds before a call that met the server's own trouble is tried again; doubled each time

# What the server answers with 500 although the caller is at fault, and what that means.
_REFUSALS: Final[Mapping[str, str]] = {
    "Openai Bot already exists": "another bot of the instance has this model and maxTokens",
    "Trigger already exists": "another bot of the instance, enabled or not, has this trigger",
    "Trigger operator and value are required": "",
    "Trigger value is required": "",
    "Assistant ID is required": "",
    "Bot type is required": "",
    "Model is required": "",
    "Max tokens is required": "",
    "Error creating Openai": "a text is too long, or its credentials are gone",
    "Error creating openai creds": "another instance has credentials of this name",
    "Error updating Openai": "the trigger, or model and maxTokens, are another bot's, or the bot is gone",
    "Error deleting Openai bot": "",
    "Error deleting openai creds": "the Settings of some instance use them",
    "Openai Creds not found": "",
    "Error setting default settings": "the Settings of another instance use these credentials, or a text is too long",
    "Settings not found": "",
}
_ALL: Final = "You already have a Openai with an "


class Evolution:
    """One Evolution API server. `source` is the repository's `source.name`, whose marks name the objects."""

    def __init__(self, url: str, api_key: str, *, source: str = "", **calling: Unpack[Calling]) -> None:
        self.source = source
        self._client = Client(url, api_key, **calling)
        self._kept: dict[str, tuple[str, bytes]] = {}  # listings by path, with their ETags
        self._writing: dict[str, asyncio.Lock] = {}
        self._accounts: dict[Secret, str] = {}  # rows of credentials that were made since the last reading
        self._using: dict[str, tuple[str, str]] = {}  # bots: their row of credentials, and their instance

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    # --- reading -----------------------------------------------------------------------------------------------

    async def read(self, known_version: str | None = None) -> Live | None:
        """Everything that is live, or None if it is still what `known_version` (an earlier reading's) was.

        Costs three requests an instance and one. What cannot be proven whole is in `unproven`. Raises Unavailable
        where nothing can be read.
        """
        self._accounts.clear()
        try:
            instances = await self._rows("/instance/fetchInstances")
            names = [(str(row["name"]), str(row["id"])) for row in instances]
        except (Rejected, KeyError) as error:
            raise Unavailable(f"{self._client.url} does not list its instances: {error}") from error
        parts = dict(zip((name for name, _ in names), await self._parts(instances), strict=True))
        broken = unproven(parts)
        if again := [part.instance for part in parts.values() if part.instance["name"] in broken]:
            # It may have been changed while it was read.
            for part in await self._parts(again):
                parts[str(part.instance["name"])] = part
            broken = unproven(parts)
        if parts and all(part.error for part in parts.values()):
            raise Unavailable(next(part.error for part in parts.values()))
        objects = tuple(
            one
            for _, part in sorted(parts.items())
            for one in lift(part.instance, part.credentials, part.bots, part.settings)
        )
        self._using = {one.id: (str(one.spec["credentialsId"]), one.instance) for one in objects if one.kind == "Bot"}
        seen = msgspec.json.encode([objects, sorted(broken.items())], order="sorted")
        version = hashlib.sha256(seen).hexdigest()
        return None if version == known_version else Live(objects=objects, version=version, unproven=broken)

    async def _parts(self, instances: list[Row]) -> list[Part]:
        return list(await asyncio.gather(*map(self._part, instances)))

    async def _part(self, instance: Row) -> Part:
        """One instance's listings; with an error where one of them cannot be had."""
        name = quote(str(instance["name"]), safe="")
        paths = [f"/openai/{what}/{name}" for what in ("creds", "find", "fetchSettings")]
        answers = await asyncio.gather(*map(self._get, paths), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Rejected | Unavailable):
                raise answer
        return part_of(instance, *answers)

    async def _rows(self, path: str) -> list[Row]:
        rows = await self._get(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Unavailable(f"{self._client.url} is no Evolution API server: GET {path} answers no list")
        return rows

    async def _get(self, path: str) -> Any:
        """A listing; one that has an ETag is not sent again while it is the same."""
        etag, body = self._kept.get(path, (None, b""))
        answer = await self._call("GET", path, etag=etag)
        if answer.status == 304:
            return msgspec.json.decode(body)
        found = answer.json()
        if answer.etag:
            self._kept[path] = (answer.etag, answer.body)
        return found

    # --- changing ----------------------------------------------------------------------------------------------

    async def perform(self, step: Step, ids: Mapping[Ref, str]) -> str | None:
        """One step, mostly as one call; returns the object's id, None for deletes.

        `ids` are the server's ids of what is declared, with those made earlier in the pass. Raises Rejected for what
        the server refuses, however it says so, Unavailable and AnswerLost as `Client.call`.
        """
        # The server looks before it writes, in no transaction: side by side both could pass.
        async with self._writing.setdefault(
            "" if step.ref.kind == "Credentials" else step.instance_name, asyncio.Lock()
        ):
            if step.action == "delete":
                await self._delete(step)
                return None
            match step.ref.kind:
                case "Instance":
                    return await self._instance(step)
                case "Credentials":
                    return await self._credentials(step)
                case "Settings":
                    return await self._settings(step, ids)
                case "Bot":
                    return await self._bot(step, ids)
        raise Rejected(405, f"that server has no call to {step.action} {step.ref}")

    async def _instance(self, step: Step) -> str:
        if step.action != "create":
            raise Rejected(405, f"that server cannot change {step.ref}")
        made = await self._made("/instance/create", instance_body(step.values))
        instance = made.get("instance")
        return str(instance["instanceId"] if isinstance(instance, dict) else made["id"])

    async def _credentials(self, step: Step) -> str:
        key = step.values.get("apiKey")
        if step.action != "create" or step.mark is None:
            raise Rejected(405, f"that server cannot change {step.ref}")
        if not isinstance(key, Secret):
            raise Rejected(400, f"the key of {step.ref} is not known here")
        if key.value == DEMO:
            raise Rejected(400, f"the key of {step.ref} is not set, and that server has no demo model")
        if key not in self._accounts:  # else another instance's credentials have this key: one row serves both
            path = f"/openai/creds/{quote(step.instance_name, safe='')}"
            self._accounts[key] = str((await self._made(path, credentials_body(step.ref, key, step.mark)))["id"])
        return self._accounts[key]

    async def _settings(self, step: Step, ids: Mapping[Ref, str]) -> str:
        """Two calls where there is a fallback bot: it is taken only where no account is sent with it."""
        spec = {**(step.change.spec or {}), **step.values}
        path = f"/openai/settings/{quote(step.instance_name, safe='')}"
        id = step.id or ""
        if set(step.values) - {"fallbackBot"}:
            account = _id(ids, "Credentials", step.ref.instance, spec.get("credentials"))
            id = str((await self._put("POST", path, settings_body(spec, account or "")))["id"])
        bot = step.values.get("fallbackBot")
        was = step.change.live.spec.get("fallbackBot") if step.change.live is not None else None
        if bot is not None or ("fallbackBot" in step.values and was is not None):
            wanted = _id(ids, "Bot", step.ref.instance, bot)
            answer = await self._put("POST", path, {**settings_body(spec, ""), "fallbackId": wanted})
            id = str(answer["id"])
            if answer.get("openaiIdFallback") != wanted:
                raise Rejected(500, f"that server kept another fallback bot than {bot}")
        return id

    async def _bot(self, step: Step, ids: Mapping[Ref, str]) -> str:
        """A body has all fields. A parked bot keeps its live ones, its mark and its account."""
        name = quote(step.instance_name, safe="")
        change, live = step.change, step.change.live
        if step.note and live is not None:
            spec = {**live.spec, **step.values}
            body = bot_body(spec, live.mark, str(live.spec["credentialsId"]))
        else:
            spec = {**(change.spec or {}), **step.values}
            account = _id(ids, "Credentials", step.ref.instance, spec.get("credentials"))
            body = bot_body(spec, step.mark, account or "")
        if step.action == "create":
            answer = await self._made(f"/openai/create/{name}", body)
        else:
            answer = await self._put("PUT", f"/openai/update/{quote(step.id or '', safe='')}/{name}", body)
        self._using[str(answer["id"])] = (body["openaiCredsId"], step.instance_name)
        return str(answer["id"])

    async def _delete(self, step: Step) -> None:
        name, id = quote(step.instance_name, safe=""), quote(step.id or "", safe="")
        match step.ref.kind:
            case "Instance":
                await self._gone(f"/instance/delete/{name}", "")
                self._using = {bot: where for bot, where in self._using.items() if where[1] != step.instance_name}
            case "Credentials":
                rows = await self._rows(f"/openai/creds/{name}")
                row = next((row for row in rows if row.get("id") == step.id), None)
                if row is None:
                    return
                users = {str(bot.get("id")) for bot in row.get("OpenaiAssistant") or ()}
                users |= {bot for bot, where in self._using.items() if where[0] == step.id}
                if users:
                    raise Rejected(409, f"{len(users)} bots still use it, and that server would delete them with it")
                await self._gone(f"/openai/creds/{id}/{name}", "Openai Creds not found")
            case "Bot":
                try:
                    await self._gone(f"/openai/delete/{id}/{name}", "")
                except Rejected:
                    if await self._get(f"/openai/fetch/{id}/{name}") is not None:
                        raise
                self._using.pop(step.id or "", None)
            case _:
                raise Rejected(405, f"that server has no call to delete {step.ref}")

    async def _gone(self, path: str, already: str) -> None:
        try:
            await self._call("DELETE", path)
        except Rejected as error:
            if error.status != 404 and already not in error.messages:
                raise

    # --- calls -------------------------------------------------------------------------------------------------

    async def _made(self, path: str, body: Row) -> dict[str, Any]:
        return _row(await self._call("POST", path, body, creates=True))

    async def _put(self, method: str, path: str, body: Row) -> dict[str, Any]:
        return _row(await self._call(method, path, body))

    async def _call(
        self, method: str, path: str, body: Row | None = None, *, etag: str | None = None, creates: bool = False
    ) -> Answer:
        """A call, with the server's 500s told apart. Raises as `Client.call`, and Rejected for a user's mistake."""
        wait = _WAIT
        for attempt in range(1, self._client.attempts + 1):
            try:
                return await self._client.call(method, path, body, etag=etag, creates=creates)
            except Failed as error:
                for message in error.messages:
                    if message in _REFUSALS or message.startswith(_ALL):
                        said = _REFUSALS.get(message)
                        raise Rejected(500, f"{message} ({said})" if said else message) from error
                if creates:  # it may have been done
                    raise AnswerLost(str(error)) from error
                if attempt == self._client.attempts:
                    raise
            await asyncio.sleep(wait)
            wait *= 2
        raise AssertionError("unreachable")


def _row(answer: Answer) -> dict[str, Any]:
    found = answer.json()
    if not isinstance(found, dict) or not (found.get("id") or found.get("instance")):
        raise AnswerLost(f"the server answered {answer.status} without saying what it made")
    return found


def _id(ids: Mapping[Ref, str], kind: Kind, instance: str, name: Any) -> str | None:
    if name is None:
        return None
    ref = Ref(kind, instance, str(name))
    if ref not in ids:
        raise Rejected(404, f"{ref} is not on the server")
    return ids[ref]
