from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.costs import FREE, Costs
from trading.errors import InputError
from trading.nouns import Side

COSTS = Costs(per_share_usd=Decimal("0.005"), minimum_usd=Decimal("1"), slippage_bps=Decimal("5"))


def test_buy_pays_above_and_sell_receives_below_the_open():
    assert COSTS.fill_price_usd(Side.BUY, Decimal("100")) == Decimal("100.050000")
    assert COSTS.fill_price_usd(Side.SELL, Decimal("100")) == Decimal("99.950000")


def test_fill_price_rounds_half_even_at_six_places():
    one_bp = Costs(slippage_bps=Decimal("1"))
    assert one_bp.fill_price_usd(Side.BUY, Decimal("0.005000")) == Decimal("0.005000")  # 0.0050005 -> even
    assert one_bp.fill_price_usd(Side.BUY, Decimal("0.015000")) == Decimal("0.015002")  # 0.0150015 -> even


@pytest.mark.parametrize(("quantity", "fee"), [("100", "1"), ("200", "1"), ("201", "1.005"), ("1000", "5")])
def test_commission_is_per_share_with_a_minimum(quantity, fee):
    assert COSTS.commission_usd(Decimal(quantity), Decimal("1000000")) == Decimal(fee)


def test_commission_never_exceeds_the_trade():
    assert COSTS.amounts(Side.SELL, Decimal(1), Decimal("0.4")).commission_usd == Decimal("0.3998")


def test_amounts_of_one_trade_by_hand():
    amounts = COSTS.amounts(Side.BUY, Decimal(300), Decimal("10.01"))
    assert amounts.price_usd == Decimal("10.015005")
    assert amounts.notional_usd == Decimal("3004.5015")
    assert amounts.commission_usd == Decimal("1.5")
    assert amounts.slippage_usd == Decimal("1.5015")


def test_quantity_and_open_must_be_positive():
    with pytest.raises(InputError, match="positive"):
        COSTS.amounts(Side.BUY, Decimal(0), Decimal(10))
    with pytest.raises(InputError, match="positive"):
        COSTS.amounts(Side.BUY, Decimal(1), Decimal(0))


@pytest.mark.parametrize(
    "wrong", [{"slippage_bps": Decimal(10_000)}, {"slippage_bps": Decimal(-1)}, {"minimum_usd": Decimal(-1)}]
)
def test_costs_that_pay_the_trader_are_refused(wrong):
    with pytest.raises(InputError):
        Costs(**wrong)


def test_stored_costs_come_back_equal():
    assert Costs.from_dict(COSTS.to_dict()) == COSTS


@settings(deadline=None)
@given(
    cash=st.decimals(min_value=0, max_value=10**7, places=8),
    opened=st.decimals(min_value="0.01", max_value=5000, places=6),
    wanted=st.integers(1, 10**6),
)
def test_affordable_quantity_is_the_largest_that_cash_pays_for(cash, opened, wanted):
    """The oracle pays in exact fractions, share by share of the definition."""
    price = Fraction(COSTS.fill_price_usd(Side.BUY, opened))

    def outlay(shares: int) -> Fraction:
        fee = max(shares * Fraction(5, 1000), Fraction(1))
        return shares * price + fee

    found = int(COSTS.affordable_quantity(cash, opened, Decimal(wanted)))
    assert 0 <= found <= wanted
    if found:
        assert outlay(found) <= Fraction(cash)
    if found < wanted:
        assert outlay(found + 1) > Fraction(cash)


def test_fractional_lots_never_cost_more_than_the_cash():
    cash = Decimal("10.00000001")
    shares = FREE.affordable_quantity(cash, Decimal("3"), Decimal(100), lot_size=Decimal("0.00000001"))
    assert shares == Decimal("3.33333333")


def test_no_cash_buys_nothing():
    assert COSTS.affordable_quantity(Decimal("-5"), Decimal(1), Decimal(10)) == 0
