"""Charts in the warehouse: which are kept, their bars as versions, and their heads.

Whole numbers there, numeric and timestamptz here. The identity of a version is sha256 over its values; SQL says the same
in `marts.chart_bar_hash` (migration 0036).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from trading.chart_bars.chart import TRADES, Chart
from trading.chart_bars.closed import ClosedBar
from trading.chart_bars.state import State
from trading.chart_bars.timeline import Key, Stored, Version
from trading.identity import PRICE_SCALE, QUANTITY_SCALE, epoch_micros, row_hash

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ACTIVE = """
select c.chart_style, c.parameter, c.fed, c.source, c.symbol, coalesce(h.source_watermark, 0)
from marts.active_charts as c
left join marts.chart_heads as h
    on h.definition = c.definition and h.source = c.source and h.symbol = c.symbol
order by c.source, c.symbol, c.definition
"""
_NEWEST_TRADE = "select max(t.watermark) from raw.trades as t where t.source = %s and t.symbol = %s"
_NEWER_BAR = """
select b.watermark from raw.price_bars as b
where b.watermark > %s and b.source = %s and b.symbol = %s and b.interval = %s
limit 1
"""
_NUMBERS = """b.timestamp, b.sequence, b.ended_at, b.closed_at, b.open, b.high, b.low, b.close, b.volume, b.trade_count,
    b.known_at, b.last_at, b.last_id"""
_CHECKPOINT = f"""
select {_NUMBERS}
from marts.chart_bars_as_of(%(definition)s, %(source)s, %(symbol)s, %(known)s) as b
where b.closed_at < %(before)s and b.last_id is not null
order by b.timestamp desc, b.sequence desc
limit 1
"""
_STORED = f"""
select {_NUMBERS}, b.watermark, b.is_withdrawn
from marts.chart_bars as b
where b.definition = %(definition)s and b.source = %(source)s and b.symbol = %(symbol)s
    and (b.timestamp, b.sequence) > (%(after_at)s, %(after_number)s)
    and (b.timestamp, b.sequence) <= (%(to_at)s, %(to_number)s)
    and b.known_at < %(before)s
"""
_HEAD = """
select h.source_watermark, h.read_to, h.read_id, h.state
from marts.chart_heads as h
where h.definition = %(definition)s and h.source = %(source)s and h.symbol = %(symbol)s
"""
_SET_HEAD = """
insert into marts.chart_heads as h (definition, source, symbol, source_watermark, read_to, read_id, state)
values (%(definition)s, %(source)s, %(symbol)s, %(watermark)s, %(read_to)s, %(read_id)s, %(state)s)
on conflict (definition, source, symbol) do update
set source_watermark = excluded.source_watermark, read_to = excluded.read_to, read_id = excluded.read_id,
    state = excluded.state
"""
_COPY = """
copy marts.chart_bars (definition, chart_style, parameter, source, symbol, timestamp, sequence, ended_at, closed_at, open,
    high, low, close, volume, trade_count, last_at, last_id, is_withdrawn, known_at, watermark, row_hash) from stdin
"""
_ANY = """
select exists (select from marts.chart_bars as b
    where b.definition = %(definition)s and b.source = %(source)s and b.symbol = %(symbol)s)
