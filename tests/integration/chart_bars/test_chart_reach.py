"""What a corrected, late or withdrawn trade, or a corrected finer bar, reaches among chart bars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from feature_store.blast_report import BlastRadius, blast_radius
from trading.adapters.recalls import Asked
from trading.chart_bars.chart import Chart

pytestmark = pytest.mark.engines


def _market(markets: Callable[[], Any], *charts: Chart) -> Any:
    """Twelve trades, ten seconds apart, known as they traded: four bars of three trades each."""
    market = markets()
    for chart in charts:
        market.declare(chart)
    market.publish(*[(str(n), n * 10, 95 + n % 3, 1, n * 10) for n in range(1, 13)])
    market.advance()
    return market


def _of_batch(market: Any) -> BlastRadius:
    market.advance()
    with market.conn.transaction():
        batch = market.conn.execute("select max(batch_id) from raw.ingestion_batches").fetchone()[0]
        return blast_radius(market.conn, Asked(batch=batch))


def _bars(market: Any, found: BlastRadius) -> list[tuple[str, list[int]]]:
    """Each chart's bars by the seconds of their start."""
    seconds = "select extract(epoch from timestamp)::int - extract(epoch from timestamptz '2024-06-03 14:00Z')::int"
    return [
        (
            one.chart_style,
            [
                at
                for (at,) in market.conn.execute(f"{seconds} from marts.chart_bars where row_id = any(%s)", (one.ids,))
            ],
        )
        for one in found.reach.charts
    ]


def test_a_corrected_trade_reaches_the_bar_that_holds_it_and_those_after_it(markets: Callable[[], Any]) -> None:
    market = _market(markets, Chart.of("tick", "3"), Chart.of("volume", "3"))
    market.publish(("5", 50, 105, 1, 300))
    found = _of_batch(market)
    assert [(one.what, one.why, one.detail) for one in found.reach.changes] == [
        ("trade", "corrected", "trade 5 price 97 -> 105")
    ]
    assert _bars(market, found) == [("tick", [40, 70, 100]), ("volume", [40, 70, 100])]
    assert [one.changed for one in found.reach.charts] == [1, 1]
    assert (found.counts()["chart_bars"], found.counts()["chart_bars_changed"]) == (6, 2)
    (told,) = [line for line in found.lines() if line.startswith("chart bars     3 of tick")]
    assert told.endswith("2024-06-03 to 2024-06-03; 1 changed value")
    # The bars that were made anew from the correction rest on it, not on what it superseded.
    market.publish(("5", 50, 106, 1, 400))
    again = _of_batch(market)
    assert [(one.bars, one.changed) for one in again.reach.charts] == [(1, 1), (1, 1)]


def test_a_late_trade_moves_every_bar_after_it_and_one_in_its_turn_reaches_none(markets: Callable[[], Any]) -> None:
    market = _market(markets, Chart.of("tick", "3"))
    market.publish(("20", 35, 99, 1, 300))
    late = _of_batch(market)
    assert [(one.why, one.detail) for one in late.reach.changes] == [("late", "trade 20 came late")]
    assert _bars(market, late) == [("tick", [40, 70, 100])]
    assert [one.changed for one in late.reach.charts] == [3]
    market.publish(("13", 130, 99, 1, 310))
    assert _of_batch(market).reach.changes == []


def test_by_symbol_only_what_was_changed_in_that_time_counts(markets: Callable[[], Any]) -> None:
    market = _market(markets, Chart.of("tick", "3"))
    market.publish(("2", 20, 90, 1, 300), ("11", 110, 95, 0, 300))
    market.advance()
    moments = market.conn.execute(
        "select timestamp from raw.trades where trade_id in ('2', '11') group by 1 order by 1"
    ).fetchall()
    for (moment,), detail in zip(
        moments, ("trade 2 price 97 -> 90", "trade 11 price 97 -> 95, size 1 -> 0"), strict=True
    ):
        with market.conn.transaction():
            found = blast_radius(market.conn, Asked(symbol=market.symbol, first=moment, last=moment))
        assert [one.detail for one in found.reach.changes] == [detail]
