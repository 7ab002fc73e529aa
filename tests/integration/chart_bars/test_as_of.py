"""Stored chart bars as known at any (t, w) are the bars of the trades known then, whatever came late or was corrected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from trading.adapters import chart_feeds
from trading.chart_bars.chart import Chart

pytestmark = pytest.mark.engines

CHARTS = [
    Chart.of("tick", "3"),
    Chart.of("volume", "10"),
    Chart.of("dollar", "900"),
    Chart.of("range", "4"),
    Chart.of("renko", "2"),
    Chart.of("time", "1m"),
    Chart.of("heikin_ashi", "1m"),
]
# Moments in tens of seconds, ids that come again (corrections, which may move a trade), sizes of 0 (withdrawals).
VERSIONS = st.builds(
    lambda name, at, price, size, late: (str(name), at * 10, 90 + price, size, at * 10 + late * 10),
    st.integers(1, 14),
    st.integers(0, 30),
    st.integers(0, 9),
    st.integers(0, 7),
    st.integers(0, 40),
)
BATCHES = st.lists(st.lists(VERSIONS, min_size=1, max_size=8, unique_by=lambda one: one[0]), min_size=1, max_size=5)
LATE = [  # in order; then a trade between them, a correction, a withdrawal, and one before all
    [(str(n), n * 10, 95 + n % 3, 2 + n % 4, n * 10 + 5) for n in range(1, 13)],
    [("50", 35, 99, 9, 200)],
    [("5", 50, 97, 1, 210), ("8", 80, 95, 0, 210)],
    [("60", 1, 91, 4, 1)],
]


@pytest.mark.parametrize(("together", "first", "block"), [(False, 5_000, 50_000), (True, 2, 3)])
def test_as_of_any_time_and_watermark_the_bars_are_those_of_the_trades_known_then(
    markets: Callable[[], Any], together: bool, first: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart_feeds, "FIRST_LOOK", first)
    monkeypatch.setattr(chart_feeds, "BLOCK", block)
    check(markets, LATE, together)


@pytest.mark.long
@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.generate],  # shrinking would publish for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=BATCHES, together=st.booleans())
def test_however_trades_come_the_bars_are_those_known_then(
    markets: Callable[[], Any], batches: list[list[Any]], together: bool
) -> None:
    check(markets, batches, together)


def check(markets: Callable[[], Any], batches: list[list[Any]], together: bool) -> None:
    market = markets()
    several = [market.declare(chart) for chart in CHARTS]
    marks = []
    for number, batch in enumerate(batches):
        market.publish(*batch)
        if not together or number % 2:
            marks.append(market.advance())
    marks.append(market.advance())
    times = sorted({0.0, *(one.known for one in market.published), *(one.known - 1 for one in market.published), 9e5})
    for series in several:
        stored = market.versions(series)
        for mark, at in product(marks, times):
            expected = market.expected(series.chart, at, mark)
            told: Any = (series.chart.style, at, mark)
            assert (told, in_force(stored, moment(at), mark)) == (told, expected)
        assert market.bars(series, times[-1], marks[-1]) == expected
        assert market.bars(series, times[len(times) // 2], marks[0]) == in_force(
            stored, moment(times[len(times) // 2]), marks[0]
        )


def moment(seconds: float) -> datetime:
    return datetime(2024, 6, 3, 14, tzinfo=UTC) + timedelta(seconds=seconds)


def in_force(stored: list[Any], as_of: datetime, up_to: int) -> list[tuple[Any, ...]]:
    newest = {row[3:5]: row for row in stored if row[0] <= as_of and row[1] <= up_to}
    return sorted(row[3:] for row in newest.values() if not row[2])
