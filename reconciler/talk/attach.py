"""What of a reply is sent as a file: Markdown links and images that lead to a media file.

Before it comes the model's text; after it `prompt.parts`, which makes a message of each piece. Models write links as
Markdown, which no chat shows; a customer is to see the picture. What stands in a code fence stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

File = Literal["image", "video", "audio", "document"]

_KINDS: Final[dict[str, File]] = {
    **dict.fromkeys(("png", "jpg", "jpeg", "gif", "webp"), "image"),
    **dict.fromkeys(("mp4", "mov", "webm", "3gp"), "video"),
    **dict.fromkeys(("mp3", "ogg", "opus", "oga", "wav", "m4a", "aac"), "audio"),
    **dict.fromkeys(("pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "csv", "zip"), "document"),
}
_LINK: Final = re.compile(r"!?\[([^\[\]\n]{0,1000})\]\((https?://[^\s()<>]{1,2000})\)")
_FENCED: Final = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)


class Piece(NamedTuple):
    """A text, or a file with its caption."""

    text: str
    media_url: str | None = None


def kind_of(url: str) -> File | None:
    """What sort of file an address leads to, by the ending of its path; None where that is no media file's."""
    try:
        name = urlsplit(url).path.rpartition("/")[2]
    except ValueError:
        return None
    return _KINDS.get(name.rpartition(".")[2].lower()) if "." in name else None


def pieces(text: str) -> list[Piece]:
    """The text cut at its media files, in order; blank rests between them are left out."""
    found, begin = [], 0
    for link in _links(text):
        found += [Piece(text[begin : link.start()].strip()), Piece(link[1].strip(), link[2])]
        begin = link.end()
    found.append(Piece(text[begin:].strip()))
    return [piece for piece in found if piece.text or piece.media_url]


def _links(text: str) -> Iterator[re.Match[str]]:
    if "](http" not in text:  # nearly every reply
        return
    fences = [fence.span() for fence in _FENCED.finditer(text)]
    for link in _LINK.finditer(text):
        if kind_of(link[2]) and not any(begin <= link.start() < end for begin, end in fences):
            yield link
