from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from trading.costs import FREE, Costs
from trading.errors import InputError
from trading.execution import after_split, execute, fill_order, first_bar_reached
from trading.nouns import Fill, OrderIntent, Side, Split
from trading.risk import DenialReason, Denied

AS_OF = datetime(2020, 1, 1, 21, tzinfo=UTC)


def intent_of(side: Side = Side.BUY, quantity: str = "100", symbol: str = "AAA") -> OrderIntent:
    return OrderIntent(f"{symbol}-{side}", symbol, side, Decimal(quantity), AS_OF, Decimal(10))


def test_daily_order_fills_at_the_next_sessions_open(make_bar):
    bars = [make_bar("AAA", day, "10", "11") for day in range(3)]
    assert first_bar_reached(bars, bars[0].known_at) is bars[1]


def test_order_meets_a_bar_that_starts_exactly_at_as_of_plus_latency(make_bar):
    bars = [make_bar("AAA", day, "10", "11") for day in range(3)]
    latency = bars[1].opens_at - AS_OF
    assert first_bar_reached(bars, AS_OF, latency) is bars[1]
    assert first_bar_reached(bars, AS_OF, latency + timedelta(microseconds=1)) is bars[2]


def test_order_after_the_last_bar_waits(make_bar):
    assert first_bar_reached([make_bar("AAA", 0, "10", "11")], AS_OF) is None


def test_fill_is_at_the_raw_open_with_costs(make_bar):
    fill = execute(intent_of(), make_bar("AAA", 1, "10", "99"), Decimal(100_000), Costs())
    assert isinstance(fill, Fill)
    assert (fill.price_usd, fill.quantity, fill.commission_usd, fill.slippage_usd) == (
        Decimal("10.005"),
        100,
        1,
        Decimal("0.5"),
    )
    assert fill.fill_id == "AAA-buy.1"


def test_gapped_open_shrinks_a_buy_to_the_cash(make_bar):
    fill = execute(intent_of(quantity="100"), make_bar("AAA", 1, "20", "20"), Decimal(1_000), FREE)
    assert isinstance(fill, Fill)
    assert fill.quantity == 50


def test_buy_of_less_than_one_lot_is_refused_as_a_value(make_bar):
    outcome = execute(intent_of(), make_bar("AAA", 1, "2000", "20"), Decimal(1_000), FREE)
    assert isinstance(outcome, Denied)
    assert outcome.reason is DenialReason.INSUFFICIENT_CASH
    assert outcome.details["available_usd"] == "1000"


def test_sell_fills_in_full_without_cash(make_bar):
    fill = execute(intent_of(Side.SELL), make_bar("AAA", 1, "20", "20"), Decimal(0), Costs())
    assert isinstance(fill, Fill)
    assert fill.quantity == 100


def test_bar_of_another_symbol_is_refused(make_bar):
    with pytest.raises(InputError, match="bar of AAA"):
        execute(intent_of(), make_bar("BBB", 1, "20", "20"), Decimal(1), FREE)


def test_sales_fill_before_purchases_and_then_by_name():
    intents = [intent_of(Side.BUY, symbol="A"), intent_of(Side.SELL, symbol="Z"), intent_of(Side.SELL, symbol="B")]
    assert [(one.side, one.symbol) for one in fill_order(intents)] == [("sell", "B"), ("sell", "Z"), ("buy", "A")]


def test_a_waiting_order_follows_a_split_of_its_symbol():
    waiting = intent_of(Side.SELL, quantity="101")
    moved = after_split(waiting, Split("AAA", date(2020, 1, 2), Decimal("1.5")))
    assert moved is not None
    assert (moved.quantity, moved.decision_price_usd) == (151, Decimal("6.666667"))
    assert after_split(waiting, Split("BBB", date(2020, 1, 2), Decimal(2))) == waiting
    assert after_split(waiting, Split("AAA", date(2020, 1, 2), Decimal("0.001"))) is None
