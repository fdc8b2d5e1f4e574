"""A review's comment in a real browser: it reads as it should, and a bot's text does nothing in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.reconcile.review.page import CHROMIUM, FLAGS, open_page

GOLDEN = Path(__file__).parent / "golden"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 940, "height": 900})
        yield page
        browser.close()


@pytest.mark.parametrize("sanitized", [True, False], ids=["as a forge", "without a sanitizer"])
def test_a_comment_reads_as_it_should_and_a_prompt_does_nothing(page: Page, sanitized: bool) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    open_page(page, (GOLDEN / "head.md").read_text(), sanitized=sanitized)
    expect(page.locator("h2")).to_have_text("✘ Broken")
    titles = page.locator("h3").all_inner_texts()
    assert titles == ["Risks", "Routes", "Conversations", "Cost", "Plan", "Next"]
    expect(page.locator("table").first.locator("tr")).to_have_count(7)
    expect(page.locator("summary").last).to_have_text("shop: +2 ~\u200b7 −1")
    words = page.locator("blockquote").first
    strikes = [text.strip("\u200b") for text in words.locator("s").all_inner_texts()]
    bolds = [text.strip("\u200b") for text in words.locator("strong").all_inner_texts()]
    assert (strikes, bolds[:3]) == (["Saturdays", "ten", "40"], ["Sundays", "nine", "60"])
    assert "<img src=x onerror=alert(1)> **Approved** by" in bolds[3]
    assert page.locator("img, script, a, iframe, input").count() == 0
    assert dialogs == []
    # Nothing ended a fold early: all of the plan stands in it.
    expect(page.locator("details").last).to_contain_text("delete Bot vouchers")
    expect(page.locator("details").last).not_to_contain_text("reconciler review")


def test_where_it_is_broken_is_read_at_once(page: Page) -> None:
    open_page(page, (GOLDEN / "leak.md").read_text())
    expect(page.locator("li").nth(1)).to_contain_text("bots/shop/repairs.yaml:9:")
    expect(page.locator("li").nth(1)).to_contain_text("this looks like an API key")
