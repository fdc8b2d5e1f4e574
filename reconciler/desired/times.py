"""When: cron expressions, and windows of time in which a target may be changed.

Before it `config.py` reads them from `reconciler.yaml`; after it the loop asks what comes next. Expressions are those
of crontab(5): five fields, weekdays from 0 or 7 (Sunday), and where both a day of the month and a weekday are given,
either is enough. APScheduler counts weekdays from Monday and wants both days at once, so weekdays are given to it by
name, and such an expression as two triggers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from reconciler.model import Window

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = ("minute", "hour", "day", "month", "day_of_week")
_SKIPPED: Final = timedelta(hours=1)  # by which clocks are put forward
_LATER: Final = timedelta(microseconds=1)
_LOOKS: Final = 200  # moments looked at for the next opening of some windows: a tenth of a second


@lru_cache(maxsize=256)
def cron(expression: str, zone: str) -> Any:
    """The APScheduler trigger of an expression in a time zone (IANA name). Raises ValueError, saying what is wrong."""
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    parts = expression.lower().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"it has {len(parts)} fields of five: minute, hour, day of the month, month, weekday")
    values = dict(zip(_FIELDS, parts, strict=True))
    either = not (values["day"].startswith("*") or values["day_of_week"].startswith("*"))
    values["day_of_week"] = _weekdays(values["day_of_week"])
    for name in _FIELDS[:4]:
        if not set(values[name]) <= set("0123456789*/,-abcdefghijklmnopqrstuvwxyz"):
            raise ValueError(f"'{values[name]}' is no {name.replace('_', ' ')}")
    try:
        if either:
            found: Any = OrTrigger(
                [CronTrigger(**{**values, left_out: "*"}, timezone=_zone(zone)) for left_out in ("day", "day_of_week")]
            )
        else:
            found = CronTrigger(**values, timezone=_zone(zone))
    except ValueError as error:
        said = str(error).replace('"', "'").removeprefix("Error validating expression ")
        raise ValueError(said) from error
    if after(found, datetime(2024, 1, 1, tzinfo=UTC)) is None:
        raise ValueError("it never comes")
    return found


def after(trigger: Any, now: datetime) -> datetime | None:
    """The first moment (UTC) of a trigger that is later than `now`.

    Where clocks are put forward, a moment in the hour that is left out comes an hour later, which APScheduler tells
    only to who asks before that hour; where they are put back, one in the hour that is repeated comes twice.
    """
    now = now.astimezone(UTC) + _LATER
    found, earlier = _next(trigger, now), _next(trigger, now - _SKIPPED)
    return earlier if found is not None and earlier is not None and now < earlier < found else found


def _next(trigger: Any, now: datetime) -> datetime | None:
    # Given no earlier moment, for it compares that with `now` across zones, where a repeated hour equals nothing.
    found: datetime | None = trigger.get_next_fire_time(None, now)
    return found.astimezone(UTC) if found is not None else None


def zone_fault(zone: str) -> str:
    """What is wrong with the name of a time zone; empty: nothing."""
    try:
        _zone(zone)
    except ValueError as error:
        return str(error)
    return ""


def permitted(windows: Sequence[Window], zone: str, now: datetime) -> bool:
    """Whether changes may be made now: no window that denies is open, and, where some allow, one of those is."""
    allowing = [_open(window, zone, now) for window in windows if window.allow]
    return not any(_open(window, zone, now) for window in windows if not window.allow) and (
        not allowing or any(allowing)
    )


def opening(windows: Sequence[Window], zone: str, now: datetime) -> datetime | None:
    """The next moment from which changes may be made; None where none is near. It is a hint: whoever waits looks again
    by itself."""
    moment = now
    for _ in range(_LOOKS):
        if (following := min(_edges(windows, zone, moment), default=None)) is None:
            return None
        if permitted(windows, zone, following):
            return following
        moment = following
    return None


def _edges(windows: Sequence[Window], zone: str, now: datetime) -> Iterator[datetime]:
    """Moments after `now` at which a window may open or close."""
    for window in windows:
        trigger = cron(window.cron, zone)
        length = timedelta(seconds=window.seconds)
        if (opens := after(trigger, now)) is not None:
            yield opens
        if (began := after(trigger, now - length)) is not None and began <= now:
            yield began + length


def _open(window: Window, zone: str, now: datetime) -> bool:
    began = after(cron(window.cron, zone), now - timedelta(seconds=window.seconds))
    return began is not None and began <= now


def _weekdays(text: str) -> str:
    """A weekday field with names for numbers and each range written out."""
    if text == "*":
        return text
    found: list[str] = []
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        start, end = _weekday(first), _weekday(last) if dash else (6 if slash else _weekday(first))
        if not (step.isdecimal() and 1 <= int(step) <= 6 if slash else True):
            raise ValueError(f"'{part}' is no weekday: write mon-fri, or 1-5")
        days = range(start, (end if end >= start else end + 7) + 1, int(step) if slash else 1)
        found += [_DAYS[day % 7] for day in days]
    return ",".join(dict.fromkeys(found))


def _weekday(text: str) -> int:
    if text in _DAYS:
        return _DAYS.index(text)
    if text.isascii() and text.isdecimal() and int(text) <= 7:
        return int(text)
    raise ValueError(f"'{text}' is no weekday: write mon-fri, or 1-5")


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone '{name}': write one such as Europe/Rome or UTC") from error
