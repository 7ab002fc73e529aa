"""Publications of trades made by hand, and charts of them by the definition of a bar: one print at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from trading.adapters.chart_bars import advance_charts
from trading.adapters.chart_rows import ChartSeries, set_active
from trading.calendar import exchange_sessions
from trading.chart_bars.chart import Chart
from trading.chart_bars.grid import Grid
from trading.chart_bars.machine import Machine
from trading.chart_bars.prints import Print
from trading.identity import epoch_micros

BEGIN = datetime(2024, 6, 3, 14, 0, tzinfo=UTC)
SOURCE = "files"


@dataclass(frozen=True)
class Version:
    """A version of a trade as a test publishes it; `at` and `known` in seconds after BEGIN."""

    name: str
    at: float
    price: int
    size: int
    known: float
    watermark: int = 0


@dataclass
class Market:
    """One symbol: what was published of it, and the charts that are kept."""

    url: str
    conn: psycopg.Connection
    symbol: str
    published: list[Version] = field(default_factory=list)

    def publish(self, *trades: tuple[str, float, int, int, float]) -> int:
        """Publish (name, at, price, size, known) in one transaction; return its watermark."""
        versions = [Version(*trade) for trade in trades]
        with self.conn.transaction():
            watermark = _one(self.conn, "select raw.take_watermark('test')")
            batch = _one(self.conn, _BATCH, (SOURCE, "0" * 64, Jsonb({}), watermark))
            self.conn.execute("select raw.make_partitions('trades', %s)", ([moment(one.at) for one in versions],))
            for one in versions:
                self.conn.execute(_TRADE, self._row(one, watermark, batch))
        self.published += [replace(one, watermark=watermark) for one in versions]
        return int(watermark)

    def _row(self, one: Version, watermark: int, batch: int) -> tuple[Any, ...]:
        at, known = moment(one.at), moment(one.known)
        return (SOURCE, self.symbol, one.name, at, Decimal(one.price), Decimal(one.size), at, known, watermark, batch)

    def declare(self, chart: Chart) -> ChartSeries:
        """Declare a chart of this symbol."""
        series = ChartSeries(chart, SOURCE, self.symbol)
        with self.conn.transaction():
            set_active(self.conn, series, _one(self.conn, "select raw.take_watermark('test')"), is_active=True)
        return series

    def advance(self) -> int:
        """Advance all charts; return the newest watermark."""
        advance_charts(self.url)
        return int(_one(self.conn, "select raw.newest_watermark()"))

    def versions(self, series: ChartSeries) -> list[tuple[Any, ...]]:
        """Return every stored version, the older knowledge first: known_at, watermark, is_withdrawn, then the bar."""
        return self.conn.execute(_VERSIONS, tuple(series.key.values())).fetchall()

    def bars(self, series: ChartSeries, as_of: float, up_to: int) -> list[tuple[Any, ...]]:
        """Return the stored bars as known at (as_of, up_to)."""
        asked = (*series.key.values(), moment(as_of), up_to)
        return self.conn.execute(_BARS, asked).fetchall()

    def expected(self, chart: Chart, as_of: float, up_to: int) -> list[tuple[Any, ...]]:
        """Return the bars of what was known of the trades at (as_of, up_to), each fed by hand."""
        known: dict[str, Version] = {}
        for one in sorted(self.published, key=lambda one: (one.known, one.watermark)):
            if one.known <= as_of and one.watermark <= up_to:
                known[one.name] = one
        there = sorted((one for one in known.values() if one.size), key=lambda one: (one.at, len(one.name), one.name))
        machine, made = Machine(chart, grid=_grid(chart)), []
        for one in there:
            at = epoch_micros(moment(one.at))
            print_ = Print.of_trade(at, one.name, one.price * 10**6, one.size * 10**8, epoch_micros(moment(one.known)))
            made += list(machine.feed(print_))
        return [
            (
                *(instant(bar.timestamp), bar.sequence, instant(bar.ended_at), instant(bar.closed_at)),
                *(Decimal(price).scaleb(-6) for price in bar[4:8]),
                *(Decimal(bar.volume).scaleb(-8), bar.prints),
            )
            for bar in made
        ]


def moment(seconds: float) -> datetime:
    """Return a moment by its seconds after BEGIN."""
    return BEGIN + timedelta(seconds=seconds)


def instant(micros: int) -> datetime:
    """Return a moment by its microseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def _grid(chart: Chart) -> Grid | None:
    from trading.calendar import Sessions

    if chart.style not in ("time", "heikin_ashi"):
        return None
    day = BEGIN.date()
    return Grid(
        chart.interval, Sessions.of(exchange_sessions("24/7", day - timedelta(days=9), day + timedelta(days=9)))
    )


_BATCH = """
insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name, reader,
    rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)
values ('trades', %s, 'live', now(), 'none', %s, 'test', %s, 0, 0, 0, 0, 0, 'published', %s, 'none')
returning batch_id
"""
_TRADE = """
insert into raw.trades (source, symbol, trade_id, timestamp, price, size, nominal_at, known_at, watermark, batch_id, row_hash)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, sha256('test'))
"""
_BARS = """
select timestamp, sequence, ended_at, closed_at, open, high, low, close, volume, trade_count
from marts.chart_bars_as_of(%s, %s, %s, %s, %s)
order by timestamp, sequence
"""
_VERSIONS = """
select known_at, watermark, is_withdrawn,
    timestamp, sequence, ended_at, closed_at, open, high, low, close, volume, trade_count
from marts.chart_bars where definition = %s and source = %s and symbol = %s
order by known_at, watermark
"""
_INSTRUMENT = """
insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, is_draft,
    known_at, watermark, row_hash)
values (%s, 'crypto', '24/7', 'USD', 0.01, 1, 1, true, '2020-01-01Z', raw.take_watermark('test'), sha256('test'))
"""


def _one(conn: psycopg.Connection, statement: Any, values: tuple[Any, ...] = ()) -> Any:
    found = conn.execute(statement, values).fetchone()
    assert found is not None
    return found[0]


def new_market(url: str, conn: psycopg.Connection, symbol: str) -> Market:
    """Return a market without trades; its symbol trades around the clock."""
    conn.execute(_INSTRUMENT, (symbol,))
    return Market(url, conn, symbol)


@pytest.fixture
def markets(database_url: str) -> Iterator[Callable[[], Market]]:
    """A maker of markets, each a symbol of its own."""
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as conn:
        numbers = count()
        yield lambda: new_market(database_url, conn, f"X{next(numbers):04}")
