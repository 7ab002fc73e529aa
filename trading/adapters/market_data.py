"""Raw bars and splits as a session meets them: first as they were first known, in the order of the market.

The loop fills and marks at the version of a bar that arrived first: that is what a paper or live session would have had
in its hands; of versions first known at one moment the later publication is in force, as everywhere. Later revisions
change features of later questions, never a session's past.
What does not live here: features (the feature store's) and the rules of filling (trading/execution.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

import psycopg
from psycopg.rows import dict_row

from trading.errors import InputError
from trading.nouns import Bar, Instrument, Split


@dataclass(frozen=True)
class SessionBar:
    """A raw bar, how its series is adjusted, when it was due, and when the series' next one was (None for the last)."""

    bar: Bar
    adjustment: str
    nominal_at: datetime
    next_nominal_at: datetime | None

    @property
    def is_superseded(self) -> bool:
        """Whether the symbol's next bar was due before this one arrived: too late to decide on."""
        return self.next_nominal_at is not None and self.bar.known_at >= self.next_nominal_at


@dataclass(frozen=True)
class KnownSplit:
    """A split, the row that reported it, and when that could first be known."""

    split: Split
    action_id: int
    known_at: datetime


@dataclass(frozen=True)
class BarGroup:
    """All symbols' bars of one timestamp, symbols in name order, and the symbols whose bars came too late to be met."""

    timestamp: datetime
    bars: dict[str, SessionBar]
    late: tuple[str, ...] = ()

    @property
    def known_at(self) -> datetime:
        """When the last bar of the group arrived: the session's clock once it has them all."""
        return max(bar.bar.known_at for bar in self.bars.values())


_BARS = """
with first_known as materialized (
    select distinct on (b.symbol, b.timestamp) b.*
    from raw.price_bars as b
    where b.source = %(source)s and b.symbol = any(%(symbols)s) and b.interval = %(interval)s
      and b.timestamp between %(first)s and %(last)s and b.watermark <= %(watermark)s
    order by b.symbol, b.timestamp, b.known_at, b.watermark desc
),
newest_instruments as materialized (
    select distinct on (i.symbol) i.symbol, i.calendar
    from trading.instruments as i
    where i.symbol = any(%(symbols)s) and i.watermark <= %(watermark)s
    order by i.symbol, i.watermark desc
)
select
    b.bar_id, b.row_hash, b.source, b.symbol, b.interval, b.timestamp, b.open, b.high, b.low, b.close, b.volume,
    b.adjustment, b.nominal_at, b.known_at,
    case when %(interval)s = '1d' then c.opens_at else b.timestamp end as opens_at,
    lead(b.nominal_at) over (partition by b.symbol order by b.timestamp) as next_nominal_at
from first_known as b
inner join newest_instruments as i on i.symbol = b.symbol
left join trading.calendar_sessions as c
    on c.calendar = i.calendar and c.session_date = (b.timestamp at time zone 'UTC')::date
order by b.timestamp, b.symbol
"""

_FIRST_SPLITS = """
select distinct on (a.symbol, a.ex_date) a.action_id, a.symbol, a.ex_date, a.ratio, a.known_at
from raw.corporate_actions as a
where a.source = %(source)s and a.symbol = any(%(symbols)s) and a.kind = 'split' and a.watermark <= %(watermark)s
  and a.ex_date > %(after)s and a.ex_date <= %(until)s
order by a.symbol, a.ex_date, a.known_at, a.watermark desc
"""
_LATEST_SPLITS = _FIRST_SPLITS.replace("a.known_at, a.watermark desc", "a.known_at desc, a.watermark desc")

# The newest version of each bar that was revised after it was first known.
_RESTATED = """
select distinct on (b.symbol, b.timestamp) b.symbol, b.timestamp, b.open, b.high, b.low, b.close, b.volume
from raw.price_bars as b
where b.source = %(source)s and b.symbol = any(%(symbols)s) and b.interval = %(interval)s
  and b.timestamp between %(first)s and %(last)s and b.watermark <= %(watermark)s
  and exists (
      select from raw.price_bars as o
      where o.source = b.source and o.symbol = b.symbol and o.interval = b.interval and o.timestamp = b.timestamp
        and o.bar_id <> b.bar_id and o.watermark <= %(watermark)s)
order by b.symbol, b.timestamp, b.known_at desc, b.watermark desc
"""

_HAS_NEWER = """
select exists (
    select from raw.price_bars as b
    where b.source = %(source)s and b.symbol = any(%(symbols)s) and b.interval = %(interval)s
      and b.timestamp between %(first)s and %(last)s and b.watermark > %(since)s and b.watermark <= %(watermark)s
)
"""

_INSTRUMENTS = """
select distinct on (i.symbol)
    i.symbol, i.calendar, i.currency, i.asset_class, i.tick_size, i.lot_size, i.multiplier, i.sector
from trading.instruments as i
where i.symbol = any(%(symbols)s) and i.watermark <= %(watermark)s
order by i.symbol, i.watermark desc
"""

