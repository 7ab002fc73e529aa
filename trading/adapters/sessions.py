"""Exchange sessions in the warehouse: filled from `exchange_calendars` when data first needs a range, never changed.

Only sessions up to the day of receipt are written: a session of the future may still be called off.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import psycopg

from trading.calendar import Session, Sessions, exchange_sessions

# A mistyped century must not ask for 2,000 years of sessions.
_EARLIEST_YEAR = 1900


def ensure_sessions(conn: psycopg.Connection, calendars: Iterable[str], first: date, last: date, today: date) -> None:
    """Fill `trading.calendar_sessions` for the whole years of first..last and the one before, up to `today`.

    Whole years, so that a run per month finds its sessions there; the year before, for the look-backs of features.

    Raises:
        InputError: no exchange calendar has this name.
    """
    wanted = (date(max(first.year - 1, _EARLIEST_YEAR), 1, 1), min(date(last.year, 12, 31), today))
    for calendar in sorted(set(calendars)):
        for gap in _gaps(conn, calendar, *wanted):
            _insert(conn, calendar, exchange_sessions(calendar, *gap))


def read_sessions(conn: psycopg.Connection, calendars: Iterable[str], first: date, last: date) -> dict[str, Sessions]:
    """Return the recorded sessions of each calendar with first <= date <= last."""
    return {
        calendar: Sessions.of(
            Session(*found)
            for found in conn.execute(
                "select session_date, opens_at, closes_at from trading.calendar_sessions "
                "where calendar = %s and session_date between %s and %s",
                (calendar, first, last),
            )
        )
        for calendar in set(calendars)
    }


def _gaps(conn: psycopg.Connection, calendar: str, first: date, last: date) -> list[tuple[date, date]]:
    """Return the ranges to fill: each touches what is there, so that the recorded range has no hole."""
    found = conn.execute(
        "select min(session_date), max(session_date) from trading.calendar_sessions where calendar = %s", (calendar,)
    ).fetchone()
    known_first, known_last = found or (None, None)
    if known_first is None or known_last is None:
        return [(first, last)] if first <= last else []
    before, after = (first, known_first - timedelta(days=1)), (known_last + timedelta(days=1), last)
    # A year begins with a holiday: a recorded range that starts a few days into it has no gap there.
    is_old = known_first - first > timedelta(days=7)
    return [gap for gap, wanted in ((before, is_old), (after, after[0] <= last)) if wanted]


def _insert(conn: psycopg.Connection, calendar: str, sessions: list[Session]) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into trading.calendar_sessions (calendar, session_date, opens_at, closes_at) "
            "values (%s, %s, %s, %s) on conflict do nothing",
            [(calendar, session.session_date, session.opens_at, session.closes_at) for session in sessions],
        )
