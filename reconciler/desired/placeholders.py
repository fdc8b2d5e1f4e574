"""Placeholders in texts that nothing fills in: what was taken over from a system that does, and goes out as it stands.

`{{ $now }}`, `{{nome}}`, `${name}`, `{name}`, `%name%`, `<%= name %>`. A model reads the braces, or a customer does.
JSON and code in a prompt are no placeholders: a single brace counts only around one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_NAME: Final = r"[^\W\d]\w*(?:[.-]\w+)*"
_PLACEHOLDER: Final = re.compile(
    rf"""\{{\{{[^{{}}\n]{{1,80}}\}}\}}        # Typebot, n8n, Vapi, Mustache
    | \$\{{[^{{}}\n]{{1,80}}\}}               # shells, JavaScript
    | <%=?[^%\n]{{1,80}}%>                    # templates
    | (?<![\w$}}])\{{{_NAME}\}}(?![\w{{])     # Python, Voiceflow: one name alone
    | (?<![\w%])%{_NAME}%(?![\w%])            # ManyChat, Windows
    """,
    re.VERBOSE,
)
_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_SHOWN: Final = 3  # of one text


def placeholders(text: str) -> Iterator[tuple[int, str]]:
    """The first placeholders of a text, each with where it begins; those in fenced code are left alone."""
    if "{" not in text and "%" not in text:
        return
    fenced = [found.span() for found in _FENCE.finditer(text)]
    count = 0
    for found in _PLACEHOLDER.finditer(text):
        if not any(start <= found.start() < end for start, end in fenced):
            yield found.start(), found[0]
            count += 1
            if count == _SHOWN:
                return


def said(placeholder: str) -> tuple[str, str]:
    """What is wrong with a placeholder, and what to do."""
    return f"{placeholder} is filled in by nothing: it goes out as it stands", "write what is meant, or leave it out"
