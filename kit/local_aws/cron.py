"""When a schedule of EventBridge comes due: rate(...), cron(...) and at(...). Pure functions.

Source: "Schedule types in EventBridge Scheduler" and "Cron expressions reference" of the Amazon EventBridge User Guide.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

__all__ = ["check", "due"]

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
YEARS = range(1970, 2200)
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True)
class _Cron:
    """The sets of minutes and hours, and whether a day is one of the schedule's."""

    minutes: frozenset[int]
    hours: frozenset[int]
    on: Callable[[date], bool]


def check(expression: str) -> None:
    """Raises ValueError for an expression that EventBridge does not take."""
    due(expression, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 1, tzinfo=UTC))


def due(
    expression: str, after: datetime, until: datetime, begin: datetime | None = None, zone: str = "UTC"
) -> bool:
    """Whether the schedule comes due later than `after` and not later than `until`.

    begin: from when a rate counts (1970 if it is not said). zone: whose clock cron and at mean. Raises ValueError for what is none.
    """
    kind, _, rest = expression.partition("(")
    if not rest.endswith(")"):
        raise ValueError(expression)
    body = rest[:-1].strip()
    if kind == "rate":
        seconds = _rate(body)
        origin = begin.timestamp() if begin else 0.0
        return (after.timestamp() - origin) // seconds < (until.timestamp() - origin) // seconds
    if kind == "at":
        moment = datetime.strptime(body, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=ZoneInfo(zone))
        return after < moment <= until
    if kind != "cron":
        raise ValueError(expression)
    return _cron_due(_cron(body), after.astimezone(ZoneInfo(zone)), until.astimezone(ZoneInfo(zone)))


def _rate(body: str) -> int:
    found = re.fullmatch(r"([1-9]\d*) (minute|hour|day)(s?)", body)
    if found is None or (int(found[1]) == 1) == bool(found[3]):
        raise ValueError(f"rate({body})")
    return int(found[1]) * _SECONDS[found[2]]


def _cron(body: str) -> _Cron:
    fields = body.split()
    if len(fields) != 6:
        raise ValueError(f"cron({body}) needs six fields")
    minutes, hours, month_day, months, week_day, years = fields
    if (month_day == "?") == (week_day == "?"):
        raise ValueError(f"cron({body}): one of the two fields for days is ?, and not both")
    in_month, in_year = _numbers(months, 1, 12, MONTHS), _numbers(years, YEARS[0], YEARS[-1])
    of_month, of_week = _of_month(month_day), _of_week(week_day)

    def on(day: date) -> bool:
        return day.year in in_year and day.month in in_month and of_month(day) and of_week(day)

    return _Cron(_numbers(minutes, 0, 59), _numbers(hours, 0, 23), on)


def _numbers(field: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    """The numbers that a field stands for: * , - / and names."""

    def number(text: str) -> int:
        value = names.index(text.upper()) + 1 if text.upper() in names else int(text)
        if not low <= value <= high:
            raise ValueError(f"{text} is not between {low} and {high}")
        return value

    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = (number(text) for text in span.split("-", 1))
        else:
            first = number(span)
            last = high if step else first
        if step and int(step) < 1:
            raise ValueError(field)
        run = range(first, last + 1) if first <= last else [*range(first, high + 1), *range(low, last + 1)]
        found.update(list(run)[:: int(step or 1)])
    return frozenset(found)


def _of_month(field: str) -> Callable[[date], bool]:
    if field == "?":
        return lambda day: True
    if field == "L":
        return lambda day: day.day == calendar.monthrange(day.year, day.month)[1]
    if near := re.fullmatch(r"(\d{1,2})W", field):
        return lambda day: day == _nearest_weekday(day.year, day.month, int(near[1]))
    days = _numbers(field, 1, 31)
    return lambda day: day.day in days


def _nearest_weekday(year: int, month: int, wanted: int) -> date:
    last = calendar.monthrange(year, month)[1]
    day = date(year, month, min(wanted, last))
    shift = {5: -1, 6: 1}.get(
        day.weekday(), 0
    )  # Saturday: the day before; Sunday: the day after, in the same month
    near = day + timedelta(days=shift)
    return near if near.month == month else day - timedelta(days=2 if shift == 1 else -2)


def _of_week(field: str) -> Callable[[date], bool]:
    if field == "?":
        return lambda day: True
    if nth := re.fullmatch(r"(\w+)#([1-5])", field):
        (wanted,) = _numbers(nth[1], 1, 7, DAYS)
        return lambda day: day.isoweekday() % 7 + 1 == wanted and (day.day - 1) // 7 + 1 == int(nth[2])
    if last := re.fullmatch(r"(\w+)L|L", field):
        (wanted,) = _numbers(last[1] or "7", 1, 7, DAYS)
        return lambda day: day.isoweekday() % 7 + 1 == wanted and (day + timedelta(days=7)).month != day.month
    days = _numbers(field, 1, 7, DAYS)
    return lambda day: day.isoweekday() % 7 + 1 in days


def _cron_due(cron: _Cron, after: datetime, until: datetime) -> bool:
    day = after.date()
    while day <= until.date():
        if cron.on(day):
            times = (
                datetime(day.year, day.month, day.day, hour, minute, tzinfo=until.tzinfo)
                for hour in cron.hours
                for minute in cron.minutes
            )
            if any(after < moment <= until for moment in times):
                return True
        day += timedelta(days=1)
    return False
