"""How many bars a year has, by interval and calendar: what a return or a deviation per bar is scaled by.

A fixed number per calendar, counted over 2000 to 2019, so that the same backtest has the same metrics in every year.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from functools import lru_cache

from trading.calendar import Session, exchange_sessions
from trading.errors import InputError
from trading.intervals import Interval

_FIRST, _LAST, _YEARS = date(2000, 1, 1), date(2019, 12, 31), 20
_A_YEAR = {"1w": 52, "1mo": 12}


def bars_per_year(interval: str, calendars: Iterable[str]) -> int:
    """Return the bars of a usual year: 252 for daily bars of XNYS, 365 for those of 24/7, 52 weeks, 12 months.

    A session of a usual day counts, so half days do not. Of several calendars the one with the most bars counts: an
    equity path has a value wherever one of its symbols has a bar.

    Raises:
        InputError: no such interval or calendar, or no calendar at all.
    """
    name = Interval.parse(interval).name
    if name in _A_YEAR:
        return _A_YEAR[name]
    found = [_of_calendar(name, calendar) for calendar in sorted(set(calendars))]
    if not found:
        raise InputError("expected a calendar to count the bars of a year by, found none")
    return max(found)


@lru_cache(maxsize=64)
def _of_calendar(name: str, calendar: str) -> int:
    sessions = _sessions(calendar)
    a_session = _usual(sessions, Interval.parse(name))
    years = min(_YEARS, (_LAST - sessions[0].session_date).days / 365.25)  # a younger exchange has fewer
    return round(len(sessions) / years) * a_session


@lru_cache(maxsize=8)
def _sessions(calendar: str) -> tuple[Session, ...]:
    found = exchange_sessions(calendar, _FIRST, _LAST)
    if not found:
        raise InputError(f"expected a calendar with sessions from 2000 to 2019, found none of {calendar}")
    return tuple(found)


def _usual(sessions: tuple[Session, ...], interval: Interval) -> int:
    if not interval.is_intraday:
        return 1
    counts = Counter(
        sum(-((opens_at - closes_at) // interval.length) for opens_at, closes_at in session.stretches)
        for session in sessions
    )
    return counts.most_common(1)[0][0]
