"""How old rows are, in sessions closed since their own.

The count over recorded sessions is SQL (`features.age_at`). Sessions are recorded as data arrives; a question later
than the newest of them, as when a feed has stopped, goes on counting in the exchange's calendar.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, timedelta
from functools import lru_cache

from trading.errors import InputError


def closed_since(calendar: str, recorded_to: date, as_of: datetime) -> int:
    """Return how many sessions after the last recorded one had closed at `as_of`."""
    day = as_of.date()
    if day <= recorded_to:
        return 0
    return bisect_right(_closes(calendar, recorded_to, day), as_of)


@lru_cache(maxsize=256)
def _closes(calendar: str, after: date, to: date) -> tuple[datetime, ...]:
    """A calendar that no library knows was recorded by whoever made it, as far as it goes."""
    from trading.calendar import exchange_sessions

    try:
        sessions = exchange_sessions(calendar, after + timedelta(days=1), to)
    except InputError:
        return ()
    return tuple(session.closes_at for session in sessions)
