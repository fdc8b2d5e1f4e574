"""A text within its bound: what is cut, what is said of it, and that no item is ever cut in two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.plan.review.sections import Group, Section, fit, size


def section(*groups: Group, share: float = 0.5, heading: str = "# Risks\n") -> Section:
    return Section(heading=heading, groups=groups, share=share, noun="risk")


def items(count: int, length: int = 10) -> tuple[str, ...]:
    return tuple(f"{number:0{length - 1}}\n" for number in range(count))


def test_what_fits_is_whole() -> None:
    one = section(Group(items(2), "<", ">"), Group(items(1)))
    assert fit((one, section()), 1000, "Rest.") == f"# Risks\n<{''.join(items(2))}>{items(1)[0]}"


def test_what_does_not_fit_is_cut_between_items_and_said() -> None:
    shown = fit((section(Group(items(100), "<", ">\n"), share=1.0),), 200, "Rest.")
    assert shown.startswith("# Risks\n<000000000\n")
    assert shown.endswith(">\n\n*Cut here: 85 more risks. Rest.*\n\n")
    assert size(shown) <= 200


def test_one_item_left_is_said_so() -> None:
    groups = (Group(items(3)), Group(("x" * 200,)))
    assert "*Cut here: 1 more risk. Rest.*" in fit((section(*groups, share=1.0),), 180, "Rest.")


def test_what_one_section_does_not_use_the_others_get() -> None:
    small = section(Group(items(1)), heading="# One\n")
    large = section(Group(items(40)), heading="# Two\n")
    assert "Cut here" not in fit((small, large), 500, "Rest.")
    assert fit((large, large), 500, "Rest.").count("Cut here") == 2


def test_a_section_without_items_is_left_out() -> None:
    assert fit((section(), section(Group(()))), 100, "") == ""


@pytest.mark.parametrize(("text", "length"), [("abc", 3), ("añb", 3), ("a😀b", 4), ("\ud800", 1)])
def test_lengths_are_those_of_the_strictest_forge(text: str, length: int) -> None:
    assert size(text) == length


@given(
    st.lists(st.lists(st.integers(1, 60), max_size=8), max_size=5),
    st.integers(150, 900),
)
def test_it_is_never_longer_than_its_room_and_never_cuts_an_item(groups: list[list[int]], room: int) -> None:
    sections = [
        section(Group(tuple(f"[{'x' * length}]" for length in lengths), "(", ")"), share=1 / max(1, len(groups)))
        for lengths in groups
    ]
    shown = fit(sections, room, "Rest.")
    least = sum(len("# Risks\n") + len("\n*Cut here: 99 more risks. Rest.*\n\n") for _ in groups)
    assert size(shown) <= max(room, least)
    assert shown.count("[") == shown.count("]")
    assert shown.count("(") == shown.count(")")
