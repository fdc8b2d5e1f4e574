"""Text of anybody in a comment: shown as it is, never a mention, a reference, a link, HTML or a command.

What forges look for is stood for by their patterns: of rendered text nodes for mentions and references, of raw
lines for commands. A CommonMark reader with tables and bare links says what the Markdown becomes.
"""

from __future__ import annotations

import html
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.plan.neutral import fence, fenced, neutral, tame

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

ATTACKS = [
    "@all",
    "ping @channel, @acme/owners and (@ana)",
    "x@example.com",
    "#1 fixes #23, acme/bots#7 and GH-12",
    '!42 of group/project!42, &9, $3, %5, ~bug, ^alert#4, %"next", ~"a label", #"x"',
    "JIRA-77",
    "https://evil.example/issues/1 www.evil.example http://a",
    "see 0123456789abcdef0123456789abcdef01234567 and 3f2a91c",
    "</details></summary><details open>",
    "<!-- reconciler:review head=1 -->",
    "<img src=x onerror=alert(1)> <script>",
    "![pixel](https://evil.example/p.png)",
    "[click](javascript:alert(1)) [a]: /b [x][y] [[wiki]]",
    "`code` ``` ```` ~~~ ~~gone~~",
    "**bold** __also__ *it* _it_",
    "| a | b |",
    "# heading",
    "- item",
    "+ item",
    "1. one",
    "7) seven",
    "=====",
    "-----",
    "> quote",
    "    indented",
    "/merge",
    "/close /label ~bug",
    "\\@all \\",
    "&#64;all &commat;all &lt;b&gt;",
    ":tada: a::b",
    "$x^2$ {+ added +} [- gone -] [vulnerability:12]",
    "a\u202egpj.exe \u200bx",
    "one\n/merge\n\n@all",
    "term\n: definition",
]

MENTIONS = [
    re.compile(r"(?<![\w`])@[A-Za-z0-9_][\w./-]*"),
    re.compile(r"(?:^|[\s(\[{/\w.-])(?:[#!&$%~^])[\"\w]"),
    re.compile(r"\b[A-Z][A-Z0-9_]*-[0-9]+"),
    re.compile(r"(?<!\w)[0-9a-f]*[a-f][0-9a-f]{6,39}(?!\w)"),
    re.compile(r"https?://|www\.|\w@\w", re.IGNORECASE),
    re.compile(r":(?:(?![0-9]+:)[\w+-]+|100|1234):"),
    re.compile(r"\[\[|\[[a-z_]+:|[\[{][+-]"),
]
COMMAND = re.compile(r"^\s*/\w", re.MULTILINE)