_SESSIONS_BETWEEN = """
select count(*) from trading.calendar_sessions as c
where c.calendar = %s
  and c.session_date > (%s at time zone 'UTC')::date and c.session_date <= (%s at time zone 'UTC')::date
"""

_TIMESTAMPS = """
select distinct b.timestamp from raw.price_bars as b
where b.source = %s and b.symbol = any(%s) and b.interval = %s and b.watermark <= %s
order by b.timestamp desc limit %s
"""


@dataclass(frozen=True)
class MarketData:
    """Reads the bars of one series set up to one watermark; the caller owns the connection."""

    source: str
    symbols: Sequence[str]
    interval: str
    watermark: int

    def groups(self, conn: psycopg.Connection, first: datetime, last: datetime) -> Iterator[BarGroup]:
        """Yield the bars of `first`..`last` (both included) by timestamp, symbols in name order within each.

        A bar that arrived when its series' next bar was already due is named in `late` and not met: no session could
        have traded on it. A timestamp with late bars only is left out.

        Raises:
            InputError: a bar's session is not in its calendar, so nobody knows when it opened.
        """
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_BARS, {**self._where(), "first": first, "last": last}).fetchall()
        for timestamp, same in groupby(rows, key=lambda row: row["timestamp"]):
            bars = [_session_bar(row) for row in same]
            met = {bar.bar.symbol: bar for bar in bars if not bar.is_superseded}
            if met:
                yield BarGroup(timestamp, met, tuple(bar.bar.symbol for bar in bars if bar.is_superseded))

    def has_bars_since(self, conn: psycopg.Connection, watermark: int, first: datetime, last: datetime) -> bool:
        """Tell whether a version of a bar of `first`..`last` was published after `watermark`."""
        found = conn.execute(_HAS_NEWER, {**self._where(), "since": watermark, "first": first, "last": last}).fetchone()
        return bool(found and found[0])

    def latest_prices(
        self, conn: psycopg.Connection, first: datetime, last: datetime
    ) -> dict[tuple[str, datetime], tuple[Decimal, ...]]:
        """Return open, high, low, close and volume of the newest version of each bar that has more than one, by key."""
        rows = conn.execute(_RESTATED, {**self._where(), "first": first, "last": last})
        return {(symbol, at): tuple(values) for symbol, at, *values in rows}

    def splits(self, conn: psycopg.Connection, after: date, until: date, *, latest: bool = False) -> list[KnownSplit]:
        """Return the first-known (or the newest) version of each split with after < ex-date <= until, by symbol and date."""
        question = {**self._where(), "after": after, "until": until}
        rows = conn.execute(_LATEST_SPLITS if latest else _FIRST_SPLITS, question).fetchall()
        return [
            KnownSplit(Split(symbol, ex_date, ratio), action, known_at)
            for action, symbol, ex_date, ratio, known_at in rows
            if ratio != 1
        ]

    def instruments(self, conn: psycopg.Connection) -> dict[str, Instrument]:
        """Return the newest version of each symbol's instrument.

        Raises:
            InputError: a symbol has none.
        """
        rows = conn.execute(_INSTRUMENTS, self._where()).fetchall()
        found = {row[0]: Instrument(*row) for row in rows}
        missing = sorted(set(self.symbols) - set(found))
        if missing:
            raise InputError(
                f"expected an instrument for each symbol, found none for {', '.join(missing)}; ingest prices"
            )
        return found

    def last_timestamps(self, conn: psycopg.Connection, count: int) -> list[datetime]:
        """Return the newest `count` bar timestamps of the series set, oldest first."""
        rows = conn.execute(
            _TIMESTAMPS, (self.source, list(self.symbols), self.interval, self.watermark, count)
        ).fetchall()
        return sorted(row[0] for row in rows)

    def _where(self) -> dict[str, object]:
        return {
            "source": self.source,
            "symbols": list(self.symbols),
            "interval": self.interval,
            "watermark": self.watermark,
        }


def sessions_between(conn: psycopg.Connection, calendar: str, after: datetime, until: datetime) -> int:
    """Return how many sessions of a calendar lie after one bar's date, up to another's."""
    found = conn.execute(_SESSIONS_BETWEEN, (calendar, after, until)).fetchone()
    return int(found[0]) if found else 0


def _session_bar(row: dict[str, Any]) -> SessionBar:
    if row["opens_at"] is None:
        raise InputError(
            f"expected a session of {row['symbol']}'s calendar on {row['timestamp']:%Y-%m-%d}, found none; "
            "fill trading.calendar_sessions by ingesting prices again"
        )
    names = (
        "symbol",
        "timestamp",
        "opens_at",
        "known_at",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "source",
        "interval",
    )
    bar = Bar(**{name: row[name] for name in names}, bar_id=row["bar_id"], row_hash=bytes(row["row_hash"]))
    return SessionBar(bar, row["adjustment"], row["nominal_at"], row["next_nominal_at"])
