"""When and at what price an order fills: the one fill rule of replay, backtest, paper and the learning environment.

An order decided at `as_of` fills at the raw open of the first bar that STARTS at or after as_of + latency (a daily
order: at the next session's open), all of it or what the cash allows. Costs live in costs.py, booking in
portfolio.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from trading.costs import Costs
from trading.errors import InputError
from trading.nouns import Bar, Fill, OrderIntent, Side, Split, product, usd, whole_lots
from trading.portfolio import split_reference_price
from trading.risk import DenialReason, Denied, denied


def reaches(bar_opens_at: datetime, as_of: datetime, latency: timedelta = timedelta(0)) -> bool:
    """Return whether an order decided at `as_of` can meet the open of a bar."""
    return bar_opens_at >= as_of + latency


def first_bar_reached(bars: Iterable[Bar], as_of: datetime, latency: timedelta = timedelta(0)) -> Bar | None:
    """Return the bar, in time order, at whose open an order decided at `as_of` fills; None if there is none yet."""
    return next((bar for bar in bars if reaches(bar.opens_at, as_of, latency)), None)


def fill_order(intents: Iterable[OrderIntent]) -> list[OrderIntent]:
    """Return the orders of one bar in the order they fill: sales first, so that their cash is there, then by name."""
    return sorted(intents, key=lambda intent: (intent.side is Side.BUY, intent.symbol, intent.client_order_id))


def after_split(intent: OrderIntent, split: Split, lot_size: Decimal = Decimal(1)) -> OrderIntent | None:
    """Return a waiting order in new shares, or None if less than one lot is left of it.

    A split between decision and open changes what a share is: an order for all shares held must stay one.
    """
    if split.symbol != intent.symbol:
        return intent
    quantity = whole_lots(usd(product(intent.quantity, split.ratio)), lot_size)
    decided = split_reference_price(intent.decision_price_usd, split.ratio)
    return replace(intent, quantity=quantity, decision_price_usd=decided) if quantity else None


def execute(
    intent: OrderIntent, bar: Bar, cash_usd: Decimal, costs: Costs, lot_size: Decimal = Decimal(1)
) -> Fill | Denied:
    """Return the fill of an order at a bar's open.

    A BUY that the open or the costs have made too dear shrinks to the whole lots that `cash_usd` pays for; if that is
    not one lot it is INSUFFICIENT_CASH. A SELL always fills in full.

    Raises:
        InputError: the bar is another symbol's.
    """
    if bar.symbol != intent.symbol:
        raise InputError(f"expected a bar of {intent.symbol}, found one of {bar.symbol}")
    quantity = intent.quantity
    if intent.side is Side.BUY:
        quantity = costs.affordable_quantity(cash_usd, bar.open, intent.quantity, lot_size)
        if not quantity:
            return denied(
                DenialReason.INSUFFICIENT_CASH,
                symbol=intent.symbol,
                quantity=intent.quantity,
                open_usd=bar.open,
                available_usd=cash_usd,
            )
    amounts = costs.amounts(intent.side, quantity, bar.open)
    return Fill(
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=intent.side,
        quantity=quantity,
        price_usd=amounts.price_usd,
        raw_open_usd=bar.open,
        notional_usd=amounts.notional_usd,
        commission_usd=amounts.commission_usd,
        slippage_usd=amounts.slippage_usd,
        filled_at=bar.opens_at,
        bar_timestamp=bar.timestamp,
        bar_id=bar.bar_id,
        bar_hash=bar.row_hash,
    )
