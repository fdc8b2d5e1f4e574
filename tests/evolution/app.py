"""The HTTP side of an Evolution API server: which checks come first, and the bodies of answers and errors.

Before it come `faults` and uvicorn; after it `schema` and `rules`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.evolution import schema
from tests.evolution.rules import Refused, Row, Store
from tests.evolution.schema import Schema

VERSION = "2.3.6"

Act = Callable[[str, Row, Row], Any]  # (the instance's id, parameters of path and query, body) -> the answer


class Calls:
    """The endpoints of one store.

    `models` is what `getModels` answers; it refuses keys that begin with `sk-bad`. `pause` is how many seconds lie
    between what a new bot's rules look at and its row: calls are atomic but for that.
    """

    def __init__(self, store: Store, key: str, models: list[Row]) -> None:
        self.store, self.key, self.models = store, key, models
        self.pause = 0.0

    def app(self) -> ASGIApp:
        store = self.store
        creds, bots = "/openai/creds", "/openai"
        table: list[tuple[str, str, Schema | None, int, Act]] = [
            ("POST", creds, schema.CREDENTIALS, 201, lambda i, p, b: store.create_credentials(i, b)),
            ("GET", creds, None, 200, lambda i, p, b: store.find_credentials(i)),
            ("DELETE", f"{creds}/{{openaiCredsId}}", None, 200, self._delete_credentials),
            ("POST", f"{bots}/create", schema.BOT, 201, lambda i, p, b: store.create_bot(i, b)),
            ("GET", f"{bots}/find", None, 200, lambda i, p, b: store.find_bots(i)),
            ("GET", f"{bots}/fetch/{{openaiBotId}}", None, 200, lambda i, p, b: store.bots.get(p["openaiBotId"])),
            ("PUT", f"{bots}/update/{{openaiBotId}}", schema.BOT, 200, self._update_bot),
            ("DELETE", f"{bots}/delete/{{openaiBotId}}", None, 200, self._delete_bot),
            ("POST", f"{bots}/settings", schema.SETTINGS, 200, lambda i, p, b: store.set_settings(i, b)),
            ("GET", f"{bots}/fetchSettings", None, 200, lambda i, p, b: store.fetch_settings(i)),
            ("POST", f"{bots}/changeStatus", schema.STATUS, 200, self._change_status),
            ("GET", f"{bots}/fetchSessions/{{openaiBotId}}", None, 200, self._sessions),
            ("POST", f"{bots}/ignoreJid", schema.IGNORE, 200, lambda i, p, b: store.ignore(i, b)),
            ("GET", f"{bots}/getModels", None, 200, self._models),
            ("GET", "/instance/connectionState", None, 200, self._state),
            ("DELETE", "/instance/delete", None, 200, self._delete_instance),
        ]
        routes = [self._of_instance(*line) for line in table]
        routes += [
            Route("/instance/create", self._guarded(self._create_instance), methods=["POST"]),
            Route("/instance/fetchInstances", self._guarded(self._fetch_instances), methods=["GET"]),
            Route("/", self._guarded(self._root), methods=["GET"]),
            Route("/{rest:path}", self._guarded(self._nowhere), methods=list(_METHODS)),
        ]
        app = Starlette(routes=routes)

        async def entry(scope: Scope, receive: Receive, send: Send) -> None:
            """Paths are matched before their parts are decoded, and without a slash at the end."""
            path = scope["raw_path"].decode().partition("?")[0].rstrip("/") or "/"
            await app({**scope, "path": path}, receive, send)

        return entry

    def _of_instance(self, method: str, path: str, fields: Schema | None, status: int, act: Act) -> Route:
        async def call(request: Request, body: Row) -> Response:
            parts = {name: unquote(value) for name, value in request.path_params.items()}
            self._authorised(request, parts["instanceName"])
            given: Row = {**parts, **request.query_params}
            if fields is not None and (found := schema.faults(fields, body)):
                raise Refused(400, [found])
            # The guards looked at the path; what acts looks at the query first.
            instance = self.store.instances.get(given["instanceName"])
            if instance is None:
                raise Refused(500, "Cannot read properties of null (reading 'id')")
            if fields is schema.BOT:
                await self._race(instance["id"], request.method)
            return JSONResponse(act(instance["id"], given, body), status)

        return Route(f"{path}/{{instanceName}}", self._guarded(call), methods=[method])

    async def _race(self, instance: str, method: str) -> None:
        """Two first bots at once both find no settings; the second cannot make them again."""
        without = method == "POST" and instance not in self.store.settings
        await asyncio.sleep(self.pause)
        if without and instance in self.store.settings:
            raise Refused(500, "Error setting default settings")

    def _guarded(self, call: Callable[[Request, Row], Any]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            if request.method == "OPTIONS":
                return Response(status_code=204)
            try:
                answer: Response = await call(request, await _body(request))
            except Refused as refused:
                answer = JSONResponse(refused.body, refused.status)
            return answer

        return endpoint

    def _authorised(self, request: Request, name: str) -> None:
        if name not in self.store.instances:
            raise Refused(404, [f'The "{name}" instance does not exist'])
        key = request.headers.get("apikey") or None
        if key is None or key not in (self.key, self.store.instances[name]["token"]):
            raise Refused(401, "Unauthorized")

    async def _create_instance(self, request: Request, body: Row) -> Response:
        self._global(request)
        return JSONResponse(self.store.create_instance(body), 201)

    async def _fetch_instances(self, request: Request, body: Row) -> Response:
        token = self._global(request, or_token=True)
        return JSONResponse(self.store.fetch_instances(request.query_params.get("instanceName"), token))

    def _global(self, request: Request, *, or_token: bool = False) -> str | None:
        """Asks for the global key; an instance's token, where that will do, is given back."""
        key = request.headers.get("apikey")
        if not key:
            raise Refused(403, ["Missing global api key", "The global api key must be set"])
        if key == self.key:
            return None
        if or_token and any(row["token"] == key for row in self.store.instances.values()):
            return key
        raise Refused(401, "Unauthorized")

    async def _root(self, request: Request, body: Row) -> Response:
        said = "Welcome to the Evolution API, it is working!"
        facts = {"status": 200, "message": said, "version": VERSION, "clientName": "evolution_exchange"}
        return JSONResponse({**facts, "documentation": "https://doc.evolution-api.com"})

    async def _nowhere(self, request: Request, body: Row) -> Response:
        raise Refused(404, [f"Cannot {request.method} {request.url.path}"])

    def _state(self, instance: str, given: Row, body: Row) -> Row:
        row = self.store.instances[given["instanceName"]]
        return {"instance": {"instanceName": row["name"], "state": row["connectionStatus"]}}

    def _delete_instance(self, instance: str, given: Row, body: Row) -> Row:
        return self.store.delete_instance(given["instanceName"])

    def _delete_credentials(self, instance: str, given: Row, body: Row) -> Row:
        return self.store.delete_credentials(instance, given["openaiCredsId"])

    def _update_bot(self, instance: str, given: Row, body: Row) -> Row:
        return self.store.update_bot(instance, given["openaiBotId"], body)

    def _delete_bot(self, instance: str, given: Row, body: Row) -> Row:
        return self.store.delete_bot(instance, given["openaiBotId"])

    def _change_status(self, instance: str, given: Row, body: Row) -> Row:
        told = {"remoteJid": body["remoteJid"], "status": body["status"]}
        if body["status"] == "delete":
            return {"bot": told}
        count = {} if body["status"] == "closed" else {"session": {"count": 0}}
        return {"bot": {**given, "bot": {**told, **count}}}

    def _sessions(self, instance: str, given: Row, body: Row) -> list[Row]:
        bot = self.store.bots.get(given["openaiBotId"])
        if bot is not None and bot["instanceId"] != instance:
            raise Refused(500, "Error fetching sessions")
        return []

    def _models(self, instance: str, given: Row, body: Row) -> list[Row]:
        if id := given.get("openaiCredsId"):
            row = self.store.credentials.get(id)
            if row is None or row["instanceId"] != instance:
                raise Refused(500, "OpenAI credentials not found for the provided ID")
        elif (settings := self.store.settings.get(instance)) is None:
            raise Refused(500, "Settings not found")
        else:
            row = self.store.credentials[settings["openaiCredsId"]]
        if row["apiKey"].startswith("sk-bad"):
            raise Refused(500, "Error fetching models")
        return self.models


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


async def _body(request: Request) -> Row:
    """The body as an object; {} for what is neither JSON nor a form, as the real server's parsers have it."""
    raw = (await request.body()).decode()
    type = request.headers.get("content-type", "").partition(";")[0].strip()
    if type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(raw, keep_blank_values=True))
    if type != "application/json" or not raw.strip():
        return {}
    fault = f"Unexpected token '{raw.strip()[0]}', \"{raw}\" is not valid JSON"
    if raw.strip()[0] in "{[":
        try:
            data = json.loads(raw)
        except json.JSONDecodeError as error:
            fault = f"Unexpected token in JSON at position {error.pos}"
            if "property name" in error.msg:
                empty = raw[: error.pos].rstrip().endswith("{")
                what = "property name or '}'" if empty else "double-quoted property name"
                fault = f"Expected {what} in JSON at position {error.pos}"
        else:
            return data if isinstance(data, dict) else {str(i): item for i, item in enumerate(data)}
    raise Refused(400, fault, error="Internal Server Error")
