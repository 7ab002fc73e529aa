from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.costs import Costs
from trading.errors import LedgerError
from trading.nouns import Fill, Side, Split
from trading.portfolio import Portfolio, Posting, Transaction, TransactionKind, split_reference_price

NOW = datetime(2020, 1, 2, 14, 30, tzinfo=UTC)
COSTS = Costs()


def fill_of(side: Side, quantity: Decimal, open_usd: Decimal, costs: Costs = COSTS, symbol: str = "AAA") -> Fill:
    amounts = costs.amounts(side, quantity, open_usd)
    return Fill(
        client_order_id="o1",
        symbol=symbol,
        side=side,
        quantity=quantity,
        price_usd=amounts.price_usd,
        raw_open_usd=open_usd,
        notional_usd=amounts.notional_usd,
        commission_usd=amounts.commission_usd,
        slippage_usd=amounts.slippage_usd,
        filled_at=NOW,
        bar_timestamp=NOW,
    )


def test_buy_and_sell_book_cost_commission_and_gain_by_hand():
    portfolio, opening = Portfolio.opened(Decimal(10_000))
    assert opening.postings == (Posting("cash", Decimal(10_000)), Posting("equity:capital", Decimal(-10_000)))

    portfolio, bought = portfolio.after_fill(fill_of(Side.BUY, Decimal(100), Decimal("50")))
    assert bought.postings == (
        Posting("position:AAA", Decimal("5002.5")),
        Posting("expense:commission", Decimal(1)),
        Posting("cash", Decimal("-5003.5")),
    )
    portfolio, sold = portfolio.after_fill(fill_of(Side.SELL, Decimal(100), Decimal("60")))
    assert sold.postings == (
        Posting("cash", Decimal("5996.0")),
        Posting("expense:commission", Decimal(1)),
        Posting("position:AAA", Decimal("-5002.5")),
        Posting("income:realized_pnl", Decimal("-994.5")),
    )
    assert sold.realized_pnl_usd == Decimal("994.5")
    assert portfolio.cash_usd == Decimal("10992.5")
    assert portfolio.position("AAA").quantity == 0
    assert portfolio.position("AAA").cost_usd == 0


def test_postings_that_do_not_sum_to_zero_are_refused():
    with pytest.raises(LedgerError, match="sum to 0"):
        Transaction(TransactionKind.FILL, "AAA", (Posting("cash", Decimal("0.00000001")),))


def test_more_than_held_cannot_be_sold_nor_more_than_cash_paid():
    portfolio, _ = Portfolio.opened(Decimal(100))
    with pytest.raises(LedgerError, match="to sell"):
        portfolio.after_fill(fill_of(Side.SELL, Decimal(1), Decimal(1)))
    with pytest.raises(LedgerError, match="to pay"):
        portfolio.after_fill(fill_of(Side.BUY, Decimal(100), Decimal(1)))


def test_two_for_one_split_doubles_shares_at_the_same_cost():
    portfolio, _ = Portfolio.opened(Decimal(10_000))
    portfolio, _ = portfolio.after_fill(fill_of(Side.BUY, Decimal(101), Decimal("50")))
    cost = portfolio.position("AAA").cost_usd
    portfolio, transaction = portfolio.after_split(Split("AAA", date(2020, 1, 3), Decimal(2)), Decimal("25"))
    assert portfolio.position("AAA").quantity == 202
    assert portfolio.position("AAA").cost_usd == cost
    assert transaction is not None
    assert (transaction.postings, transaction.quantity_change) == ((), Decimal(101))


def test_fraction_of_a_split_is_paid_in_cash_with_its_part_of_the_cost():
    portfolio, _ = Portfolio.opened(Decimal(10_000))
    portfolio, _ = portfolio.after_fill(
        fill_of(Side.BUY, Decimal(101), Decimal("30"), Costs(Decimal(0), Decimal(0), Decimal(0)))
    )
    cash = portfolio.cash_usd
    portfolio, transaction = portfolio.after_split(Split("AAA", date(2020, 1, 3), Decimal("1.5")), Decimal("21"))
    assert portfolio.position("AAA").quantity == 151  # 151.5 owed
    assert portfolio.cash_usd == cash + Decimal("10.5")
    assert transaction is not None
    assert transaction.realized_pnl_usd == Decimal("0.5")  # half a share that cost 20 a share
    assert portfolio.position("AAA").cost_usd == Decimal(3020)


def test_split_of_what_is_not_held_does_nothing():
    portfolio, _ = Portfolio.opened(Decimal(100))
    assert portfolio.after_split(Split("AAA", date(2020, 1, 3), Decimal(2)), Decimal(1)) == (portfolio, None)


def test_value_needs_a_price_for_what_is_held_only():
    portfolio, _ = Portfolio.opened(Decimal(10_000))
    portfolio, _ = portfolio.after_fill(fill_of(Side.BUY, Decimal(10), Decimal("50")))
    with pytest.raises(LedgerError, match="price for AAA"):
        portfolio.value_usd({})
    assert portfolio.equity_usd({"AAA": Decimal(50)}) == Decimal("9998.75")


steps = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB"]),
        st.sampled_from(["buy", "sell", "split"]),
        st.integers(1, 500),
        st.decimals(min_value="0.5", max_value=900, places=6),
        st.sampled_from([Decimal(2), Decimal("1.5"), Decimal("0.1"), Decimal("1.0000000001"), Decimal(7)]),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(steps)
def test_equity_changes_only_by_price_moves_and_costs(walk):
    """At unmoved prices a fill changes equity by exactly -(commission + slippage), a split by less than half a cent."""
    portfolio, opening = Portfolio.opened(Decimal(1_000_000))
    journal = list(opening.postings)
    prices: dict[str, Decimal] = {}
    for symbol, what, quantity, price, ratio in walk:
        prices[symbol] = price
        before = portfolio.equity_usd(prices)
        transaction = None
        if what == "split":
            reference = split_reference_price(price, ratio)
            held = portfolio.quantity(symbol)
            portfolio, transaction = portfolio.after_split(Split(symbol, date(2020, 1, 3), ratio), reference)
            prices[symbol] = reference
            # what may differ is the rounding of the reference price and of the shares owed
            slack = held * ratio * Decimal("0.0000005") + reference * Decimal("0.00000001") + Decimal("0.00000002")
            assert abs(portfolio.equity_usd(prices) - before) <= slack
        else:
            side = Side.BUY if what == "buy" else Side.SELL
            shares = (
                COSTS.affordable_quantity(portfolio.cash_usd, price, Decimal(quantity))
                if side is Side.BUY
                else min(Decimal(quantity), portfolio.quantity(symbol))
            )
            if shares:
                fill = fill_of(side, shares, price, symbol=symbol)
                portfolio, transaction = portfolio.after_fill(fill)
                assert portfolio.equity_usd(prices) - before == -(fill.commission_usd + fill.slippage_usd)
        journal += transaction.postings if transaction else ()
        assert portfolio.cash_usd >= 0
    assert sum(posting.amount_usd for posting in journal) == 0
    balances: dict[str, Decimal] = {}
    for posting in journal:
        balances[posting.account] = balances.get(posting.account, Decimal(0)) + posting.amount_usd
    assert balances["cash"] == portfolio.cash_usd
    for symbol, position in portfolio.positions.items():
        assert balances.get(f"position:{symbol}", Decimal(0)) == position.cost_usd
        assert (position.quantity > 0) or (position.cost_usd == 0)
    assert -balances.get("income:realized_pnl", Decimal(0)) == sum(
        p.realized_pnl_usd for p in portfolio.positions.values()
    )
