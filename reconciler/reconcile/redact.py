"""Takes out of chats what tells who wrote them, so that they can be kept beside the bots and played in reviews.

Before it `reconcile/sessions.py` reads chats from a runtime; after it a file. What stands for something is the same all
through a file, and says nothing outside of it: pseudonyms are numbered as they come, digits are drawn with a key that
is thrown away. The shape stays where triggers look at it: a number keeps its length and signs, an address is one.

Taken out: names of customers (as the channel tells them, in texts too, and where a text says "my name is …"), chat ids,
e-mail addresses, addresses of the web, API keys, and runs of five digits or more, also with blanks, dots, dashes or
brackets in between. Not taken out: names that only the text knows, streets, birthdays, short numbers, what is told of
a life. A person reads the file before it is shared.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

from reconciler.desired.keys import keys_in
from reconciler.talk.match import bare

_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_URL: Final = re.compile(r"\b(?:https?://|www\.)[^\s<>\"']{1,2000}", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\+?\(?\d(?:[ \t./()-]{0,2}\d){4,40}")
_NAME: Final = r"((?:[^\W\d_][\w'’-]*)(?:\s+[A-ZÀ-Þ][\w'’-]*){0,3})"
# Behind these stands a name however it is written, behind the others only one with a capital letter.
_CALLED: Final = re.compile(
    r"\b(?i:my name is|i am called|me llamo|mi nombre es|me chamo|meu nome é|ich hei(?:ß|ss)e|mein name ist|"
    rf"je m['’]appelle|mi chiamo)\s+{_NAME}"
)
_THIS: Final = re.compile(rf"\b(?i:this is|soy|aqui é (?:o |a )?)\s+{_NAME}")
_NO_NAMES: Final = frozenset(
    ("not", "the", "also", "too", "what", "nicht", "auch", "que", "não", "non", "pas", "anche")
)
_WORD: Final = re.compile(r"[^\W\d_][\w'’-]*")
_SHORT: Final = 3  # letters of a name from which it is looked for however it is written


def introduced(text: str) -> tuple[str, ...]:
    """The names by which somebody says in a text what they are called."""
    called = (found[1] for found in _CALLED.finditer(text) if found[1].lower() not in _NO_NAMES)
    return (*called, *(found[1] for found in _THIS.finditer(text) if found[1][:1].isupper()))


class Redactor:
    """Redacts the chats of one file. `key` draws digits; left out, it is random and nobody keeps it."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def chat(self, jid: str) -> str:
        """A chat's id as `chat-7`."""
        return self._stands_for("chat", jid)

    def text(self, text: str, names: tuple[str, ...] = ()) -> str:
        """A text without what it tells of who wrote it; `names` are those the channel gives, and `introduced` in the
        chat's other texts."""
        for start, end in reversed([*keys_in(text)]):
            text = f"{text[:start]}{self._stands_for('key', text[start:end])}{text[end:]}"
        text = _URL.sub(lambda found: f"https://{self._stands_for('host', found[0])}.example/", text)
        text = _EMAIL.sub(lambda found: f"{self._stands_for('mail', found[0].lower())}@example.com", text)
        text = self._nameless(text, (*names, *introduced(text)))
        return _DIGITS.sub(lambda found: self._digits(found[0]), text)

    def _nameless(self, text: str, names: tuple[str, ...]) -> str:
        """The text without the words of names; a word of a name is the same pseudonym wherever it stands."""
        words = {word for name in names for word in _WORD.findall(name) if len(word) > 1}
        for word in sorted(
            word for word in words if word.upper() == word.lower()
        ):  # no blanks around it, as in Chinese
            text = text.replace(word, self._stands_for("Name", word))
        wanted = {bare(word) for word in words if len(word) >= _SHORT}

        def hidden(found: re.Match[str]) -> str:
            known = bare(found[0]) in wanted or found[0] in words
            return self._stands_for("Name", bare(found[0])) if known else found[0]

        return _WORD.sub(hidden, text) if words else text

    def _digits(self, number: str) -> str:
        """Other digits in their places, the same for the same number however it is written."""
        plain = "".join(c for c in number if c.isdigit())
        drawn = hmac.new(self._key, plain.encode(), hashlib.sha512).digest()
        fresh = iter("".join(str(byte % 10) for byte in drawn))
        return "".join(next(fresh) if c.isdigit() else c for c in number)

    def _stands_for(self, kind: str, value: str) -> str:
        if (found := self._known.get((kind, value))) is None:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            found = self._known[kind, value] = f"{kind}{'-' if kind == 'chat' else ''}{self._counts[kind]}"
        return found
