"""Exchange sessions: which days trade, and when each opens and closes.

Sessions come from `exchange_calendars` only, always with explicit bounds (without them the library begins 20 years
before today and refuses what is older); nothing here, or anywhere, reckons with weekdays. The library only feeds
`trading.calendar_sessions`: once there a session never changes, so what was derived from it can be derived again.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from trading.errors import InputError


@dataclass(frozen=True, order=True)
class Session:
    """One trading session of one exchange, in UTC, half days included; a break (lunch in Tokyo) where there is one."""

    session_date: date
    opens_at: datetime
    closes_at: datetime
    break_starts_at: datetime | None = None
    break_ends_at: datetime | None = None

    @property
    def stretches(self) -> tuple[tuple[datetime, datetime], ...]:
        """From when to when it trades without a break, in order."""
        if self.break_starts_at is None or self.break_ends_at is None:
            return ((self.opens_at, self.closes_at),)
        return ((self.opens_at, self.break_starts_at), (self.break_ends_at, self.closes_at))


@dataclass(frozen=True)
class Sessions:
    """The sessions of one calendar over a range, in order, ready to be asked."""

    ordered: tuple[Session, ...]
    _dates: tuple[date, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the dates once: every question is a bisection."""
        object.__setattr__(self, "_dates", tuple(session.session_date for session in self.ordered))

    @classmethod
    def of(cls, sessions: Iterable[Session]) -> Sessions:
        """Return the sessions sorted by date."""
        return cls(tuple(sorted(sessions)))

    @property
    def dates(self) -> tuple[date, ...]:
        """The session dates, in order."""
        return self._dates

    def on(self, day: date) -> Session | None:
        """Return the session of `day`, or None when the exchange does not trade on it."""
        place = bisect_left(self._dates, day)
        return self.ordered[place] if place < len(self._dates) and self._dates[place] == day else None

    def at_or_after(self, day: date) -> Session | None:
        """Return the first session on or after `day`, or None past the end of the range."""
        place = bisect_left(self._dates, day)
        return self.ordered[place] if place < len(self.ordered) else None

    def between(self, first: date, last: date) -> tuple[Session, ...]:
        """Return the sessions with first <= session date <= last, in order."""
        return self.ordered[bisect_left(self._dates, first) : bisect_right(self._dates, last)]

    def overlapping(self, start: datetime, end: datetime) -> Session | None:
        """Return the last session that trades somewhere in [start, end), or None.

        Intraday bars may begin before the opening (the 09:00 bar of an hourly file holds 09:30-10:00).
        """
        place = bisect_right(self._dates, end.astimezone(UTC).date() + timedelta(days=1))
        for session in reversed(self.ordered[max(0, place - 4) : place]):
            if session.opens_at < end and start < session.closes_at:
                return session
        return None


def exchange_sessions(calendar: str, start: date, end: date) -> list[Session]:
    """Return the sessions of `calendar` with start <= session date <= end, from `exchange_calendars`.

    Raises:
        InputError: no exchange calendar has this name.
    """
    import exchange_calendars as xc
    import pandas as pd

    with warnings.catch_warnings():
        # exchange_calendars 4.13 reads `Series.values` of zoned times, which pandas 3.1 announces to change.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            earliest, latest = xc.get_calendar(calendar).bound_min(), xc.get_calendar(calendar).bound_max()
        except xc.errors.InvalidCalendarName as error:
            raise InputError(
                f"expected the name of an exchange calendar such as XNYS or 24/7, found {calendar!r}"
            ) from error
        # The library wants a range with at least one session, inside what it knows: a month around the asked one has.
        first = max(filter(None, [pd.Timestamp(start - timedelta(days=31)), earliest]))
        last = min(filter(None, [pd.Timestamp(end + timedelta(days=31)), latest]))
        schedule = xc.get_calendar(calendar, start=first, end=last).schedule.loc[
            pd.Timestamp(start) : pd.Timestamp(end)
        ]
    columns = [schedule[name] for name in ("open", "close", "break_start", "break_end")]
    return [
        Session(label.date(), *(_moment(value) for value in values))
        for label, *values in zip(schedule.index, *columns, strict=True)
    ]


def _moment(value: Any) -> Any:
    """Return a pandas time as a datetime in UTC, and pandas' NaT (no break) as None."""
    return None if value != value else value.to_pydatetime().astimezone(UTC)


def bar_label(day: date) -> datetime:
    """Return the timestamp of a daily bar: 00:00 UTC of its session date, a label and not a moment."""
    return datetime.combine(day, time(), UTC)
