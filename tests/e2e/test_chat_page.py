"""The chat page in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.conftest import KEY, Up

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page()
        yield page
        browser.close()


def test_a_customer_signs_in_writes_and_is_answered(up: Up, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(str(up.client.base_url))
    page.get_by_label("API key").fill("not the key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the key.")
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Instance").select_option("bistro")
    expect(page.get_by_role("status")).to_contain_text("demo model")
    page.get_by_label("Message").fill("start")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#chat li.mine").first).to_contain_text("start")
    expect(page.locator("#chat li.theirs").first).to_contain_text("demo", ignore_case=True, timeout=10_000)
    page.reload()
    page.get_by_label("Instance").select_option("bistro")
    expect(page.locator("#chat li")).to_have_count(2)
    page.get_by_role("button", name="New customer").click()
    expect(page.locator("#chat li")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert errors == []
