"""When to ask a vendor that is not listened to: once for each bar, as soon as the vendor could have it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from trading.calendar import Sessions
from trading.intervals import Interval, periods_of_session


def next_poll(after: datetime, interval: Interval, lag: timedelta, sessions: Mapping[str, Sessions]) -> datetime | None:
    """Return the first moment after `after` at which a bar of some calendar can newly be there; None: not in these sessions.

    Args:
        interval: Bars of a day and longer are asked for after each close.
        lag: From the end of a bar to when the vendor could first give it.
        sessions: By calendar, around `after` and some days to come.
    """
    ends = (_next_end(after - lag, interval, each) for each in sessions.values())
    return min((end + lag for end in ends if end is not None), default=None)


def _next_end(after: datetime, interval: Interval, sessions: Sessions) -> datetime | None:
    for session in sessions.ordered:
        if session.closes_at <= after:
            continue
        if not interval.is_intraday:
            return session.closes_at
        return next(period.ends_at for period in periods_of_session(interval, session) if period.ends_at > after)
    return None
