"""Candidates to their place in time, with what the warehouse knows of sessions and lags; then to rows.

Used by ingestion, and by replay when it makes a batch's rows again from the payload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import psycopg

from trading.adapters import warehouse
from trading.adapters.sessions import ensure_sessions, read_sessions
from trading.ingestion import actions, news, prices
from trading.ingestion.candidates import Candidate, span
from trading.ingestion.reader import Kind
from trading.ingestion.rows import RawRow

_ROW = {"prices": prices.row, "actions": actions.row, "news": news.row}


def place_bars(
    conn: psycopg.Connection,
    source: str,
    received_at: datetime,
    candidates: Sequence[Candidate],
    calendars: Mapping[str, str],
) -> None:
    """Give each bar its end and its nominal time from the recorded sessions, which are filled for the bars' range.

    Raises:
        InputError: no exchange calendar has the name that was stated.
    """
    lag = warehouse.source_lag(conn, source)
    today = received_at.date()
    first, last = span(candidates, "timestamp") or (today, today)
    names = set(calendars.values())
    ensure_sessions(conn, names, first, last, today)
    sessions = read_sessions(conn, names, _week_before(first), min(last, today) + timedelta(days=1))
    for candidate in candidates:
        prices.place(candidate.values, lag, calendars, sessions)


def to_rows(kind: Kind, source: str, good: Sequence[Candidate]) -> list[RawRow]:
    """Return judged candidates as rows of their raw table."""
    return [_ROW[kind](candidate.values, source) for candidate in good]


def _week_before(day: date) -> date:
    return day - timedelta(days=min(7, day.toordinal() - 1))
