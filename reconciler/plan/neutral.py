"""Text of people and bots inside Markdown, so that a forge shows it and does nothing else with it.

Before it come names, prompts and replies that anybody may have written; after it a comment on GitHub, GitLab or Gitea.
A forge looks for mentions, references and commands in the rendered text, so entities alone do not stop them: a
zero-width space does, put where the sign meets the word. CommonMark 0.31; GitHub's and GitLab's flavoured Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_GAP: Final = "&#8203;"  # U+200B as an entity: shown as nothing, and no part of a name, a number or an address
_SPACE: Final = "\u200b"  # the same as a character, which also works inside code

# Signs that with a word behind them are a person, an issue, a merge request, a label, a formula, …
_SIGNS: Final = "@#!&$%~^"
_ENTITIES: Final = {
    **{c: f"&#{ord(c)};" for c in "\\`*_{}[]|~#!$^"},
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
}

# GH-1, and the keys of other trackers. Each pattern here takes time that grows with the text and no faster.
_TICKET: Final = re.compile(r"(?<![A-Za-z0-9_])[A-Z][A-Z0-9_]*+(?=-[0-9])")
_HASH: Final = re.compile(r"(?<![0-9A-Za-z])(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{7,}(?![0-9A-Za-z])")
# Not `:12:`, of a place in a file, but for the two emoji that are numbers.
_EMOJI: Final = re.compile(r":(?=(?:(?![0-9]+:)[\w+-]{1,64}|100|1234):)")
_ADDRESS: Final = re.compile(r":(?=//)|(?<=\bwww)(?=\.)", re.IGNORECASE)
_SIGN: Final = re.compile(rf"[{re.escape(_SIGNS)}](?=\S)|\[(?=[a-z_]+:|\[)|[\[{{](?=[+-])")
_START: Final = re.compile(r"^(?:(?P<sign>[-+=>:/])|(?P<number>[0-9]{1,9})(?=[.)](?:\s|$)))")
_BEGINS: Final = re.compile(r"[/@!]|bors\b|atlantis\b|`{3}|~{3}")
_ESCAPED: Final = re.compile(r"[\\`*_{}\[\]|~#!$^&<>\"]")


def neutral(value: str) -> str:
    """Text of anybody as one line that Markdown and HTML show as it is: no markup, mention, reference, link, command.

    Fit for a line's start, a table's cell, a heading, and the raw HTML of a `<summary>` alike; not for code, where
    entities would be seen: that is what `fenced` is for.
    """
    line = _clean(" ".join(value.split()))
    marked = _broken(line, (_SIGN,))
    if (start := _START.match(marked)) is not None:
        number = start["number"]
        at = len(number) if number else 0
        marked = f"{marked[:at]}{_SPACE}{marked[at:]}"
    escaped = _ESCAPED.sub(lambda found: _ENTITIES[found[0]], marked)
    return escaped.replace(_SPACE, _GAP)


def fence(body: str) -> str:
    """A fence of backticks longer than any run of them in `body` (CommonMark 0.31, 4.5)."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))


def fenced(body: str, kind: str = "") -> str:
    """Text of anybody as a block of code, without a line end after it.

    Bots that read comments raw see code like all else, so no line begins with a command, a mention or a fence: where
    one would, all lines are set in by a space.
    """
    rows = [_clean(row) for row in re.split(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", body)]
    if kind == "diff":
        rows = [row if row.startswith(("+", "-", " ", "@@ ")) else f" {row}" for row in rows]
    elif any(_BEGINS.match(row) for row in rows):
        rows = [f" {row}" for row in rows]
    shown = "\n".join(rows)
    marks = fence(shown)
    return f"{marks}{kind}\n{shown}\n{marks}"


_TAG: Final = re.compile(r"<(?!/?(?:details|summary|code|sub|b|br)>)(?=\S)")
_ENTITY: Final = re.compile(r"&(?!(?:lt|gt|amp|quot|#(?:8203|92|96|42|95|123|125|91|93|124|126|35|33|36|94));)(?=\S)")
_SIGN_ENTITY: Final = re.compile(r"&(?:amp|#(?:126|35|33|36|94));(?=\S)")
_PLAIN_SIGN: Final = re.compile(
    r"[@!$%^](?!&#8203;)(?=\S)|(?<!&)[#~](?=[\w\"'{])|\[(?=[a-z_]+:|\[)|[\[{](?=[+-])|\](?=[(\[:])"
)
_COMMAND: Final = re.compile(r"^([ \t]*)(?=/)", re.MULTILINE)
_INFO: Final = re.compile(r"^([ \t>*+-]*(?:`{3,}|~{3,}))[ \t]*(?!(?:diff|yaml|json|text)?[ \t]*$)[^\n]*$", re.MULTILINE)


def tame(document: str) -> str:
    """A whole Markdown document of somebody who is not trusted, with its layout and without its powers.

    Headings, lists, tables, code and folds stay. Mentions, references, links, images, commands, comments and all other
    HTML are shown as they are written. It reads no structure, so that no reader can see another structure in it: a
    zero-width space stands in each place that could begin something, inside code too.
    """
    rows = re.split(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", document)
    text = "\n".join("".join(c for c in row if c.isprintable() or c == "\t") for row in rows)
    text = _INFO.sub(r"\1", text)
    text = _COMMAND.sub(rf"\1{_SPACE}", text)
    text = _broken(text, (_TAG, _ENTITY, _PLAIN_SIGN, _SIGN_ENTITY))
    return text + "\n</details>" * max(0, text.count("<details>") - text.count("</details>"))


def _broken(text: str, signs: Sequence[re.Pattern[str]]) -> str:
    """The text with a space of no width in each place where a sign meets what it would refer to."""
    for pattern in (*signs, _EMOJI, _ADDRESS, _TICKET):
        text = pattern.sub(lambda found: found[0] + _SPACE, text)
    return _HASH.sub(lambda found: _SPACE.join(re.findall(".{1,6}", found[0])), text)


def _clean(line: str) -> str:
    """Without control and invisible characters, which could hide text or turn its direction."""
    return line if line.isprintable() else "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in line)
