"""What a split does to an order that is still on its way: it asks for the new shares.

Pure. A broker adjusts open orders on the ex-date as it adjusts positions; without this a SELL of all shares decided
before a 2:1 split would leave half of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal

from trading.nouns import OrderIntent, Split, price, product, quotient, whole_lots


def after_splits(
    intent: OrderIntent, splits: Iterable[Split], decided_on: date, fills_on: date, lot_size: Decimal = Decimal(1)
) -> OrderIntent:
    """Return the order in the shares of the day it fills: quantity x ratio in whole lots, price over ratio.

    Args:
        splits: Splits of any symbol; those of the order's with decided_on < ex-date <= fills_on count.
    """
    for split in splits:
        if split.symbol == intent.symbol and decided_on < split.ex_date <= fills_on:
            intent = replace(
                intent,
                quantity=whole_lots(product(intent.quantity, split.ratio), lot_size),
                decision_price_usd=price(quotient(intent.decision_price_usd, split.ratio)),
            )
    return intent
