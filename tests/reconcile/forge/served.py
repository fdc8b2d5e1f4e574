"""Forges over loopback: GitHub's, GitLab's and Gitea's documented routes, shapes, limits, refusals, and their faults.

One repository with pull requests. Tokens are users with powers; what a token may not do is refused as the forge does.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HEAD = "a" * 40
BASE = "b" * 40
MERGED = "c" * 40

BOT = {"id": 41898282, "login": "github-actions[bot]", "type": "Bot"}
ANA = {"id": 7, "login": "ana", "type": "User"}
EVE = {"id": 666, "login": "eve", "type": "User"}
BEN = {"id": 8, "login": "ben", "type": "User", "writes": True}
JOB = {"id": -2, "login": "gitea-actions"}

Fault = tuple[int, dict[str, str], bytes] | None  # None: the connection is closed


class Served:
    """What a forge holds, what it heard, and what it does wrong next."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.url = ""
        self.page = 3  # items of a page, whatever is asked for
        self.tokens: dict[str, dict[str, Any]] = {
            "writes": {"user": ANA, "writes": True, "knows": True},
            "job": {"user": BOT if kind == "github" else ANA, "writes": kind != "gitlab", "knows": False},
            "reads": {"user": ANA, "writes": False, "knows": False},
        }
        self.comments: list[dict[str, Any]] = []
        self.statuses: dict[str, list[dict[str, Any]]] = {}
        self.pulls: dict[int, dict[str, Any]] = {12: {"head": HEAD, "from": "acme/bots", "open": True, "files": []}}
        self.merged: dict[str, list[int]] = {MERGED: [12]}
        self.faults: list[Fault | Callable[[str, str], Fault | bool]] = []
        self.after: list[Fault] = []  # faults of answers: what was asked for was done
        self.heard: list[tuple[str, str, dict[str, str], Any]] = []
        self._next = 100

    def comment(self, user: dict[str, Any], body: str, **more: Any) -> dict[str, Any]:
        self._next += 1
        made = {"id": self._next, "user": user, "body": body, "pull": 12, "system": False, **more}
        self.comments.append(made)
        return made

    def answer(self, method: str, url: str, headers: dict[str, str], body: Any) -> tuple[int, dict[str, str], Any]:
        path, query = unquote(urlsplit(url).path), parse_qs(urlsplit(url).query)
        prefix = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}[self.kind]
        token = self._token(headers)
        if not path.startswith(prefix):
            return 404, {}, "not the API"
        if token is None:
            return 401, {}, {"message": "Bad credentials"}
        path = path.removeprefix(prefix)
        if path == "/user":
            return self._user(token)
        return getattr(self, f"_{self.kind}")(method, path, query, token, body)

    def _token(self, headers: dict[str, str]) -> dict[str, Any] | None:
        match self.kind:
            case "github":
                found = headers.get("authorization", "").removeprefix("Bearer ")
            case "gitlab":
                found = headers.get("private-token") or headers.get("job-token", "")
            case _:
                found = headers.get("authorization", "").removeprefix("token ")
        return self.tokens.get(found)

    def _user(self, token: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if token["knows"]:
            return 200, {}, {"id": token["user"]["id"], "login": token["user"]["login"]}
        if self.kind == "gitlab":
            return 401, {}, {"message": "401 Unauthorized"}
        return 403, {}, {"message": "Resource not accessible by integration"}

    def _refused(self) -> tuple[int, dict[str, str], Any]:
        said = {"github": "Resource not accessible by integration", "gitlab": "403 Forbidden", "gitea": "forbidden"}
        return 403, {}, {"message": said[self.kind]}

    def _paged(self, path: str, query: dict[str, list[str]], items: list[Any]) -> tuple[int, dict[str, str], Any]:
        number = int(query.get("page", ["1"])[0])
        shown = items[(number - 1) * self.page : number * self.page]
        headers = {}
        if number * self.page < len(items):
            # As a forge behind a proxy may write it: another host, and GitHub's way of naming the repository.
            headers["Link"] = (
                f'<http://elsewhere.invalid{path}?page={number + 1}&per_page=100>; rel="next", '
                f'<http://elsewhere.invalid{path}?page=9>; rel="last"'
            )
        return 200, headers, shown

    # --- GitHub and Gitea ---

    def _github(
        self, method: str, path: str, query: dict[str, list[str]], token: dict[str, Any], body: Any
    ) -> tuple[int, dict[str, str], Any]:
        if not path.startswith("/repos/acme/bots/"):
            return 404, {}, {"message": "Not Found"}
        path = path.removeprefix("/repos/acme/bots")
        if found := re.fullmatch(r"/issues/(\d+)/comments", path):
            number = int(found[1])
            if method == "GET":
                shown = [self._shown(one) for one in self.comments if one["pull"] == number]
                return (200, {}, shown) if self.kind == "gitea" else self._paged(path, query, shown)
            if not token["writes"]:
                return self._refused()
            if (fault := self._too_long(body)) is not None:
                return fault
            return 201, {}, self._shown(self.comment(token["user"], body["body"], pull=number))
        if found := re.fullmatch(r"/issues/comments/(\d+)", path):
            one = next((c for c in self.comments if c["id"] == int(found[1])), None)
            if one is None:
                return 404, {}, {"message": "Not Found"}
            if not token["writes"] or one["user"]["id"] != token["user"]["id"]:
                return self._refused()
            if (fault := self._too_long(body)) is not None:
                return fault
            one["body"] = body["body"]
            return 200, {}, self._shown(one)
        if found := re.fullmatch(r"/statuses/([0-9a-f]{40})", path):
            if not token["writes"]:
                return self._refused()
            assert body["state"] in ("pending", "success", "failure", "error")
            if len(body["description"]) > (140 if self.kind == "github" else 255):
                return 422, {}, {"message": "Validation Failed", "errors": [{"message": "description is too long"}]}
            self.statuses.setdefault(found[1], []).append(body)
            return 201, {}, {"id": 1, **body}
        if found := re.fullmatch(r"/pulls/(\d+)", path):
            pull = self.pulls.get(int(found[1]))
            if pull is None:
                return 404, {}, {"message": "Not Found"}
            source = {"full_name": pull["from"]} if pull["from"] else None
            return (
                200,
                {},
                {
                    "number": int(found[1]),
                    "state": "open" if pull["open"] else "closed",
                    "head": {"sha": pull["head"], "repo": source},
                    "base": {"sha": BASE, "repo": {"full_name": "acme/bots"}},
                },
            )
        if found := re.fullmatch(r"/pulls/(\d+)/files", path):
            files = [{"filename": name, "status": "modified"} for name in self.pulls[int(found[1])]["files"]]
            return self._paged(path, query, files)
        if self.kind == "github" and (found := re.fullmatch(r"/commits/([0-9a-f]{40})/pulls", path)):
            pulls = [{"number": n, "merged_at": "2026-11-01T00:00:00Z"} for n in self.merged.get(found[1], [])]
            return self._paged(path, query, [*pulls, {"number": 99, "merged_at": None}])
        if self.kind == "gitea" and (found := re.fullmatch(r"/commits/([0-9a-f]{40})/pull", path)):
            numbers = self.merged.get(found[1], [])
            return (200, {}, {"number": numbers[0], "merged": True}) if numbers else (404, {}, {"message": "not found"})
        return 404, {}, {"message": "Not Found"}

    _gitea = _github

    def _too_long(self, body: dict[str, str]) -> tuple[int, dict[str, str], Any] | None:
        if self.kind == "github" and len(body["body"]) > 65_536:
            said = {"code": "custom", "message": "body is too long (maximum is 65536 characters)"}
            return 422, {}, {"message": "Validation Failed", "errors": [said]}
        return None

    @staticmethod
    def _shown(one: dict[str, Any]) -> dict[str, Any]:
        association = "COLLABORATOR" if one["user"].get("writes") else "NONE"
        return {
            "id": one["id"],
            "body": one["body"],
            "user": one["user"],
            "author_association": association,
            "html_url": f"http://forge/c/{one['id']}",
        }

    # --- GitLab ---

    def _gitlab(
        self, method: str, path: str, query: dict[str, list[str]], token: dict[str, Any], body: Any
    ) -> tuple[int, dict[str, str], Any]:
        if not path.startswith(("/projects/acme/bots/", "/projects/34/")):
            return 404, {}, {"message": "404 Project Not Found"}
        path = re.sub(r"^/projects/(acme/bots|34)", "", path)
        if found := re.fullmatch(r"/merge_requests/(\d+)/notes", path):
            number = int(found[1])
            if method == "GET":
                assert "page" in query or query["sort"] == ["asc"]
                return self._paged(path, query, [self._note(c) for c in self.comments if c["pull"] == number])
            if not token["writes"]:
                return self._refused()
            if len(body["body"]) > 1_000_000:
                return 400, {}, {"message": {"note": ["is too long (maximum is 1000000 characters)"]}}
            return 201, {}, self._note(self.comment(token["user"], body["body"], pull=number))
        if found := re.fullmatch(r"/merge_requests/\d+/notes/(\d+)", path):
            one = next((c for c in self.comments if c["id"] == int(found[1])), None)
            if one is None:
                return 404, {}, {"message": "404 Not found"}
            if not token["writes"] or one["user"]["id"] != token["user"]["id"]:
                return self._refused()
            one["body"] = body["body"]
            return 200, {}, self._note(one)
        if found := re.fullmatch(r"/statuses/([0-9a-f]{40})", path):
            if not token["writes"]:
                return self._refused()
            assert body["state"] in ("pending", "running", "success", "failed", "canceled")
            if len(body["description"]) > 255:
                return 400, {}, {"message": {"description": ["is too long (maximum is 255 characters)"]}}
            given = self.statuses.setdefault(found[1], [])
            if given and given[-1]["state"] == body["state"] == "pending":
                said = "Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition)"
                return 400, {}, {"message": said}
            given.append({**body, "context": body["name"]})
            return 201, {}, {"id": 1, **body}
        if found := re.fullmatch(r"/merge_requests/(\d+)", path):
            pull = self.pulls.get(int(found[1]))
            if pull is None:
                return 404, {}, {"message": "404 Not found"}
            source = {"acme/bots": 34, "": None}.get(pull["from"], 35)
            return (
                200,
                {},
                {
                    "iid": int(found[1]),
                    "sha": pull["head"],
                    "state": "opened" if pull["open"] else "merged",
                    "source_project_id": source,
                    "target_project_id": 34,
                    "diff_refs": {"base_sha": BASE, "head_sha": pull["head"]},
                },
            )
        if found := re.fullmatch(r"/merge_requests/(\d+)/diffs", path):
            files = [{"new_path": name, "old_path": name} for name in self.pulls[int(found[1])]["files"]]
            return self._paged(path, query, files)
        if found := re.fullmatch(r"/members/all/(\d+)", path):
            level = {ANA["id"]: 40, BEN["id"]: 30, 9: 20}.get(int(found[1]))
            return (200, {}, {"access_level": level}) if level else (404, {}, {"message": "404 Not found"})
        if found := re.fullmatch(r"/repository/commits/([0-9a-f]{40})/merge_requests", path):
            numbers = self.merged.get(found[1], [])
            return self._paged(
                path, query, [{"iid": 98, "state": "opened"}, *({"iid": n, "state": "merged"} for n in numbers)]
            )
        return 404, {}, {"message": "404 Not Found"}

    @staticmethod
    def _note(one: dict[str, Any]) -> dict[str, Any]:
        return {"id": one["id"], "body": one["body"], "author": {"id": one["user"]["id"]}, "system": one["system"]}


@contextmanager
def serve(kind: str) -> Iterator[Served]:
    """A forge of this kind on a free port."""
    state = Served(kind)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # head and body are two writes
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                state.heard.append((self.command, self.path, headers, body))
                if state.faults:
                    fault: Any = state.faults[0]
                    if callable(fault):
                        fault = fault(self.command, self.path)
                    if fault is not False:
                        state.faults.pop(0)
                        return self._send(fault)
                status, more, data = state.answer(self.command, self.path, headers, body)
                if state.after and self.command != "GET":
                    return self._send(state.after.pop(0))
            return self._send((status, {"Content-Type": "application/json", **more}, json.dumps(data).encode()))

        def _send(self, answer: Fault) -> None:
            if answer is None:
                self.close_connection = True
                return
            status, headers, content = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
