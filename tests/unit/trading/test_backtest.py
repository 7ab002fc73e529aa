from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from trading.backtest import BacktestSettings, run_backtest
from trading.costs import FREE, Costs
from trading.errors import InputError
from trading.nouns import Action, Bar, Decision, Side, Split
from trading.risk import DenialReason, RiskLimits
from trading.series import MarketSeries, market_series
from trading.strategy import FEATURE_COLUMNS, BuyAndHold, MacdCross


class Script:
    """Answers from a list, one action per call and row."""

    kind = "script"
    sha256 = ""

    def __init__(self, *actions: Action) -> None:
        self.actions = list(actions)

    def decide(self, vectors: np.ndarray) -> list[Decision]:
        return [Decision(self.actions.pop(0) if self.actions else Action.HOLD, 1.0) for _ in vectors]

    def to_bytes(self) -> bytes:
        return b""


def series_of(make_bar, prices: list[tuple[str, str]], symbol: str = "AAA", splits=None) -> MarketSeries:
    bars = tuple(make_bar(symbol, day, opened, closed) for day, (opened, closed) in enumerate(prices))
    states = np.array([[float(closed), 50.0, 1.0, 1.0, 0.0, 0.0] for _, closed in prices])
    return MarketSeries(symbol, bars, states, splits or {})


def test_decision_at_a_close_fills_at_the_next_open_by_hand(make_bar):
    series = series_of(make_bar, [("10", "10"), ("11", "12"), ("13", "14"), ("15", "16")])
    result = run_backtest(Script(Action.BUY, Action.HOLD, Action.SELL), [series], BacktestSettings(Decimal(1000), FREE))
    buy, sell = result.fills
    assert (buy.side, buy.quantity, buy.price_usd) == (Side.BUY, 90, Decimal(11))  # 100 wanted at 10, 90 paid for at 11
    assert (sell.side, sell.quantity, sell.price_usd) == (Side.SELL, 90, Decimal(15))
    assert result.equity_usd == (1000, 10 + 90 * 12, 10 + 90 * 14, 10 + 90 * 15)


def test_what_costs_more_than_the_account_is_bought_in_parts_where_its_lot_is_a_part(make_bar):
    whole = series_of(make_bar, [("3000", "3000"), ("4000", "3000"), ("3000", "3000")])
    parts = replace(whole, lot_size=Decimal("0.00001"))
    terms = BacktestSettings(Decimal(1000), FREE)
    assert run_backtest(Script(Action.BUY), [whole], terms).fills == ()
    (fill,) = run_backtest(Script(Action.BUY), [parts], terms).fills
    assert fill.quantity == Decimal("0.25")  # 0.33333 wanted at 3000, 0.25 paid for at 4000
    assert parts.between(parts.bars[1].timestamp, parts.bars[2].timestamp).lot_size == Decimal("0.00001")


def test_decision_on_the_last_bar_never_fills(make_bar):
    series = series_of(make_bar, [("10", "10"), ("11", "12")])
    assert run_backtest(Script(Action.HOLD, Action.BUY), [series]).fills == ()


def test_split_between_decision_and_fill_keeps_value(make_bar):
    series = series_of(make_bar, [("10", "10"), ("10", "10"), ("5", "5")])
    split = replace(series, splits={2: (Split("AAA", series.bars[2].timestamp.date(), Decimal(2)),)})
    result = run_backtest(Script(Action.BUY), [split], BacktestSettings(Decimal(1000), FREE))
    assert result.equity_usd == (1000, 1000, 1000)
    assert result.snapshots[-1].quantities == {"AAA": 200}


def test_symbols_share_one_cash_account_at_equal_weights(make_bar):
    both = [series_of(make_bar, [("10", "10")] * 3, symbol) for symbol in ("BBB", "AAA")]
    result = run_backtest(BuyAndHold(), both, BacktestSettings(Decimal(1000), FREE))
    assert [(fill.symbol, fill.quantity) for fill in result.fills] == [("AAA", 50), ("BBB", 50)]


def test_second_buy_of_a_bar_sees_the_cash_the_first_was_promised(make_bar):
    grown = series_of(make_bar, [("10", "10"), ("10", "30"), ("30", "30"), ("30", "30")], "AAA")
    flat = series_of(make_bar, [("10", "10")] * 4, "BBB")
    script = Script(Action.BUY, Action.HOLD, Action.HOLD, Action.BUY)
    result = run_backtest(script, [grown, flat], BacktestSettings(Decimal(1000), FREE))
    assert result.refusals[0].denied.reason is DenialReason.INSUFFICIENT_CASH  # 1000 wanted, 500 there


def test_limits_refuse_with_a_reason(make_bar):
    series = series_of(make_bar, [("10", "10")] * 3)
    settings = BacktestSettings(Decimal(1000), FREE, RiskLimits(max_concentration=Decimal("0.5")))
    result = run_backtest(BuyAndHold(), [series], settings)
    assert {one.denied.reason for one in result.refusals} == {DenialReason.CONCENTRATION_EXCEEDED}
    assert result.fills == ()


