"""The loop and the backtest book the same amounts, to the last digit, for the same decisions."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from trading.backtest import BacktestSettings, run_backtest
from trading.costs import Costs
from trading.nouns import Action, Bar, Decision, Split
from trading.series import MarketSeries

pytestmark = pytest.mark.engines
SPLIT_AT = 4
COSTS = Costs(per_share_usd=Decimal("0.013"), minimum_usd=Decimal("1.5"), slippage_bps=Decimal(7))


class Scripted:
    """Decides by looking its bar up: the close and volume of a state name it."""

    kind = "scripted"
    sha256 = ""

    def __init__(self, actions: dict[float, int]) -> None:
        self.actions = actions

    def to_bytes(self) -> bytes:
        return b""

    def decide(self, vectors):
        return [Decision(Action(self.actions[row[0]]), 1.0) for row in vectors]


@pytest.mark.parametrize("seed", range(6))
def test_session_equals_backtest_to_the_last_digit(world, seed):
    draw = random.Random(seed)
    bars = _bars(world)
    split_day = sorted({bar.timestamp.date() for bar in bars})[SPLIT_AT]
    world.bars.publish_split("BBB", split_day, "2")
    actions = {(bar.symbol, bar.timestamp.date()): draw.choice([0, 1, 1, 2]) for bar in bars}
    world.script.actions = actions
    world.run(costs=COSTS)
    numbered = {bar: float(place) for place, bar in enumerate(bars, start=1)}
    series = [
        MarketSeries(
            symbol,
            tuple(bar for bar in bars if bar.symbol == symbol),
            np.array([[numbered[bar], 50, 0, 1, 0, 0] for bar in bars if bar.symbol == symbol], dtype=np.float64),
            {SPLIT_AT: (Split("BBB", split_day, Decimal(2)),)} if symbol == "BBB" else {},
        )
        for symbol in ("AAA", "BBB")
    ]
    model = Scripted({numbered[bar]: actions[(bar.symbol, bar.timestamp.date())] for bar in bars})
    expected = run_backtest(model, series, BacktestSettings(Decimal(10_000), COSTS))

    snapshots = world.rows("select timestamp, cash_usd, equity_usd from trading.portfolio_snapshots order by 1")
    assert snapshots == [(one.timestamp, one.cash_usd, one.equity_usd) for one in expected.snapshots]
    fills = world.rows(
        "select symbol, side, quantity, price_usd, commission_usd, slippage_usd from trading.fills"
        " order by timestamp, side desc, symbol"
    )
    assert fills == [
        (fill.symbol, fill.side.value, fill.quantity, fill.price_usd, fill.commission_usd, fill.slippage_usd)
        for fill in expected.fills
    ]
    assert fills


def _bars(world) -> list[Bar]:
    rows = world.rows(
        "select b.symbol, b.timestamp, c.opens_at, b.known_at, b.open, b.high, b.low, b.close, b.volume"
        " from raw.price_bars as b join trading.calendar_sessions as c on c.session_date = b.timestamp::date order by 2, 1"
    )
    assert all(row[3] - row[2] < timedelta(days=1) for row in rows)
    return [Bar(*row) for row in rows]
