"""Exchanges whose session opens on the eve of its date in UTC: Sydney in summer, futures in Chicago."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from trading.adapters.chart_bars import advance_charts
from trading.adapters.chart_rows import ChartSeries, set_active
from trading.adapters.feeds.known_series import KnownSeries
from trading.chart_bars.chart import Chart

pytestmark = pytest.mark.engines
Deliver = Callable[..., Any]

BARS = "symbol,timestamp,open,high,low,close,volume,interval"
TRADES = "symbol,timestamp,price,size,trade_id"
RECORDED = "select max(session_date) from trading.calendar_sessions where calendar = %s"


@pytest.mark.parametrize("calendar", ["XASX", "CMES"])
def test_a_bar_of_a_session_that_opened_on_the_eve_is_published_on_the_eve(
    deliver: Deliver, conn: psycopg.Connection, calendar: str
) -> None:
    report = deliver(
        "BHP,2024-01-16T23:00:00Z,10,11,9,10,5,5m",
        header=BARS, calendar=calendar, mode="live", now=datetime(2024, 1, 16, 23, 25, tzinfo=UTC),
    )  # fmt: skip
    assert (report.rows_published, report.quarantine) == (1, {})
    assert conn.execute(RECORDED, (calendar,)).fetchone() == (date(2024, 1, 17),)


def test_the_next_session_is_not_recorded_before_it_opens(deliver: Deliver, conn: psycopg.Connection) -> None:
    before, after = datetime(2024, 1, 16, 22, 59, tzinfo=UTC), datetime(2024, 1, 16, 23, 0, tzinfo=UTC)
    deliver("BHP,2024-01-16T04:00:00Z,10,11,9,10,5,5m", header=BARS, calendar="XASX", mode="live", now=before)
    assert conn.execute(RECORDED, ("XASX",)).fetchone() == (date(2024, 1, 16),)
    known = KnownSeries.read(conn, "files", "5m", ["BHP"])
    known.open_sessions(conn, before)
    assert known.sessions["XASX"].dates[-1] == date(2024, 1, 16)
    known.open_sessions(conn, after)
    assert known.sessions["XASX"].dates[-1] == date(2024, 1, 17)


def _bars(conn: psycopg.Connection, series: ChartSeries) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select timestamp, open, close, trade_count from marts.chart_bars_as_of(%s, %s, %s, 'infinity') order by 1",
        tuple(series.key.values()),
    ).fetchall()


def test_a_chart_over_time_takes_the_prints_of_the_eve_as_they_come(
    deliver: Deliver, conn: psycopg.Connection, database_url: str
) -> None:
    prints = [
        ("2024-01-16T23:10:00Z", "100"),
        ("2024-01-16T23:40:00Z", "101"),
        ("2024-01-17T00:30:00Z", "102"),
        ("2024-01-17T01:30:00Z", "103"),
        ("2024-01-17T23:10:00Z", "104"),
    ]
    charts = [Chart.of("time", "1h"), Chart.of("heikin_ashi", "1h"), Chart.of("time", "1d")]

    def declared(symbol: str) -> list[ChartSeries]:
        with conn.transaction():
            own = conn.execute("select raw.take_watermark('test')").fetchone()
            assert own is not None
            for chart in charts:
                set_active(conn, ChartSeries(chart, "files", symbol), own[0], is_active=True)
        return [ChartSeries(chart, "files", symbol) for chart in charts]

    def bring(symbol: str, *some: tuple[str, str]) -> None:
        lines = [f"{symbol},{at},{price},1,{at}" for at, price in some]
        assert deliver(*lines, header=TRADES, kind="trades", calendar="XASX").rows_quarantined == 0
        advance_charts(database_url)

    bring("AAA", prints[0])
    streamed = declared("AAA")
    bring("AAA", *prints[1:3])
    bring("AAA", *prints[3:])
    bring("BBB", *prints)
    batch = declared("BBB")
    advance_charts(database_url)
    assert [_bars(conn, series) for series in streamed] == [_bars(conn, series) for series in batch]
    counts = [[(at, count) for at, _, _, count in _bars(conn, series)] for series in streamed]
    eve = datetime(2024, 1, 16, 23, tzinfo=UTC)
    hours = [(eve, 2), (datetime(2024, 1, 17, 0, tzinfo=UTC), 1), (datetime(2024, 1, 17, 1, tzinfo=UTC), 1)]
    # A day is named by its date, and holds what was traded on its eve.
    assert counts == [hours, hours, [(datetime(2024, 1, 17, tzinfo=UTC), 4)]]
