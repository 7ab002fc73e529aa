"""The survivorship and the restatement difference of literal series, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from trading.backtest import BacktestSettings
from trading.costs import Costs
from trading.evaluation.comparison import Returns, compared
from trading.nouns import Bar
from trading.series import MarketSeries
from trading.strategy import BuyAndHold, MacdCross

FREE = BacktestSettings(costs=Costs(Decimal(0), Decimal(0), Decimal(0)))


def series(symbol: str, *closes: int) -> MarketSeries:
    """Bars that open where the one before closed; MACD is negative throughout, so that the rule never buys."""
    bars = []
    for place, close in enumerate(closes):
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=place)
        opened = Decimal(closes[max(place - 1, 0)])
        high, low = max(opened, Decimal(close)), min(opened, Decimal(close))
        when = (at, at + timedelta(hours=14), at + timedelta(hours=21))
        bars.append(Bar(symbol, *when, opened, high, low, Decimal(close), Decimal(100), "files", "1d"))
    states = np.array([[float(close), 50.0, -1.0, 100.0, 0.0, 0.0] for close in closes])
    return MarketSeries(symbol, tuple(bars), states)


def test_what_survived_and_what_was_restated_are_told_apart() -> None:
    whole, dead = series("AAA", 100, 100, 100, 110), series("DEAD", 100, 100, 50)
    restated = replace(whole, bars=(*whole.bars[:3], replace(whole.bars[3], high=Decimal(120), close=Decimal(120))))
    found = compared(MacdCross(), [whole, dead], [whole], [restated, dead], FREE)
    # 50,000 USD each at 100: 500 shares. 500 x 110 + 500 x 50 = 80,000; all of it in AAA: 110,000; restated: 85,000.
    assert found.as_it_was == Returns(pytest.approx(-0.20), 0.0)
    assert found.survivorship == Returns(pytest.approx(0.30), 0.0)
    assert found.restatement == Returns(pytest.approx(0.05), 0.0)


def test_the_model_is_walked_as_buy_and_hold_is() -> None:
    whole, dead = series("AAA", 100, 100, 100, 110), series("DEAD", 100, 100, 50)
    found = compared(BuyAndHold(), [whole, dead], [whole], [whole, dead], FREE)
    assert found.survivorship.model == pytest.approx(0.30)
    assert found.restatement == Returns(0.0, 0.0)


def test_a_universe_of_nobody_is_cash() -> None:
    whole = series("AAA", 100, 100, 110)
    assert compared(BuyAndHold(), [whole], [], [whole], FREE).todays_members == Returns(0.0, 0.0)
