"""A comment as a forge shows it: CommonMark with tables and strikethrough, sanitized, in a plain style.

`python -m tests.reconcile.review.page IN.md OUT.png` makes the picture of docs/review.md.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_TAGS = re.compile(r"<!--.*?-->|<(?!/?(?:details|summary|b|sub|br|code)>)[^>]*>?", re.DOTALL)
_STYLE = """
body { font: 14px/1.5 "Segoe UI", "DejaVu Sans", sans-serif; color: #1f2328; margin: 0; background: #fff }
article { width: 860px; margin: 16px; padding: 4px 20px 16px; border: 1px solid #d1d9e0; border-radius: 6px }
h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: .3em } h3 { margin: 20px 0 8px }
table { border-collapse: collapse } td, th { border: 1px solid #d1d9e0; padding: 5px 12px }
tr:nth-child(2n) { background: #f6f8fa }
blockquote { margin: 0; padding: 0 1em; color: #59636e; border-left: .25em solid #d1d9e0 }
blockquote s { color: #82071e; background: #ffebe9 } blockquote strong { color: #116329; background: #dafbe1 }
pre { background: #f6f8fa; padding: 12px; border-radius: 6px } code { font: 12px "DejaVu Sans Mono", monospace }
summary { cursor: pointer } li { margin: 2px 0 } ul { padding-left: 1.6em } p { margin: 8px 0 }
sub { color: #59636e; font-size: 12px }
"""


def html(markdown: str) -> str:
    """Markdown as a page, as GitHub does it: raw HTML beyond a few harmless tags does not survive."""
    from markdown_it import MarkdownIt

    def keep(_renderer: Any, tokens: Any, index: int, _options: Any, _env: Any) -> str:
        return _TAGS.sub("", tokens[index].content)

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.add_render_rule("html_block", keep)
    parser.add_render_rule("html_inline", keep)
    return f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style><article>{parser.render(markdown)}</article>"


def raw(markdown: str) -> str:
    """The same without any sanitizer, so that a test sees what a bot's text would do by itself."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return f"<!doctype html><meta charset=utf-8><article>{parser.render(markdown)}</article>"


def open_page(page: Page, markdown: str, *, sanitized: bool = True) -> None:
    """Shows a comment with all its folds open."""
    page.set_content(html(markdown) if sanitized else raw(markdown))
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def main() -> None:
    from playwright.sync_api import sync_playwright

    source, picture = Path(sys.argv[1]), sys.argv[2]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 940, "height": 900})
        open_page(page, source.read_text())
        page.locator("article").screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main()
