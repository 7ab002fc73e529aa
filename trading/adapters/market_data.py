"""Raw bars and splits as a session meets them: first as they were first known, in the order of the market.

The loop fills and marks at the version of a bar that arrived first: that is what a paper or live session would have had
in its hands. Later revisions change features of later questions, never a session's past.
What does not live here: features (the feature store's) and the rules of filling (trading/execution.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True)
class SessionBar:
    """One bar of one symbol, raw prices in USD, with its identity and the hours of its session."""

    bar_id: int
    row_hash: bytes
    symbol: str
    timestamp: datetime
    open: Decimal
    close: Decimal
    adjustment: str
    nominal_at: datetime
    known_at: datetime
    batch_id: int
    opens_at: datetime
    next_nominal_at: datetime | None

    @property
    def is_superseded(self) -> bool:
        """Whether the symbol's next bar was due before this one arrived: too late to decide on."""
        return self.next_nominal_at is not None and self.known_at >= self.next_nominal_at


@dataclass(frozen=True)
class Split:
    """A split of one symbol: `ratio` new shares for one old share, from `ex_date` on."""

    action_id: int
    symbol: str
    ex_date: date
    ratio: Decimal
    known_at: datetime


@dataclass(frozen=True)
class BarGroup:
    """All symbols' bars of one timestamp, by name; `as_of` is when the last of them that was in time arrived."""

    timestamp: datetime
    bars: dict[str, SessionBar]

    @property
    def as_of(self) -> datetime:
        """The moment the group is complete on the session's clock."""
        in_time = [bar.known_at for bar in self.bars.values() if not bar.is_superseded]
        return max(in_time or [bar.nominal_at for bar in self.bars.values()])


_BARS = """
with first_known as materialized (
    select distinct on (b.symbol, b.timestamp) b.*
    from raw.price_bars as b
    where b.source = %(source)s and b.symbol = any(%(symbols)s) and b.interval = %(interval)s
      and b.timestamp between %(first)s and %(last)s and b.watermark <= %(watermark)s
    order by b.symbol, b.timestamp, b.known_at, b.watermark
),
newest_instruments as materialized (
    select distinct on (i.symbol) i.symbol, i.calendar
    from trading.instruments as i
    where i.symbol = any(%(symbols)s) and i.watermark <= %(watermark)s
    order by i.symbol, i.watermark desc
)
select
    b.bar_id, b.row_hash, b.symbol, b.timestamp, b.open, b.close, b.adjustment, b.nominal_at, b.known_at, b.batch_id,
    case when %(interval)s = '1d' then c.opens_at else b.timestamp end as opens_at,
    lead(b.nominal_at) over (partition by b.symbol order by b.timestamp) as next_nominal_at
from first_known as b
inner join newest_instruments as i on i.symbol = b.symbol
left join trading.calendar_sessions as c
    on c.calendar = i.calendar and c.session_date = (b.timestamp at time zone 'UTC')::date
order by b.timestamp, b.symbol
"""

_SPLITS = """
select distinct on (a.symbol, a.ex_date) a.action_id, a.symbol, a.ex_date, a.ratio, a.known_at
from raw.corporate_actions as a
where a.source = %(source)s and a.symbol = any(%(symbols)s) and a.kind = 'split' and a.watermark <= %(watermark)s
  and a.known_at <= %(as_of)s and a.ex_date > %(after)s and a.ex_date <= %(until)s
order by a.symbol, a.ex_date, a.known_at desc, a.watermark desc
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
        """Yield the bars of `first`..`last` (both included) by timestamp, symbols in name order within each."""
        with conn.cursor(row_factory=class_row(SessionBar)) as cursor:
            bars = cursor.execute(_BARS, {**self._where(), "first": first, "last": last}).fetchall()
        for timestamp, group in groupby(bars, key=lambda bar: bar.timestamp):
            yield BarGroup(timestamp, {bar.symbol: bar for bar in group})

    def splits(self, conn: psycopg.Connection, after: date, until: date, as_of: datetime) -> list[Split]:
        """Return the splits with after < ex-date <= until that are known at `as_of`, by symbol and date."""
        with conn.cursor(row_factory=class_row(Split)) as cursor:
            question = {**self._where(), "after": after, "until": until, "as_of": as_of}
            return [split for split in cursor.execute(_SPLITS, question).fetchall() if split.ratio != 1]

    def last_timestamps(self, conn: psycopg.Connection, count: int) -> list[datetime]:
        """Return the newest `count` bar timestamps of the series set, oldest first."""
        rows = conn.execute(_TIMESTAMPS, (self.source, list(self.symbols), self.interval, self.watermark, count)).fetchall()
        return sorted(row[0] for row in rows)

    def _where(self) -> dict[str, object]:
        return {
            "source": self.source,
            "symbols": list(self.symbols),
            "interval": self.interval,
            "watermark": self.watermark,
        }
