"""Which session closed last: what a run after the close is about. Pure; the moment is passed in."""

from __future__ import annotations

from datetime import datetime, timedelta

from trading.calendar import Session, exchange_sessions

# The longest pause between two sessions of an exchange is a week of holidays with the weekends around it.
_LOOK_BACK = timedelta(days=21)


def last_settled(calendar: str, moment: datetime, settling: timedelta) -> Session | None:
    """Return the newest session that closed at least `settling` before the moment, or None where there is none.

    Half days close earlier and daylight saving moves the close in UTC: both are in the session's own closing time.

    Raises:
        InputError: no exchange calendar has this name.
    """
    sessions = exchange_sessions(calendar, (moment - _LOOK_BACK).date(), moment.date())
    return next((one for one in reversed(sessions) if one.closes_at + settling <= moment), None)
