"""What the warehouse knows of a feed's symbols, kept in memory while nobody else publishes.

It is what the quick way of a batch rests on (publishing.py): a bar or trade that merely continues a series that is known.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import psycopg

from trading.adapters import warehouse
from trading.adapters.gaps import known_parts
from trading.adapters.instruments import calendars_of
from trading.adapters.sessions import ensure_sessions, next_opening, read_sessions
from trading.calendar import Sessions

_DAY = timedelta(days=1)
_BACK = timedelta(days=7)  # sessions that are at hand before today's
_NO_GAP = timedelta(days=60)  # far below the 250 sessions after which somebody must say whose bars they are

# By the index: the newest bar of each symbol.
_NEWEST = """
select a.symbol, newest.timestamp, newest.adjustment
from unnest(%s::text[]) as a (symbol)
cross join lateral (
    select b.timestamp, b.adjustment from raw.price_bars as b
    where b.source = %s and b.symbol = a.symbol and b.interval = %s
    order by b.timestamp desc limit 1
) as newest
"""


@dataclass
class KnownSeries:
    """The facts of a source's symbols.

    Attributes:
        calendars: Of each symbol that has an instrument.
        newest: The start of the newest bar, by symbol that has bars of the interval.
        has_parts: Whether symbols of the source were split at gaps, so that names must be looked at one by one.
    """

    source: str
    interval: str
    lag: timedelta
    calendars: dict[str, str]
    newest: dict[str, datetime]
    adjustments: dict[str, str]
    has_parts: bool
    sessions: dict[str, Sessions] = field(default_factory=dict)
    _days: tuple[date, date] | None = None
    _opens_next: datetime | None = None

    @classmethod
    def read(cls, conn: psycopg.Connection, source: str, interval: str, symbols: Collection[str]) -> KnownSeries:
        """Return what the warehouse knows now."""
        asked = sorted(symbols)
        bars = conn.execute(_NEWEST, (asked, source, interval)).fetchall()
        return cls(
            source,
            interval,
            warehouse.source_lag(conn, source),
            calendars_of(conn, asked),
            {symbol: newest for symbol, newest, _ in bars},
            {symbol: adjustment for symbol, _, adjustment in bars},
            bool(known_parts(conn, source)),
        )

    def open_sessions(self, conn: psycopg.Connection, now: datetime) -> None:
        """Have the sessions of the last week and those that have opened by now at hand, recorded in the warehouse."""
        today = now.astimezone(UTC).date()
        names = set(self.calendars.values())
        is_same_day = self._days is not None and self._days[1] == today
        has_opened = self._opens_next is not None and self._opens_next <= now
        if is_same_day and not has_opened and names <= self.sessions.keys():
            return
        ensure_sessions(conn, names, today - _BACK, today, now)
        self._opens_next = next_opening(conn, names, now)
        self.sessions = read_sessions(conn, names, today - _BACK - _DAY, today + _DAY)
        self._days = (today - _BACK, today)

    def continues(self, symbol: str, timestamp: datetime) -> bool:
        """Tell whether a bar at `timestamp` goes on with a known series, near enough that no gap can be in it."""
        if self.has_parts or symbol not in self.calendars or symbol not in self.newest or self._days is None:
            return False
        first, last = self._days
        return first <= timestamp.date() <= last and abs(timestamp - self.newest[symbol]) <= _NO_GAP

    def came(self, symbol: str, timestamp: datetime) -> None:
        """Note that a bar was published."""
        self.newest[symbol] = max(self.newest.get(symbol, timestamp), timestamp)
