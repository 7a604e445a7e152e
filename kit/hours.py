"""The event's own time: its days and its working hours. Nights do not age a card."""

from __future__ import annotations

import datetime as dt

from kit.plan import Event

__all__ = ["bounds", "day_of", "spent", "spoken"]


def day_of(event: Event, ts: dt.datetime) -> int | None:
    """Which day of the event a moment lies on, in the event's time zone; None if on none of its dates."""
    date = ts.astimezone(event.zone).date()
    return event.dates.index(date) + 1 if date in event.dates else None


def bounds(event: Event, day: int) -> tuple[dt.datetime, dt.datetime]:
    """When the working hours of a day (from 1) begin and end, in UTC."""
    opens, closes = (
        dt.datetime.combine(event.dates[day - 1], dt.time.fromisoformat(h), event.zone) for h in event.hours
    )
    return opens.astimezone(dt.UTC), closes.astimezone(dt.UTC)


def spent(event: Event, start: dt.datetime, end: dt.datetime) -> dt.timedelta:
    """The working time of the event between two moments (never negative).

    Where no date of the event lies between them (a rehearsal, weeks before), the plain time between them.
    """
    if end <= start:
        return dt.timedelta()
    first, last = (t.astimezone(event.zone).date() for t in (start, end))
    dates = {d for d in event.dates if first <= d <= last}
    if not dates:
        return end - start
    opens, closes = (dt.time.fromisoformat(h) for h in event.hours)
    total = dt.timedelta()
    for date in dates:
        begin = max(start, dt.datetime.combine(date, opens, event.zone))
        finish = min(end, dt.datetime.combine(date, closes, event.zone))
        total += max(finish - begin, dt.timedelta())
    return total


def spoken(time: dt.timedelta) -> str:
    """A length of time in few words: `under 1 min`, `25 min`, `3 h 05 min`, `26 h`."""
    minutes = int(time.total_seconds() // 60)
    if minutes < 1:
        return "under 1 min"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if minutes and hours < 10 else f"{hours} h"
