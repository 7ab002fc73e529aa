"""Exchange sessions in the warehouse: filled from `exchange_calendars` when data first needs a range, never changed.

Only sessions up to the day of receipt are recorded, and that of the next day once it has opened (in Sydney, or for
futures, on the eve in UTC): a session of the future may still be called off. Those to come are kept apart, as planned,
because they alone tell whether a week or a month is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import psycopg

from trading.calendar import Session, Sessions, exchange_sessions

# A mistyped century must not ask for 2,000 years of sessions.
_EARLIEST_YEAR = 1900
_DAY = timedelta(days=1)

_READ = """
select session_date, opens_at, closes_at, break_starts_at, break_ends_at
from trading.known_sessions
where calendar = %s and session_date between %s and %s
    and (%s or session_date <= (select max(c.session_date) from trading.calendar_sessions as c where c.calendar = %s))
"""


def ensure_sessions(conn: psycopg.Connection, calendars: Iterable[str], first: date, last: date, now: datetime) -> None:
    """Fill `trading.calendar_sessions` for the whole years of first..last and the one before, up to what has opened.

    Whole years, so that a run per month finds its sessions there; the year before, for the look-backs of features.

    Raises:
        InputError: no exchange calendar has this name.
    """
    today = now.astimezone(UTC).date()
    wanted = (date(max(first.year - 1, _EARLIEST_YEAR), 1, 1), min(date(last.year, 12, 31), today))
    for calendar in sorted(set(calendars)):
        _add_missing_breaks(conn, calendar)
        for first_missing, last_missing in _gaps(conn, calendar, *wanted):
            _fill(conn, calendar, first_missing, last_missing)
        if last >= today and (early := _opened_on_the_eve(conn, calendar, today, now)) is not None:
            _fill(conn, calendar, early, early)


def read_sessions(
    conn: psycopg.Connection, calendars: Iterable[str], first: date, last: date, *, planned: bool = False
) -> dict[str, Sessions]:
    """Return the recorded sessions of each calendar with first <= date <= last; with `planned` those to come too."""
    return {
        calendar: Sessions.of(
            Session(*found) for found in conn.execute(_READ, (calendar, first, last, planned, calendar))
        )
        for calendar in set(calendars)
    }


def _gaps(conn: psycopg.Connection, calendar: str, first: date, last: date) -> list[tuple[date, date]]:
    """Return the ranges to fill: each touches what is there, so that the recorded range has no hole."""
    known_first, known_last = _recorded(conn, calendar)
    if known_first is None or known_last is None:
        return [(first, last)] if first <= last else []
    before, after = (first, known_first - _DAY), (known_last + _DAY, last)
    # A year begins with a holiday: a recorded range that starts a few days into it has no gap there.
    is_old = known_first - first > timedelta(days=7)
    return [gap for gap, wanted in ((before, is_old), (after, after[0] <= last)) if wanted]


def next_opening(conn: psycopg.Connection, calendars: Iterable[str], after: datetime) -> datetime | None:
    """Return when the next of the planned sessions opens after a moment; None where none is planned."""
    found = conn.execute(
        "select min(opens_at) from trading.planned_sessions where calendar = any(%s) and opens_at > %s",
        (sorted(set(calendars)), after),
    ).fetchone()
    return found[0] if found else None


def _opened_on_the_eve(conn: psycopg.Connection, calendar: str, today: date, now: datetime) -> date | None:
    found = conn.execute(
        "select session_date from trading.planned_sessions where calendar = %s and session_date = %s and opens_at <= %s",
        (calendar, today + _DAY, now),
    ).fetchone()
    return found[0] if found else None


def _recorded(conn: psycopg.Connection, calendar: str) -> tuple[date | None, date | None]:
    found = conn.execute(
        "select min(session_date), max(session_date) from trading.calendar_sessions where calendar = %s", (calendar,)
    ).fetchone()
    return found or (None, None)


def _fill(conn: psycopg.Connection, calendar: str, first: date, last: date) -> None:
    """Record the sessions of a range; where they are the newest, plan those to the end of the month after it."""
    newest = _recorded(conn, calendar)[1]
    is_newest = newest is None or newest < last
    horizon = (last.replace(day=1) + timedelta(days=64)).replace(day=1) if is_newest else last
    sessions = exchange_sessions(calendar, first, horizon)
    _insert(conn, calendar, [session for session in sessions if session.session_date <= last])
    if is_newest:
        _plan(conn, calendar, [session for session in sessions if session.session_date > last])


def _insert(conn: psycopg.Connection, calendar: str, sessions: Sequence[Session]) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into trading.calendar_sessions (calendar, session_date, opens_at, closes_at) "
            "values (%s, %s, %s, %s) on conflict do nothing",
            [(calendar, session.session_date, session.opens_at, session.closes_at) for session in sessions],
        )
    _insert_breaks(conn, calendar, sessions)


def _insert_breaks(conn: psycopg.Connection, calendar: str, sessions: Iterable[Session]) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into trading.session_breaks (calendar, session_date, starts_at, ends_at) "
            "values (%s, %s, %s, %s) on conflict do nothing",
            [
                (calendar, session.session_date, session.break_starts_at, session.break_ends_at)
                for session in sessions
                if session.break_starts_at is not None
            ],
        )


def _add_missing_breaks(conn: psycopg.Connection, calendar: str) -> None:
    """Record the breaks of sessions that a release before there were breaks recorded; once per calendar."""
    new = conn.execute(
        "insert into trading.calendars_with_breaks (calendar) values (%s) on conflict do nothing returning calendar",
        (calendar,),
    ).fetchone()
    first, last = _recorded(conn, calendar)
    if new is None or first is None or last is None:
        return
    recorded = set(read_sessions(conn, [calendar], first, last)[calendar].dates)
    sessions = exchange_sessions(calendar, first, last)
    _insert_breaks(conn, calendar, [session for session in sessions if session.session_date in recorded])


def _plan(conn: psycopg.Connection, calendar: str, sessions: Iterable[Session]) -> None:
    """Keep the sessions after the last recorded one in the place of those that were planned before."""
    conn.execute("delete from trading.planned_sessions where calendar = %s", (calendar,))
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into trading.planned_sessions (calendar, session_date, opens_at, closes_at) "
            "values (%s, %s, %s, %s) on conflict do nothing",  # two writers may plan at once
            [(calendar, session.session_date, session.opens_at, session.closes_at) for session in sessions],
        )
