"""A page of another origin, as the manager's web pages are: the recorded calls, made with fetch in a real browser."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.runtime.conformance.replay import KEY, openai, runtime

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")

BOT = {
    "enabled": True,
    "botType": "chatCompletion",
    "model": "gpt-4o",
    "maxTokens": 300,
    "triggerType": "keyword",
    "triggerOperator": "equals",
    "triggerValue": "chat",
}
SETTINGS = {
    "expire": 20,
    "keywordFinish": "#EXIT",
    "delayMessage": 1000,
    "unknownMessage": "Message not recognized",
    "listeningFromMe": False,
    "stopBotFromMe": False,
    "keepOpen": False,
    "debounceTime": 1,
    "ignoreJids": [],
}
CALL = """async ([method, url, key, body, credentials]) => {
    const headers = {"Content-Type": "application/json", ...(key === null ? {} : {apikey: key})};
    const sent = body === null ? undefined : JSON.stringify(body);
    const answer = await fetch(url, {method, headers, credentials, body: sent});
    const text = await answer.text();
    return [answer.status, text === "" ? null : JSON.parse(text), answer.headers.get("etag")];
}"""


class _Empty(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # head and body are two writes

    def do_GET(self) -> None:
        body = b"<!doctype html><title>manager</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Manager:
    """The page, and how it calls the runtime."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url

    def __call__(
        self, method: str, path: str, body: Any = None, key: str | None = KEY, credentials: str = "omit"
    ) -> tuple[int, Any]:
        status, data, _ = self.page.evaluate(CALL, [method, self.url + path, key, body, credentials])
        return status, data


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    elsewhere.daemon_threads = True
    serving = threading.Thread(target=elsewhere.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with openai() as models, runtime(tmp_path, models) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{elsewhere.server_address[1]}/manager")
        yield Manager(page, url)
        browser.close()
    elsewhere.shutdown()
    serving.join()
    elsewhere.server_close()


def test_every_page_of_the_manager(manager: Manager) -> None:
    # Login: who answers there, and is the key right?
    status, about = manager("GET", "/")
    assert (status, about["status"]) == (200, 200)
    assert {"message", "version", "clientName", "manager", "documentation"} <= about.keys()
    assert manager("POST", "/verify-creds") == (200, {"status": 200, "message": "Credentials are valid"})
    assert manager("POST", "/verify-creds", key="wrong")[0] == 401
    # Instances
    status, made = manager(
        "POST", "/instance/create", {"instanceName": "recA", "integration": "EVOLUTION", "number": "55"}
    )
    assert (status, made["instance"]["status"]) == (201, "open")
    status, (row,) = manager("GET", "/instance/fetchInstances")
    assert (row["name"], row["connectionStatus"], row["token"]) == ("recA", "open", made["hash"])
    assert row["_count"].keys() == {"Message", "Contact", "Chat"}
    assert manager("GET", "/instance/connectionState/recA")[1]["instance"]["state"] == "open"
    token = made["hash"]  # what the manager's pages of one instance use
    # Credentials
    status, credentials = manager("POST", "/openai/creds/recA", {"name": "main", "apiKey": "sk-1234567890"}, token)
    assert status == 201
    assert [one["id"] for one in manager("GET", "/openai/creds/recA", None, token)[1]] == [credentials["id"]]
    # Settings
    wanted = {**SETTINGS, "openaiCredsId": credentials["id"]}
    status, settings = manager("POST", "/openai/settings/recA", wanted, token)
    assert (status, {name: settings[name] for name in wanted}) == (200, wanted)
    assert manager("GET", "/openai/fetchSettings/recA", None, token)[1]["openaiCredsId"] == credentials["id"]
    models = manager("GET", f"/openai/getModels/recA?openaiCredsId={credentials['id']}", None, token)[1]
    assert {"gpt-4o", "gpt-4o-mini"} <= {one["id"] for one in models}
    # Bots
    status, bot = manager("POST", "/openai/create/recA", {**BOT, "openaiCredsId": credentials["id"]}, token)
    assert (status, {name: bot[name] for name in BOT}) == (201, BOT)
    assert [one["id"] for one in manager("GET", "/openai/find/recA", None, token)[1]] == [bot["id"]]
    body = {**BOT, "openaiCredsId": credentials["id"], "description": "updated"}
    status, updated = manager("PUT", f"/openai/update/{bot['id']}/recA", body, token)
    assert (status, updated["description"]) == (200, "updated")
    assert manager("GET", f"/openai/fetch/{bot['id']}/recA", None, token)[1] == updated
    # Sessions
    jid = "5511988887777@s.whatsapp.net"
    assert manager("GET", f"/openai/fetchSessions/{bot['id']}/recA", None, token) == (200, [])
    status, switched = manager("POST", "/openai/changeStatus/recA", {"remoteJid": jid, "status": "paused"}, token)
    assert (status, switched["bot"]["bot"]["status"]) == (200, "paused")
    ignored = manager("POST", "/openai/ignoreJid/recA", {"remoteJid": jid, "action": "add"}, token)
    assert ignored == (200, {"ignoreJids": [jid]})
    # And an end
    assert manager("DELETE", f"/openai/delete/{bot['id']}/recA", None, token) == (200, {"bot": {"id": bot["id"]}})
    assert manager("GET", f"/openai/fetch/{bot['id']}/recA", None, token)[0] == 404
    assert manager("DELETE", "/instance/delete/recA")[0] == 200


def test_errors_can_be_read_there_and_cookies_open_nothing(manager: Manager) -> None:
    status, fault = manager("POST", "/openai/create/nosuch", {})
    assert (status, fault["error"]) == (404, "Not Found")
    assert manager("GET", "/fleet", key=None)[0] == 401
    # The console's cookie is this host's, so the browser would send it; the answer must not be the page's to read.
    context = manager.page.context
    opened = context.request.post(f"{manager.url}/console/login", data={"key": KEY})
    assert opened.ok
    assert any(cookie["name"] == "reconciler_session" for cookie in context.cookies(manager.url))
    with pytest.raises(Exception, match="Failed to fetch"):
        manager("GET", "/fleet", key=None, credentials="include")
    assert manager("GET", "/fleet", key=None)[0] == 401