"""


@dataclass(frozen=True)
class ChartSeries:
    """A chart of one symbol of one source."""

    chart: Chart
    source: str
    symbol: str

    @property
    def key(self) -> dict[str, Any]:
        """The columns that name it."""
        return {"definition": self.chart.definition, "source": self.source, "symbol": self.symbol}


@dataclass(frozen=True)
class Head:
    """Where a chart stands after every print up to `source_watermark`; the last one taken is (read_to, read_id)."""

    source_watermark: int
    read_to: datetime | None
    read_id: str
    state: State


def active_charts(conn: psycopg.Connection) -> list[ChartSeries]:
    """Return the charts that are kept up."""
    return [series for series, _ in _with_marks(conn)]


def waiting_charts(conn: psycopg.Connection) -> list[ChartSeries]:
    """Return those of the charts that are kept up in whose series something was published since they were advanced."""
    return [series for series, done in _with_marks(conn) if _is_waiting(conn, series, done)]


def _with_marks(conn: psycopg.Connection) -> list[tuple[ChartSeries, int]]:
    rows = conn.execute(_ACTIVE).fetchall()
    return [(ChartSeries(Chart(*row[:3]), row[3], row[4]), row[5]) for row in rows]


def _is_waiting(conn: psycopg.Connection, series: ChartSeries, done: int) -> bool:
    of = (series.source, series.symbol)
    if series.chart.fed == TRADES:
        found = conn.execute(_NEWEST_TRADE, of).fetchone()
        return bool(found and found[0] is not None and found[0] > done)
    return conn.execute(_NEWER_BAR, (done, *of, series.chart.fed)).fetchone() is not None


def set_active(conn: psycopg.Connection, series: ChartSeries, watermark: int, *, is_active: bool) -> None:
    """Write that a chart is kept up from now on, or no longer."""
    chart = series.chart
    conn.execute(
        "insert into marts.charts (definition, chart_style, parameter, fed, source, symbol, is_active, watermark) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s)",
        (chart.definition, chart.style, chart.parameter, chart.fed, series.source, series.symbol, is_active, watermark),
    )


def read_head(conn: psycopg.Connection, series: ChartSeries) -> Head | None:
    """Return where a chart stands, or None where that is not known."""
    found = conn.execute(_HEAD, series.key).fetchone()
    return Head(found[0], found[1], found[2], State(**found[3])) if found else None


def write_head(conn: psycopg.Connection, series: ChartSeries, head: Head) -> None:
    """Remember where a chart stands."""
    about = {"watermark": head.source_watermark, "read_to": head.read_to, "read_id": head.read_id}
    conn.execute(_SET_HEAD, {**series.key, **about, "state": Jsonb(head.state.as_dict())})


def has_bars(conn: psycopg.Connection, series: ChartSeries) -> bool:
    """Tell whether anything of a chart was ever written."""
    found = conn.execute(_ANY, series.key).fetchone()
    return bool(found and found[0])


def checkpoint(
    conn: psycopg.Connection, series: ChartSeries, before: datetime, known: datetime
) -> tuple[ClosedBar, datetime] | None:
    """Return the newest bar, as known at `known`, that was closed before a moment, and its timestamp."""
    found = conn.execute(_CHECKPOINT, {**series.key, "before": before, "known": known}).fetchone()
    return (_bar(found), found[0]) if found else None


def stored_versions(
    conn: psycopg.Connection, series: ChartSeries, after: Key | None, to: Key | None, before: datetime | str
) -> dict[Key, list[Stored]]:
    """Return the versions known before a moment of the bars behind `after` up to `to` (None: without a bound)."""
    bounds = {
        "after_at": moment(after[0]) if after else "-infinity",
        "after_number": after[1] if after else 0,
        "to_at": moment(to[0]) if to else "infinity",
        "to_number": to[1] if to else 0,
        "before": before,
    }
    found: dict[Key, list[Stored]] = defaultdict(list)
    for *values, watermark, is_withdrawn in conn.execute(_STORED, {**series.key, **bounds}):
        key, known_at = (epoch_micros(values[0]), values[1]), epoch_micros(values[10])
        found[key].append(Stored(known_at, watermark, None if is_withdrawn else _bar(values)))
    return found


def write_versions(conn: psycopg.Connection, series: ChartSeries, versions: Iterable[Version], watermark: int) -> int:
    """Copy versions in; return how many."""
    named = (series.chart.definition, series.chart.style, series.chart.parameter, series.source, series.symbol)
    count = 0
    with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        for version in versions:
            values = _values(version)
            identity = row_hash([named[0], *named[3:], *values])
            copy.write_row((*named, *values, watermark, identity))
            count += 1
    return count


def _values(version: Version) -> tuple[Any, ...]:
    """Return the columns of a version from `timestamp` to `known_at`, in their order and in that of its identity."""
    start, known_at = moment(version.key[0]), moment(version.known_at)
    bar = version.bar
    if bar is None:
        return (start, version.key[1], *(None,) * 10, True, known_at)
    prices = (Decimal(price).scaleb(-PRICE_SCALE) for price in (bar.open, bar.high, bar.low, bar.close))
    last_at = None if bar.last_at is None else moment(bar.last_at)
    volume = Decimal(bar.volume).scaleb(-QUANTITY_SCALE)
    ends = (moment(bar.ended_at), moment(bar.closed_at))
    return (start, bar.sequence, *ends, *prices, volume, bar.prints, last_at, bar.last_id, False, known_at)


def _bar(values: Any) -> ClosedBar:
    timestamp, sequence, ended_at, closed_at, *prices, volume, prints, known_at, last_at, last_id = values
    open_, high, low, close = (int(price.scaleb(PRICE_SCALE)) for price in prices)
    return ClosedBar(
        timestamp=epoch_micros(timestamp),
        sequence=sequence,
        ended_at=epoch_micros(ended_at),
        closed_at=epoch_micros(closed_at),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=int(volume.scaleb(QUANTITY_SCALE)),
        prints=prints,
        known_at=epoch_micros(known_at),
        last_at=None if last_at is None else epoch_micros(last_at),
        last_id=last_id,
    )


def moment(micros: int) -> datetime:
    """Return microseconds since 1970 as a moment."""
    return _EPOCH + timedelta(microseconds=micros)
