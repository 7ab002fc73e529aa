"""Charts as people ask for them: declared, stopped, listed, and their bars read as known at (t, w)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg.rows import class_row

from trading.adapters.chart_bars import advance_charts
from trading.adapters.chart_rows import ChartSeries, active_charts, set_active
from trading.adapters.known_names import refuse_unknown_source
from trading.adapters.postgres import connection
from trading.adapters.replicas import hold
from trading.adapters.warehouse import take_watermark
from trading.chart_bars.chart import Chart
from trading.errors import InputError

NEWEST = 2**63 - 1  # no watermark is greater

_KEPT = """
select c.chart_style as style, c.parameter, c.fed, c.source, c.symbol, c.definition,
    count(b.row_id) as bars, max(b.timestamp) as newest
from marts.active_charts as c
left join lateral marts.chart_bars_as_of(c.definition, c.source, c.symbol) as b on true
group by c.chart_style, c.parameter, c.fed, c.source, c.symbol, c.definition
order by c.source, c.symbol, c.chart_style, c.parameter, c.fed
"""
_BARS = """
select b.timestamp, b.sequence, b.ended_at, b.open, b.high, b.low, b.close, b.volume, b.trade_count, b.known_at, b.watermark,
    encode(b.row_hash, 'hex') as row_hash
from marts.chart_bars_as_of(%s, %s, %s, %s, %s) as b
order by b.timestamp desc, b.sequence desc
limit %s
"""


@dataclass(frozen=True)
class KeptChart:
    """A chart that is kept up, with the number of its closed bars and the start of the newest."""

    style: str
    parameter: str
    fed: str
    source: str
    symbol: str
    definition: str
    bars: int
    newest: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"newest": self.newest.isoformat() if self.newest else None}

    def sentence(self) -> str:
        """Return it as one line for people."""
        until = f", the newest from {self.newest.isoformat()}" if self.newest else ""
        name = f"{self.style} {self.parameter} from {self.fed}"
        return f"{name} of {self.symbol} ({self.source}): {self.bars} bars{until}"


@dataclass(frozen=True)
class ChartBar:
    """A closed bar as it is stored."""

    timestamp: datetime
    sequence: int
    ended_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
    known_at: datetime
    watermark: int
    row_hash: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values; decimals as text, so that nothing is lost."""
        return {
            name: value.isoformat()
            if isinstance(value, datetime)
            else str(value)
            if isinstance(value, Decimal)
            else value
            for name, value in asdict(self).items()
        }

    def sentence(self) -> str:
        """Return it as one line for people."""
        prices = " ".join(f"{price.normalize():f}" for price in (self.open, self.high, self.low, self.close))
        return (
            f"{self.timestamp.isoformat()} {self.sequence}  {prices}  volume {self.volume.normalize():f} "
            f"of {self.trade_count}, known {self.known_at.isoformat()}"
        )


def declare(url: str, chart: Chart, source: str, symbols: Sequence[str]) -> list[KeptChart]:
    """Keep a chart of each symbol from now on, and make its bars of all there is; those kept already stay as they are.

    Raises:
        InputError: no such source, no symbols, or a chart that cannot go on.
    """
    _set(url, chart, source, symbols, is_active=True)
    advance_charts(url)
    return [
        one for one in kept(url) if (one.definition, one.source) == (chart.definition, source) and one.symbol in symbols
    ]


def stop(url: str, chart: Chart, source: str, symbols: Sequence[str]) -> list[str]:
    """Keep a chart no longer; return the symbols of which it was kept. Its bars stay.

    Raises:
        InputError: it is kept of none of them.
    """
    stopped = _set(url, chart, source, symbols, is_active=False)
    if not stopped:
        raise InputError(
            f"expected a chart that is kept, found no {chart.style} {chart.parameter} from {chart.fed} of "
            f"{', '.join(symbols)}; `tradeloom charts list` shows them"
        )
    return stopped


def _set(url: str, chart: Chart, source: str, symbols: Sequence[str], *, is_active: bool) -> list[str]:
    if not symbols:
        raise InputError("expected symbols such as AAPL,MSFT, found none")
    with connection(url) as conn:
        refuse_unknown_source(conn, source)
        watermark = take_watermark(conn, "declare charts")
        there = {(one.chart.definition, one.source, one.symbol) for one in active_charts(conn)}
        several = [ChartSeries(chart, source, symbol) for symbol in dict.fromkeys(symbols)]
        changed = [one for one in several if ((chart.definition, source, one.symbol) in there) != is_active]
        for one in changed:
            set_active(conn, one, watermark, is_active=is_active)
        if not changed:
            conn.rollback()  # no watermark for nothing
    return [one.symbol for one in changed]


def kept(url: str) -> list[KeptChart]:
    """Return the charts that are kept up, in the order of source, symbol and style."""
    with connection(url) as conn, conn.cursor(row_factory=class_row(KeptChart)) as cursor:
        return cursor.execute(_KEPT).fetchall()


def read_bars(
    url: str, chart: Chart, source: str, symbol: str, as_of: datetime, watermark: int | None, how_many: int
) -> list[ChartBar]:
    """Return the newest closed bars of a chart as known at (as_of, watermark), oldest first.

    Raises:
        InputError: the chart was never declared of this symbol.
    """
    key = (chart.definition, source, symbol)
    with connection(url) as conn:
        hold(conn, watermark)
        declared = "select from marts.charts where definition = %s and source = %s and symbol = %s limit 1"
        if conn.execute(declared, key).fetchone() is None:
            raise InputError(
                f"expected a chart that was declared, found no {chart.style} {chart.parameter} from {chart.fed} of "
                f"{symbol} ({source}); `tradeloom charts add` declares one"
            )
        with conn.cursor(row_factory=class_row(ChartBar)) as cursor:
            cursor.execute(_BARS, (*key, as_of, NEWEST if watermark is None else watermark, how_many))
            return cursor.fetchall()[::-1]