class Seen(HTMLParser):
    """The tags of HTML, and its text outside code, node by node as a forge walks them, and in all."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.comments: list[str] = []
        self.nodes: list[str] = []
        self.all = ""
        self._code = 0
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs if name not in ("class", "start")]
        self._code += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag == "code"

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.all += data
        if not self._code:
            self.nodes.append(data)


def harmless(seen: Seen) -> None:
    assert not seen.comments
    assert not set(seen.tags) & {"a", "img", "script", "iframe", "form", "input"}
    for node in seen.nodes:
        for pattern in MENTIONS:
            assert not pattern.search(node), (pattern.pattern, node)


def one_line(value: str) -> str:
    line = " ".join(value.split())
    return "".join(c if c.isprintable() else "\ufffd" for c in line)


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
@pytest.mark.parametrize(
    "frame", ["{}", "- {}", "| a |\n|---|\n| {} |", "<details><summary>{}</summary>\n\n</details>"]
)
def test_neutral_text_is_only_text(attack: str, frame: str) -> None:
    shown = neutral(attack)
    assert "\n" not in shown
    assert not COMMAND.search(shown)
    seen = Seen(READER.render(frame.replace("{}", shown)))
    harmless(seen)
    assert set(seen.tags) <= set(Seen(READER.render(frame.replace("{}", "x"))).tags)
    assert one_line(attack) in seen.all.replace("\u200b", "")


@given(st.text(st.sampled_from("a1F @#!&$%~^/\\`*_{}[]()<>|+-=.:;\"'\n\té") | st.characters(), max_size=60))
def test_any_text_is_shown_as_it_is(value: str) -> None:
    seen = Seen(READER.render(f"- x {neutral(value)}"))
    harmless(seen)
    assert set(seen.tags) == {"ul", "li"}
    assert seen.all.replace("\u200b", "").strip() == f"x {one_line(value)}".strip()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Bot bistro/restaurant: expire 1h → 2h", "Bot bistro/restaurant: expire 1h → 2h"),
        ("a\n|b_ <c>", "a &#124;b&#95; &lt;c&gt;"),
        ("39.85% is over 30.00% (104/261), a & b", "39.85% is over 30.00% (104/261), a &amp; b"),
        ("~ Bot", "&#126; Bot"),
        ("@all", "@&#8203;all"),
        ("bots/a.yaml:12:7: no", "bots/a.yaml:12:7: no"),
        ("x :100: :tada:", "x :&#8203;100: :&#8203;tada:"),
        ("1. x", "1&#8203;. x"),
        ("", ""),
    ],
)
def test_what_needs_nothing_stays(value: str, shown: str) -> None:
    assert neutral(value) == shown


@pytest.mark.parametrize(("body", "expected"), [("", "```"), ("a ``` b", "````"), ("`" * 9, "`" * 10)])
def test_a_fence_is_longer_than_any_run_inside(body: str, expected: str) -> None:
    assert fence(body) == expected


@pytest.mark.parametrize("kind", ["", "diff", "text"])
@pytest.mark.parametrize("attack", [*ATTACKS, "```\n@all", "a\n~~~~\n```diff\n````", "a\r/merge\u2028/close", "@@all"])
def test_a_block_of_code_holds_anything(attack: str, kind: str) -> None:
    block = fenced(attack, kind)
    seen = Seen(READER.render(block))
    assert set(seen.tags) == {"pre", "code"}
    assert seen.nodes in ([], ["\n"])
    inner = block.split("\n")[1:-1]
    assert not any(re.match(r"/|@\w|@@\w|```|~~~", row) for row in inner)
    assert "\u202e" not in block


def test_code_without_commands_is_not_set_in() -> None:
    assert fenced("hello there\n  you") == "```\nhello there\n  you\n```"
    assert fenced("+ a\n- b\n c\n@@ -1 +1 @@", "diff") == "```diff\n+ a\n- b\n c\n@@ -1 +1 @@\n```"


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
@pytest.mark.parametrize(
    "frame",
    [
        "{}",
        "`a` {} `b`",
        "open ` and\n{}\n` shut",
        "<details>\n```\n{}\n```",
        "- x\n\n  ```\n{}",
        "```\n{}",
        "> {}",
        "<b>{}",
    ],
)
def test_a_tame_document_has_no_powers(attack: str, frame: str) -> None:
    shown = tame(frame.replace("{}", attack))
    assert not COMMAND.search(shown)
    seen = Seen(READER.render(shown))
    harmless(seen)
    assert not seen.attributes
    for pattern in MENTIONS[:1]:
        assert not pattern.search(shown)


@given(st.lists(st.sampled_from([*ATTACKS, "```", "````", "`", "\n", "\n\n", "  ", "- ", "> ", "<details>", "<code>"])))
def test_a_tame_document_of_any_making_has_no_powers(pieces: list[str]) -> None:
    shown = tame("".join(pieces))
    assert not COMMAND.search(shown)
    harmless(Seen(READER.render(shown)))


def test_a_tame_document_keeps_its_layout() -> None:
    document = (
        "## Review of `3f2a`\n\n| bot | what |\n|---|---|\n| a | **new** |\n\n"
        "<details><summary>&#126; Bot x</summary>\n\n"
        "```diff\n- old\n+ new\n```\n\n</details>\n\n- one\n  - two\n"
    )
    assert tame(document) == document
    assert tame(f"<details>\n{neutral('@all <b>')}") == "<details>\n@&#8203;all &lt;b&gt;\n</details>"


@pytest.mark.parametrize("info", ["mermaid", "suggestion", "math", "geojson", "diff @all"])
def test_only_plain_code_keeps_its_kind(info: str) -> None:
    assert tame(f"```{info}\nx\n```") == "```\nx\n```"


def test_what_is_hidden_is_taken_out_of_a_tame_document() -> None:
    assert tame("a\u202eb\x1b[2J\u200bc\r\nd\te") == "ab[2Jc\nd\te"
    assert html.unescape(neutral("a\u202eb")) == "a\ufffdb"


@pytest.mark.parametrize(
    "piece", ["a:", "A_", "A-", "@", "<", "www.", "[", "\n/", "`", "&#", "0a", ":1a+", "~`", "\\", "\u202e"]
)
def test_time_grows_with_the_text_and_no_faster(piece: str) -> None:
    long = piece * (200_000 // len(piece))
    for work in (neutral, tame, fenced):
        began = time.process_time()
        work(long)
        assert time.process_time() - began < 5  # a pattern that goes back and forth takes minutes