def test_a_symbol_without_a_bar_keeps_its_last_mark_and_its_order(make_bar):
    full = series_of(make_bar, [("10", "10")] * 4, "AAA")
    late = series_of(make_bar, [("10", "10"), ("10", "10"), ("12", "12"), ("12", "12")], "BBB")
    gap = MarketSeries("BBB", (late.bars[0], *late.bars[2:]), late.states[[0, 2, 3]])
    result = run_backtest(BuyAndHold(), [full, gap], BacktestSettings(Decimal(1000), FREE))
    assert [(fill.symbol, fill.bar_timestamp) for fill in result.fills] == [
        ("AAA", full.bars[1].timestamp),
        ("BBB", late.bars[2].timestamp),
    ]


def test_costs_are_paid_once(make_world):
    series = make_world(bars=60, seed=5)
    free = run_backtest(MacdCross(), [series], BacktestSettings(costs=FREE))
    paid = run_backtest(MacdCross(), [series], BacktestSettings(costs=Costs()))
    assert len(free.fills) > 10
    assert paid.equity_usd[-1] < free.equity_usd[-1]
    commission = sum(
        posting.amount_usd
        for transaction in paid.transactions
        for posting in transaction.postings
        if posting.account == "expense:commission"
    )
    assert commission == sum(fill.commission_usd for fill in paid.fills)


def test_series_join_drops_the_warm_up_and_refuses_a_gap(make_bar):
    bars = [make_bar("AAA", day, "10", "10") for day in range(4)]
    features = pd.DataFrame(
        {
            "symbol": "AAA",
            "timestamp": [bar.timestamp for bar in bars],
            "close": 10.0,
            "rsi_14": [float("nan"), 50.0, 50.0, 50.0],
            "macd": 0.1,
            "volume": 5.0,
            "sentiment": 0.2,
        }
    )
    split = Split("AAA", bars[2].timestamp.date(), Decimal(2))
    (series,) = market_series(features, bars, [split])
    assert series.bars == tuple(bars[1:])
    assert series.states[0].tolist() == [10.0, 50.0, 0.1, 5.0, 0.0, 0.2]
    assert series.splits == {1: (split,)}
    with pytest.raises(InputError, match="2020-01-03"):
        market_series(features.drop(index=2), bars)
    with pytest.raises(InputError, match="rsi_14"):
        market_series(features.drop(columns="rsi_14"), bars)


def test_part_of_a_series_keeps_its_splits(make_world):
    series = make_world(bars=20, splits={8: "2"})
    part = series.between(series.bars[5].timestamp, series.bars[10].timestamp)
    assert len(part) == 6
    assert part.splits == {3: series.splits[8]}


def hours_of(symbol: str, split_at: int, ratio: int) -> MarketSeries:
    """Two sessions of three hours each; since `split_at` (a bar's place) everything is in new shares."""
    opens = [datetime(2024, 6, day, hour, 30, tzinfo=UTC) for day in (7, 10) for hour in (13, 14, 15)]
    closes = ["1200", "1210", "1190", "1180", "1250", "1240"]
    prices = [Decimal(close) / (ratio if place >= split_at else 1) for place, close in enumerate(closes)]
    bars = [
        Bar(symbol, at, at, at + timedelta(hours=1), price, price, price, price, Decimal(100))
        for at, price in zip(opens, prices, strict=True)
    ]
    features = pd.DataFrame({"symbol": symbol, "timestamp": opens, **dict.fromkeys(FEATURE_COLUMNS, 1.0)})
    splits = [Split(symbol, date(2024, 6, 10), Decimal(ratio))] if ratio > 1 else []
    (made,) = market_series(features, bars, splits)
    return made


@pytest.mark.parametrize("buys_at", [0, 2])  # held over the weekend, or ordered with Friday's last bar
def test_a_split_between_two_sessions_moves_positions_and_waiting_orders_of_hourly_bars(buys_at: int) -> None:
    script = [Action.HOLD] * buys_at + [Action.BUY, *[Action.HOLD] * (3 - buys_at), Action.SELL]
    plain, split = (
        run_backtest(Script(*script), [hours_of("AAA", 3, ratio)], BacktestSettings(Decimal(12_000), FREE))
        for ratio in (1, 10)
    )
    assert split.equity_usd == plain.equity_usd  # no cent is made or lost by it
    bought, sold = ([fill.quantity for fill in one.fills] for one in (plain, split))
    # 12,000 USD at 1,200 are ten, of which 1,210 pays for nine; at 1,190 they are ten, which 1,180 or 118 pays for.
    assert (bought, sold) == (([9, 9], [9, 90]) if buys_at == 0 else ([10, 10], [100, 100]))
