"""How fresh features are: the newest value of each, the sessions that closed since, and how many rows have none.

An age is counted in sessions of the symbol's own calendar: a weekend ages nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import psycopg
from psycopg import sql

from trading.calendar import exchange_sessions
from trading.intervals import Interval


@dataclass(frozen=True)
class Freshness:
    """One feature at one moment, over all series of a definition.

    Attributes:
        rows: Rows of the definition, every version.
        null_share: Of them, those without a value; None without rows.
        newest_timestamp: Of the newest row with a value; newest_known_at: when one last became known.
        age_sessions: Sessions closed after that row's own; None without one.
        stalest_symbol, stalest_age_sessions: The series whose newest value is the oldest, and its age.
    """

    rows: int
    null_share: float | None
    newest_timestamp: datetime | None
    newest_known_at: datetime | None
    age_sessions: int | None
    stalest_symbol: str | None
    stalest_age_sessions: int | None

    def is_older_than(self, limit: int | None) -> bool:
        """Whether some series has no value young enough; never without a limit."""
        return limit is not None and (self.stalest_age_sessions or 0) > limit


@dataclass(frozen=True)
class _Series:
    symbol: str
    interval: str
    calendar: str | None
    rows: int
    values: int
    timestamp: datetime | None
    known_at: datetime | None


def freshness(
    conn: psycopg.Connection, view: str, definition: str, columns: Sequence[str], as_of: datetime
) -> dict[str, Freshness]:
    """Return column -> how fresh it was at `as_of`. One pass over the definition's rows."""
    rows = conn.execute(_query(view, columns), {"definition": definition, "as_of": as_of}).fetchall()
    return {column: _freshness([_series(row, place) for row in rows], as_of) for place, column in enumerate(columns)}


def _query(view: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(
        "with series as (select v.source, v.symbol, v.interval, count(*) as rows, array[{counts}] as counts"
        ", array[{times}] as times from {view} as v"
        " where v.definition = %(definition)s and v.known_at <= %(as_of)s group by v.source, v.symbol, v.interval)"
        " select s.symbol, s.interval, (select i.calendar from trading.instruments as i where i.symbol = s.symbol"
        " order by i.watermark desc limit 1), s.rows, s.counts, s.times from series as s order by s.symbol, s.source"
    ).format(
        view=sql.Identifier(*view.split(".")),
        counts=sql.SQL(", ").join(sql.SQL("count(v.{})").format(sql.Identifier(name)) for name in columns),
        times=sql.SQL(", ").join(
            sql.SQL(
                "max(v.timestamp) filter (where v.{0} is not null), max(v.known_at) filter (where v.{0} is not null)"
            ).format(sql.Identifier(name))
            for name in columns
        ),
    )


def _series(row: tuple[Any, ...], place: int) -> _Series:
    symbol, interval, calendar, rows, counts, times = row
    return _Series(symbol, interval, calendar, rows, counts[place], times[2 * place], times[2 * place + 1])


def _freshness(series: Sequence[_Series], as_of: datetime) -> Freshness:
    rows = sum(one.rows for one in series)
    missing = rows - sum(one.values for one in series)
    valued = sorted((one for one in series if one.timestamp), key=lambda one: (one.timestamp, one.symbol))
    newest, stalest = (valued[-1], valued[0]) if valued else (None, None)
    return Freshness(
        rows,
        missing / rows if rows else None,
        newest.timestamp if newest else None,
        newest.known_at if newest else None,
        _age(newest, as_of),
        stalest.symbol if stalest else None,
        _age(stalest, as_of),
    )


def _age(series: _Series | None, as_of: datetime) -> int | None:
    if series is None or series.timestamp is None or series.calendar is None:
        return None
    last = _last_day(series.timestamp.astimezone(UTC), Interval.stored(series.interval))
    closes = _closes(series.calendar, last, as_of.date())
    return sum(1 for day, closes_at in closes if day > last and closes_at <= as_of)


def _last_day(timestamp: datetime, interval: Interval) -> date:
    """Return the last day that a bar is about: a week's is its Sunday."""
    return timestamp.date() if interval.is_intraday else interval.label_end(timestamp).date() - timedelta(days=1)


@cache
def _closes(calendar: str, first: date, last: date) -> tuple[tuple[date, datetime], ...]:
    if last < first:
        return ()
    return tuple((one.session_date, one.closes_at) for one in exchange_sessions(calendar, first, last))
