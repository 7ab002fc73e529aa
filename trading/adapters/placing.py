"""Candidates to their place in time, with what the warehouse knows of sessions and lags; then to rows.

Used by ingestion, and by replay when it makes a batch's rows again from the payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import psycopg

from trading.adapters import warehouse
from trading.adapters.sessions import ensure_sessions, read_sessions
from trading.ingestion import actions, news, prices, trades, universe
from trading.ingestion.candidates import Candidate, span
from trading.ingestion.reader import Kind
from trading.ingestion.rows import RawRow

_ROW = {
    "prices": prices.row,
    "actions": actions.row,
    "news": news.row,
    "universe": universe.row,
    "trades": trades.row,
}


def fill_sessions(
    conn: psycopg.Connection, calendars: Iterable[str], candidates: Sequence[Candidate], now: datetime
) -> None:
    """Record the sessions that the candidates' range needs, up to those that have opened by `now`.

    Raises:
        InputError: no exchange calendar has the name that was stated.
    """
    today = now.astimezone(UTC).date()
    first, last = span(candidates, "timestamp") or (today, today)
    ensure_sessions(conn, calendars, first, _later(last, _reach(candidates)), now)


def place_bars(
    conn: psycopg.Connection, source: str, candidates: Sequence[Candidate], calendars: Mapping[str, str], parser: int
) -> None:
    """Give each bar its end and its nominal time; `calendars` names that of each symbol, `parser` the reader's number.

    From recorded sessions only; but whether a week or a month is over, those to come say too.
    """
    days = span(candidates, "timestamp")
    if days is None:
        days = (date.min, date.min)
    lag = warehouse.source_lag(conn, source)
    # A session can begin on the eve of its date in UTC.
    first, last = _with_eves(*days)
    reach = _reach(candidates)
    sessions = read_sessions(conn, set(calendars.values()), first, _later(last, reach), planned=bool(reach))
    for candidate in candidates:
        prices.place(candidate.values, lag, calendars, sessions, parser)


def place_trades(conn: psycopg.Connection, source: str, candidates: Sequence[Candidate]) -> None:
    """Give each trade its nominal time."""
    lag = warehouse.source_lag(conn, source)
    for candidate in candidates:
        trades.place(candidate.values, lag)


def to_rows(kind: Kind, source: str, good: Sequence[Candidate]) -> list[RawRow]:
    """Return judged candidates as rows of their raw table."""
    return [_ROW[kind](candidate.values, source) for candidate in good]


def _with_eves(first: date, last: date) -> tuple[date, date]:
    day = timedelta(days=1)
    return (max(first, date.min + day) - day, min(last, date.max - day) + day)


def _reach(candidates: Sequence[Candidate]) -> timedelta:
    """Return how far past its label a bar can end: of weeks and months, so that a session after it is seen too."""
    longer = any(candidate.values.get("interval") in ("1w", "1mo") for candidate in candidates)
    return timedelta(days=45) if longer else timedelta(0)


def _later(day: date, by: timedelta) -> date:
    return day + min(by, date.max - day)
