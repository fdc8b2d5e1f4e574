"""`chat`: talk to a running runtime from the terminal, as a customer."""

from __future__ import annotations

import io
import secrets
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from reconciler.cli.context import context
from reconciler.cli.output import put, say
from reconciler.errors import Misuse, Unavailable

if TYPE_CHECKING:
    import httpx

_POLL = 0.15  # seconds between two looks for replies
_QUIET = 0.6  # seconds without a further message after which a reply counts as whole


def chat(
    instance: Annotated[str, typer.Argument(help="The instance to write to, by the target's name for it.")],
    messages: Annotated[
        list[str] | None, typer.Argument(help="Messages to send one after the other; none: ask for them.")
    ] = None,
    customer: Annotated[
        str | None, typer.Option("--as", help="The chat's id, to go on with a chat.  [default: a new customer]")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each reply.", min=0.1)] = 15,
) -> None:
    """Talk to a running runtime from the terminal, as a customer.

    Each line is a message; an empty line only looks for news, Ctrl-D ends. With messages as arguments, or from
    a pipe, each is sent once the one before was answered (or was not, within `--timeout`); exit 2 when none was.

    Examples:

        reconciler chat bistro
        reconciler chat bistro start "Do you have a garden?"
        echo start | reconciler chat bistro --as ana
    """
    import httpx

    from reconciler import shape

    jid = customer or f"terminal-{secrets.token_hex(4)}"
    for fault in shape.faults("http/chat-message", {"remoteJid": jid, "text": "-"}):
        raise Misuse(f"--as {fault.message} ({fault.hint})")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    headers = {"apikey": context.api_key()}
    with httpx.Client(base_url=context.url(), headers=headers, timeout=httpx.Timeout(10, read=30)) as client:
        talk = _Chat(client, instance, jid)
        talk.look()
        if messages or not sys.stdin.isatty():
            answered = False
            for text in messages or (line.rstrip("\n") for line in sys.stdin):
                if text.strip():
                    put(f"> {text}")
                    talk.send(text)
                    answered = talk.wait(timeout) or answered
            if not answered:
                say("no bot answered")
                raise typer.Exit(2)
            return
        say(f"You are {jid}. Ctrl-D ends.")
        while True:
            try:
                text = input("> ")
            except EOFError:
                say()
                return
            if text.strip():
                talk.send(text)
            if not talk.wait(timeout) and text.strip():
                say("(no reply)")


class _Chat:
    """One customer's chat; `look` prints what the other side wrote since the last look."""

    def __init__(self, client: httpx.Client, instance: str, jid: str) -> None:
        self._client = client
        self._instance = instance
        self._path = f"/chat/{quote(instance, safe='')}"
        self._jid = jid
        self._seen: str | None = None

    def send(self, text: str) -> None:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Misuse("a message is not UTF-8, which is all that a chat can carry") from error
        self._ask("POST", self._path, json={"remoteJid": self._jid, "text": text})

    def look(self) -> int:
        """Prints new messages of the business and its bots; returns how many there were."""
        after = {"after": self._seen} if self._seen else {}
        said = self._ask("GET", f"{self._path}/{quote(self._jid, safe='')}", params=after)
        for message in said:
            self._seen = message["id"]
            if message["fromMe"]:
                put(message["text"] or message.get("mediaUrl") or "")
        return sum(1 for message in said if message["fromMe"])

    def wait(self, timeout: float) -> bool:
        """Prints replies until there was one and it is quiet, or `timeout` seconds are over; whether there was one."""
        deadline, last = time.monotonic() + timeout, None
        while (now := time.monotonic()) < deadline and (last is None or now - last < _QUIET):
            if self.look():
                last = time.monotonic()
            else:
                time.sleep(_POLL)
        return last is not None

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        import httpx

        try:
            answer = self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise Unavailable(
                f"no runtime answers at {self._client.base_url}: start one with `reconciler up`"
            ) from error
        if answer.status_code == 401:
            raise Misuse(f"the runtime at {self._client.base_url} does not take this API key: set RECONCILER_API_KEY")
        try:
            if answer.status_code == 404:
                names = [row["name"] for row in self._client.get("/instance/fetchInstances").json()]
                raise Misuse(f"there is no instance {self._instance!r}; there is: {', '.join(names) or 'none yet'}")
            said = answer.json()
            if answer.is_error:
                messages = map(str, said["response"]["message"])
                raise Unavailable(f"the runtime answered {answer.status_code}: {'; '.join(messages)}")
        except (ValueError, LookupError, TypeError) as error:
            at, status = self._client.base_url, answer.status_code
            raise Unavailable(f"what answers at {at} is no runtime of this project ({status})") from error
        return said
