"""How old rows are at read, in sessions closed since their own.

Exchange sessions that are recorded never change, so a process keeps those it has read: a question about rows then asks
nothing more. Sessions are recorded as data arrives; a question later than the newest of them, as when a feed has
stopped, goes on counting in the exchange's calendar. The same count in SQL is `features.age_at`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import psycopg

from trading.errors import InputError
from trading.intervals import Interval


@dataclass
class _Recorded:
    """The recorded sessions of one calendar, in order; `asked`: days for which later ones were looked for in vain."""

    dates: list[date] = field(default_factory=list)
    opens: list[datetime] = field(default_factory=list)
    closes: list[datetime] = field(default_factory=list)
    asked: set[date] = field(default_factory=set)


@dataclass
class Calendars:
    """Which calendar each symbol follows, and its sessions, as far as this process has read them."""

    _instruments: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    _instruments_to: int = -1
    _recorded: dict[str, _Recorded] = field(default_factory=dict)

    def ages(
        self,
        conn: psycopg.Connection,
        rows: Iterable[tuple[str, datetime]],
        interval: str,
        as_of: datetime,
        watermark: int,
        instruments_to: int | None,
    ) -> list[int | None]:
        """Return how many sessions had closed at `as_of` since each row's own; None for a symbol without a calendar.

        Args:
            rows: The symbol and the timestamp of each.
            watermark: Only what was published of instruments by it.
            instruments_to: The newest publication of any instrument, to know whether what was read is all there is.
        """
        if instruments_to is not None and instruments_to > self._instruments_to:
            self._read_instruments(conn, instruments_to)
        seen: dict[tuple[str | None, datetime], int | None] = {}
        found = []
        for symbol, timestamp in rows:
            asked = (self._calendar(symbol, watermark), timestamp)
            if asked not in seen:
                seen[asked] = None if asked[0] is None else self._age(conn, asked[0], interval, timestamp, as_of)
            found.append(seen[asked])
        return found

    def _calendar(self, symbol: str, watermark: int) -> str | None:
        of_symbol = self._instruments.get(symbol, ())
        return next((calendar for published, calendar in of_symbol if published <= watermark), None)

    def _age(
        self, conn: psycopg.Connection, calendar: str, interval: str, timestamp: datetime, as_of: datetime
    ) -> int | None:
        recorded = self._sessions(conn, calendar, timestamp.date(), as_of.date())
        if not recorded.dates:
            return None
        # A daily row's own session is that of its date, a week's or a month's are all of it; an intraday row's, the one
        # that had opened.
        own = (
            bisect_right(recorded.opens, timestamp)
            if (length := Interval.stored(interval)).is_intraday
            else bisect_left(recorded.dates, length.label_end(timestamp.astimezone(UTC)).date())
        )
        closed = bisect_right(recorded.closes, as_of)
        return max(0, closed - own) + closed_since(calendar, recorded.dates[-1], as_of)

    def _sessions(self, conn: psycopg.Connection, calendar: str, first: date, last: date) -> _Recorded:
        kept = self._recorded.get(calendar)
        is_there = kept is not None and kept.dates and kept.dates[0] <= first and last <= kept.dates[-1]
        if kept is not None and (is_there or last in kept.asked):
            return kept
        found: Sequence[tuple[date, datetime, datetime]] = conn.execute(
            "select session_date, opens_at, closes_at from trading.calendar_sessions where calendar = %s order by 1",
            (calendar,),
        ).fetchall()
        dates, opens, closes = ([row[place] for row in found] for place in range(3))
        kept = _Recorded(dates, opens, closes, {last} | (kept.asked if kept is not None else set()))  # type: ignore[arg-type]
        self._recorded[calendar] = kept
        return kept

    def _read_instruments(self, conn: psycopg.Connection, newest: int) -> None:
        instruments: dict[str, list[tuple[int, str]]] = {}
        for symbol, published, calendar in conn.execute(
            "select symbol, watermark, calendar from trading.instruments where watermark <= %s"
            " order by symbol, watermark desc",
            (newest,),
        ):
            instruments.setdefault(symbol, []).append((published, calendar))
        self._instruments, self._instruments_to = instruments, newest


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
