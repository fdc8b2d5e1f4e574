"""Keys in clear: finds what looks like an API key in a text, so that it can be refused without being shown.

The forms are those by which the providers' own scanners know their keys. Each needs a long run of letters and
digits as random keys have, so that a prompt may talk about `sk-` or show `sk-proj-xxxxxxxx`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import re2

_FORMS: Final = re.compile(
    r"""(?<![A-Za-z0-9_-])(?:
      (?P<openai>sk-(?:proj|svcacct|admin|None|ant|or|lf|live|test)-[A-Za-z0-9_-]{16,} | sk-[A-Za-z0-9_]{16,})
    | (?P<stripe>[sr]k_(?:live|test)_[A-Za-z0-9]{16,})
    | (?P<google>AIza[A-Za-z0-9_-]{35})
    | (?P<groq>gsk_[A-Za-z0-9]{32,})
    | (?P<xai>xai-[A-Za-z0-9]{32,})
    | (?P<cerebras>csk-[A-Za-z0-9]{32,})
    | (?P<fireworks>fw_[A-Za-z0-9]{22,})
    | (?P<nvidia>nvapi-[A-Za-z0-9_-]{40,})
    | (?P<together>tgp_v1_[A-Za-z0-9_-]{32,})
    | (?P<github>gh[pousr]_[A-Za-z0-9]{36,} | github_pat_[A-Za-z0-9_]{36,})
    | (?P<gitlab>glpat-[A-Za-z0-9_-]{20,})
    | (?P<aws>(?:AKIA|ASIA)[0-9A-Z]{16})
    | (?P<slack>xox[abprs]-[A-Za-z0-9-]{20,})
    | (?P<huggingface>hf_[A-Za-z0-9]{30,})
    | (?P<perplexity>pplx-[A-Za-z0-9]{32,})
    | (?P<replicate>r8_[A-Za-z0-9]{32,})
    | (?P<meta>EAA[A-Za-z0-9]{80,})
    ) | (?P<private>-----BEGIN\ (?:[A-Z]+\ )*PRIVATE\ KEY-----)""",
    re.VERBOSE,
)
# What every form begins with: most texts hold none of these, and an automaton sees that quickly.
_HEADS: Final = re2.compile(
    rb"sk[-_]|rk_|AIza|gsk_|xai-|fw_|nvapi-|tgp_|gh[pousr]_|github_pat_|glpat-|A[KS]IA|xox|hf_|pplx-|r8_|EAA|-----B"
)
_PASSWORD: Final = re.compile(r"(?<=://)[^\s/?#@'\"]+(?=@)")  # and user of an address (RFC 3986, 3.2.1)


def keys_in(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each part of a text that looks like an API key or a private key."""
    if _HEADS.search(text.encode("utf-8", "replace")) is None:
        return
    for found in _FORMS.finditer(text):
        if found.lastgroup == "private" or _random(found[0]):
            yield found.span()


def redact(text: str) -> str:
    """The text with all that looks like a key, or is a password in an address, blotted out."""
    for start, end in reversed([*keys_in(text)]):
        text = f"{text[:start]}…{text[end:]}"
    return _PASSWORD.sub("…", text) if "://" in text else text


def _random(key: str) -> bool:
    """Whether its run looks drawn, not written: letters and digits, and not the same few again and again."""
    body = key[3:]
    return any(c.isdigit() for c in body) and any(c.isalpha() for c in body) and len(set(body)) >= 8
