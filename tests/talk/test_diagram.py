"""The diagram in docs/conversation.md is what `decide` does."""

from __future__ import annotations

from pathlib import Path

from reconciler.talk.diagram import mermaid, transitions

PAGE = Path(__file__).parents[2] / "docs" / "conversation.md"


def test_the_page_shows_what_the_code_does():
    assert mermaid() in PAGE.read_text()


def test_paused_opens_only_when_it_is_switched():
    moves = transitions()
    assert moves["paused", "opened"] == ("changeStatus opened",)
    assert {after for before, after in moves if before == "paused"} == {"opened", "closed", "[*]"}


def test_nothing_begins_but_by_a_message():
    assert {after for before, after in transitions() if before == "[*]"} == {"opened"}


def test_closed_wakes_by_a_trigger_or_a_switch_but_not_by_all():
    assert transitions()["closed", "opened"] == ("a keyword or advanced trigger", "changeStatus opened")
