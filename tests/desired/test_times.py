"""When: crontab's rules, and what comes next of windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.desired.times import after, cron, opening, permitted, zone_fault
from reconciler.model import Window

MONDAY = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)  # 03:00 in Rome

NEXT = [
    ("*/5 8-18 * * mon-fri", "Europe/Rome", "2026-11-23T08:00:00+01:00"),
    ("0 9 * * 0", "UTC", "2026-11-29T09:00:00+00:00"),  # 0 is Sunday, as in crontab(5)
    ("0 9 * * 7", "UTC", "2026-11-29T09:00:00+00:00"),
    ("0 9 * * 1", "UTC", "2026-11-23T09:00:00+00:00"),
    ("0 9 * * 5-1", "UTC", "2026-11-23T09:00:00+00:00"),  # over the weekend
    ("0 9 * * Tue,thu", "UTC", "2026-11-24T09:00:00+00:00"),
    ("0 9 * * */2", "UTC", "2026-11-24T09:00:00+00:00"),  # 0, 2, 4, 6
    ("0 9 * * 1/3", "UTC", "2026-11-23T09:00:00+00:00"),
    ("0 9 1 * wed", "UTC", "2026-11-25T09:00:00+00:00"),  # either day is enough
    ("0 9 24 * wed", "UTC", "2026-11-24T09:00:00+00:00"),
    ("0 0 29 feb *", "UTC", "2028-02-29T00:00:00+00:00"),
    ("30 2 28 3 *", "Europe/Rome", "2027-03-28T03:30:00+02:00"),  # an hour that this day does not have
]


@pytest.mark.parametrize(("expression", "zone", "expected"), NEXT)
def test_the_next_moment(expression: str, zone: str, expected: str) -> None:
    found = after(cron(expression, zone), MONDAY)
    assert found is not None
    assert found.astimezone(UTC) == datetime.fromisoformat(expected).astimezone(UTC)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("* * * *", "it has 4 fields of five"),
        ("* * * * * *", "it has 6 fields of five"),
        ("60 * * * *", "the last value"),
        ("* * * * 8", "'8' is no weekday: write mon-fri, or 1-5"),
        ("* * * * mon-", "'' is no weekday"),
        ("* * * * mon/0", "'mon/0' is no weekday"),
        ("? * * * *", "'?' is no minute"),
        ("* * 1,,2 * *", "Unrecognized expression ''"),
        ("0 0 31 2 *", "it never comes"),
    ],
)
def test_what_is_no_expression(expression: str, said: str) -> None:
    with pytest.raises(ValueError) as raised:
        cron(expression, "UTC")
    assert said in str(raised.value)


def test_zones() -> None:
    assert zone_fault("Europe/Rome") == ""
    for wrong in ("Mars/Base", "../etc/passwd", ""):
        assert "such as Europe/Rome" in zone_fault(wrong)


DAY = (Window(allow=True, cron="0 8 * * mon-fri", seconds=36_000), Window(allow=False, cron="0 12 * * *", seconds=3600))


@pytest.mark.parametrize(
    ("now", "may", "opens"),
    [
        ("2026-11-23T02:00", False, "2026-11-23T08:00"),
        ("2026-11-23T08:00", True, "2026-11-23T13:00"),
        ("2026-11-23T12:30", False, "2026-11-23T13:00"),
        ("2026-11-23T13:00", True, "2026-11-24T08:00"),
        ("2026-11-27T18:00", False, "2026-11-30T08:00"),
    ],
)
def test_windows(now: str, may: bool, opens: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert permitted(DAY, "UTC", moment) is may
    if not may:
        assert opening(DAY, "UTC", moment) == datetime.fromisoformat(opens).replace(tzinfo=UTC)


def test_without_windows_and_with_those_that_never_open() -> None:
    assert permitted((), "UTC", MONDAY)
    assert opening((), "UTC", MONDAY) is None
    always = (Window(allow=False, cron="* * * * *", seconds=3600),)
    assert not permitted(always, "UTC", MONDAY)
    assert opening(always, "UTC", MONDAY) is None


# When clocks in Rome are put forward, and back.
CHANGES = (datetime(2027, 3, 28, 1, 0, tzinfo=UTC), datetime(2026, 10, 25, 1, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("expression", "now", "expected"),
    [
        ("30 2 * * *", "2027-03-28T00:59:00", ["2027-03-28T01:30:00", "2027-03-29T00:30:00"]),
        ("30 2 * * *", "2027-03-28T01:10:00", ["2027-03-28T01:30:00", "2027-03-29T00:30:00"]),
        ("*/30 * * * *", "2027-03-28T00:30:00", ["2027-03-28T01:00:00", "2027-03-28T01:30:00"]),
        ("30 2 * * *", "2026-10-25T00:00:00", ["2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-26T01:30:00"]),
        ("*/30 * * * *", "2026-10-25T00:30:00", ["2026-10-25T01:00:00", "2026-10-25T01:30:00", "2026-10-25T02:00:00"]),
    ],
)
def test_moments_where_clocks_change(expression: str, now: str, expected: list[str]) -> None:
    moment, found = datetime.fromisoformat(now).replace(tzinfo=UTC), []
    for _ in expected:
        moment = after(cron(expression, "Europe/Rome"), moment).astimezone(UTC)  # type: ignore[union-attr]
        found.append(f"{moment:%Y-%m-%dT%H:%M:%S}")
    assert found == expected


WINDOWS = st.lists(
    st.builds(
        Window,
        allow=st.booleans(),
        cron=st.sampled_from(["0 8 * * mon-fri", "*/30 * * * *", "15 23 * * 6", "0 0 1 * *", "30 2 * * *"]),
        seconds=st.sampled_from([60.0, 600.0, 3600.0, 40_000.0]),
    ),
    max_size=3,
)


@settings(max_examples=25)
@given(WINDOWS, st.sampled_from([MONDAY, *CHANGES]), st.integers(-1000, 3000))
@example([Window(allow=True, cron="30 2 * * *", seconds=7200)], CHANGES[0], 0)  # it opens in an hour that is left out
@example([Window(allow=True, cron="30 2 * * *", seconds=3600)], CHANGES[1], 90)  # it has closed just now
def test_an_opening_is_the_first_moment_that_permits(windows: list[Window], base: datetime, minutes: int) -> None:
    now = base + timedelta(minutes=minutes)
    if permitted(windows, "Europe/Rome", now) or (opens := opening(windows, "Europe/Rome", now)) is None:
        return
    assert permitted(windows, "Europe/Rome", opens)
    assert opens > now
    minute = timedelta(minutes=1)
    for step in range(1, min(40, int((opens - now) / minute))):
        assert not permitted(windows, "Europe/Rome", opens - step * minute)
