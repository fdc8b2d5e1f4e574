"""A git server over HTTP on loopback: git's own `http-backend`, with a password if wanted."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class GitServer:
    """Serves the repositories below a folder; `seen` are the requests' paths with the users that came with them."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self.folder, self.password = folder, password
        self.seen: list[tuple[str, str | None]] = []
        self.down = False
        self.elsewhere: str | None = None  # where it redirects to, if it does
        self.url = ""


@contextmanager
def git_server(folder: Path, password: str | None = None) -> Iterator[GitServer]:
    server = GitServer(folder, password)

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # head and body are two writes

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            given = self.headers.get("Authorization", "")
            user, _, word = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            server.seen.append((self.path, user or None))
            if server.elsewhere is not None:
                self.send_response(302)
                self.send_header("Location", server.elsewhere + self.path)
                self.end_headers()
                return
            if server.down:
                self.send_error(503)
                return
            if server.password is not None and word != server.password:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._backend(user)

        def _backend(self, user: str) -> None:
            path, _, query = self.path.partition("?")
            length = int(self.headers.get("Content-Length") or 0)
            variables = {
                **os.environ,
                "GIT_PROJECT_ROOT": str(server.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(length),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": user,
            }
            done = subprocess.run(
                ["git", "http-backend"], input=self.rfile.read(length), capture_output=True, env=variables, check=False
            )
            head, _, body = done.stdout.partition(b"\r\n\r\n")
            status = 200
            headers = []
            for line in head.decode().splitlines():
                name, _, value = line.partition(":")
                if name.lower() == "status":
                    status = int(value.split()[0])
                else:
                    headers.append((name, value.strip()))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@contextmanager
def silent_server() -> Iterator[tuple[str, Callable[[], bool]]]:
    """The address of a repository on a server that takes connections and never answers; whether a new one came."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as held:
        server.setblocking(False)

        def asked() -> bool:
            with suppress(BlockingIOError):
                held.enter_context(server.accept()[0])
                return True
            return False

        yield f"http://127.0.0.1:{server.getsockname()[1]}/a.git", asked
