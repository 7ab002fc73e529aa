"""Nothing is joined over a long gap: the series begins anew. And what left a window has left it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import stdev
from typing import Any

import pytest

from trading.errors import InputError

pytestmark = pytest.mark.engines

FIRST = date(2020, 1, 1)
COLUMNS = "sma_20, sma_50, ema_12, rsi_14, macd, bollinger_upper_20, atr_14, obv, return_1d, return_5d, return_20d, volatility_20d"


def bars(w: Any, symbol: str, first: date, number: int, seed: int = 0) -> list[Any]:
    made = []
    for n in range(number):
        price = Decimal(100 + (n + seed) * 37 % 11) + Decimal(n % 7) / 8
        made.append(w.Bar(symbol, first + timedelta(days=n), price, price + 1, price - 1, price, 1000 + n))
    return made


def indicators(w: Any, symbol: str, first: date) -> list[tuple[Any, ...]]:
    return w.all(
        f"select {COLUMNS} from features.indicators_as_of(features.active('marts.indicators'), 'infinity', %s)"
        " where symbol = %s and timestamp >= %s order by timestamp",
        2**62, symbol, first,
    )  # fmt: skip


def test_after_a_gap_longer_than_the_definition_allows_the_series_begins_anew(warehouse: Any) -> None:
    w = warehouse
    again = FIRST + timedelta(days=59 + 16)  # the last bar before is of day 59
    w.publish(
        "sample", bars(w, "GAP", FIRST, 60) + bars(w, "GAP", again, 60, seed=5) + bars(w, "NEW", again, 60, seed=5)
    )
    w.advance()
    after = indicators(w, "GAP", again)
    assert after == indicators(w, "NEW", again)
    assert after[0] == (None,) * 7 + (1000.0,) + (None,) * 4
    assert after[49][1] is not None


def test_a_gap_within_the_limit_is_bridged(warehouse: Any) -> None:
    w = warehouse
    again = FIRST + timedelta(days=59 + 15)
    w.publish("sample", bars(w, "GAP", FIRST, 60) + bars(w, "GAP", again, 2))
    w.advance()
    assert None not in indicators(w, "GAP", again)[0]


def test_a_late_bar_in_the_gap_joins_the_series_from_when_it_is_known(warehouse: Any) -> None:
    w = warehouse
    again = FIRST + timedelta(days=59 + 20)
    w.publish("sample", bars(w, "GAP", FIRST, 60) + bars(w, "GAP", again, 3))
    w.advance()
    assert indicators(w, "GAP", again)[0][0] is None
    late = FIRST + timedelta(days=70)
    known = datetime.fromisoformat("2021-01-01T00:00:00+00:00")
    price = Decimal(100)
    w.publish("sample", [w.Bar("GAP", late, price, price, price, price, 5, known)])
    w.advance()
    assert None not in indicators(w, "GAP", again)[0]
    before = w.one(
        "select sma_20 from features.indicators_as_of(features.active('marts.indicators'), %s, %s)"
        " where timestamp = %s",
        known - timedelta(seconds=1), 2**62, again,
    )  # fmt: skip
    assert before is None


def test_a_wild_price_leaves_nothing_in_the_windows_that_it_left(warehouse: Any) -> None:
    """A running sum of squares would keep its rounding, 1e-4 and more, for ever."""
    w = warehouse
    series = bars(w, "WILD", FIRST, 120)
    wild = Decimal(90_000_000)
    series[30] = w.Bar("WILD", series[30].day, wild, wild, wild, wild, 1)
    w.publish("sample", series)
    w.advance()
    closes = [float(bar.close) for bar in series]
    returns = [(b - a) / a for a, b in pairwise(closes)]
    for place in range(100, 120):
        found = indicators(w, "WILD", series[place].day)[0]
        assert found[0] == pytest.approx(sum(closes[place - 19 : place + 1]) / 20, rel=1e-12)
        assert found[-1] == pytest.approx(stdev(returns[place - 20 : place]), rel=1e-12)


def _months_after(first: date, number: int) -> date:
    months = first.year * 12 + first.month - 1 + number
    return date(months // 12, months % 12 + 1, 1)


def test_weeks_and_months_go_on_from_bar_to_bar_and_begin_anew_after_their_own_gap(warehouse: Any) -> None:
    w = warehouse
    monday, plain = date(2020, 1, 6), bars(w, "AAA", FIRST, 62)
    places = [*range(60), 64, 65]  # 35 days after the 60th week is allowed, as is the third month after the 60th
    weeks = [replace(bar, day=monday + timedelta(weeks=n)) for n, bar in zip(places, plain, strict=True)]
    months = [replace(bar, day=_months_after(FIRST, n - (n >= 64) * 2)) for n, bar in zip(places, plain, strict=True)]
    broken = [replace(bar, day=monday + timedelta(weeks=n + (n > 59))) for n, bar in zip(places, plain, strict=True)]
    w.publish("sample", weeks, interval="1w")
    w.publish("sample", months, interval="1mo")
    w.publish("files", broken, interval="1w")
    w.advance()
    rows = w.all(
        "select source, interval, array_agg(return_1d order by timestamp), array_agg(sma_50 order by timestamp)"
        " from features.indicators_as_of(features.active('marts.indicators'), 'infinity', %s) group by 1, 2 order by 1, 2",
        2**62,
    )
    by_hand = [None] + [float(later.close) / float(bar.close) - 1 for bar, later in pairwise(plain)]
    for source, interval, returns, means in rows[1:]:
        assert (source, returns) == ("sample", pytest.approx(by_hand)), interval
        assert means.index(next(mean for mean in means if mean is not None)) == 49
    assert [row[1] for row in rows] == ["1w", "1mo", "1w"]
    assert [n for n, value in enumerate(rows[0][2]) if value is None] == [0, 60]
    weekly = w.store.newest_service("weekly", ["return_1d"], "marts.indicators")
    frame = w.store.features(weekly, ["AAA"], source="sample", interval="1w")
    assert frame["timestamp"].dt.day_of_week.unique().tolist() == [0]
    assert frame["return_1d"].tolist()[1:] == pytest.approx(by_hand[1:])
    with pytest.raises(
        InputError, match=r"expected the interval 1d, found '1w': features\.daily has a row, once a session"
    ):
        w.store.features(w.store.newest_service("daily"), ["AAA"], interval="1w")
