"""What a trade costs: commission and slippage. Pure: an order's numbers in, amounts out.

When an order fills lives in execution.py; who pays, in portfolio.py. The environment, the backtester, the paper broker
and the ledger all read costs here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from trading.errors import InputError
from trading.nouns import Side, price, product, quotient, usd, whole_lots

DEFAULT_PER_SHARE_USD = Decimal("0.005")  # half a cent per share: a common US equity schedule
DEFAULT_MINIMUM_USD = Decimal("1")  # one dollar per order
DEFAULT_SLIPPAGE_BPS = Decimal("5")  # five hundredths of a percent of the open
_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class TradeAmounts:
    """One trade in dollars. Cash moves by notional and commission; slippage is inside `price_usd`."""

    price_usd: Decimal
    notional_usd: Decimal
    commission_usd: Decimal
    slippage_usd: Decimal


@dataclass(frozen=True, slots=True)
class Costs:
    """Per-share commission with a minimum per order, and slippage proportional to the price.

    price      = open x (1 + slippage_bps / 10_000) for a BUY, open x (1 - slippage_bps / 10_000) for a SELL, 6 decimals
    commission = max(quantity x per_share_usd, minimum_usd), and never more than the trade itself is worth, 8 decimals
    slippage   = quantity x |price - open|, 8 decimals

    The cap keeps the sale of a worthless position from making cash negative. Zipline's PerShare and FixedBasisPoints
    have the same forms.
    """

    per_share_usd: Decimal = DEFAULT_PER_SHARE_USD
    minimum_usd: Decimal = DEFAULT_MINIMUM_USD
    slippage_bps: Decimal = DEFAULT_SLIPPAGE_BPS

    def __post_init__(self) -> None:
        """Refuse costs that would pay the trader, or a sale at a price of zero."""
        if self.per_share_usd < 0 or self.minimum_usd < 0:
            raise InputError(f"expected a commission of 0 or more, found {self.per_share_usd} and {self.minimum_usd}")
        if not 0 <= self.slippage_bps < _BPS:
            raise InputError(f"expected slippage_bps from 0 to below 10000, found {self.slippage_bps}")

    def fill_price_usd(self, side: Side, open_usd: Decimal) -> Decimal:
        """Return the price paid or received per share when the bar opens at `open_usd` (raw)."""
        signed_bps = self.slippage_bps if side is Side.BUY else -self.slippage_bps
        return price(product(open_usd, 1 + signed_bps / _BPS))

    def commission_usd(self, quantity: Decimal, notional_usd: Decimal) -> Decimal:
        """Return the fee of one fill of `quantity` shares worth `notional_usd`."""
        return usd(min(max(product(quantity, self.per_share_usd), self.minimum_usd), notional_usd))

    def amounts(self, side: Side, quantity: Decimal, open_usd: Decimal) -> TradeAmounts:
        """Return the dollars of trading `quantity` shares at an open.

        Raises:
            InputError: `quantity` or `open_usd` is not positive.
        """
        if not quantity > 0 or not open_usd > 0:
            raise InputError(f"expected a positive quantity and open, found {quantity} and {open_usd}")
        price_usd = self.fill_price_usd(side, open_usd)
        notional_usd = usd(product(quantity, price_usd))
        return TradeAmounts(
            price_usd=price_usd,
            notional_usd=notional_usd,
            commission_usd=self.commission_usd(quantity, notional_usd),
            slippage_usd=usd(product(quantity, abs(price_usd - open_usd))),
        )

    def affordable_quantity(
        self, cash_usd: Decimal, open_usd: Decimal, quantity: Decimal, lot_size: Decimal = Decimal(1)
    ) -> Decimal:
        """Return the most whole lots, `quantity` at most, that `cash_usd` buys with all costs; zero if not one lot."""
        price_usd = self.fill_price_usd(Side.BUY, open_usd)
        by_share = quotient(max(cash_usd, Decimal(0)), price_usd + self.per_share_usd)
        by_minimum = quotient(max(cash_usd - self.minimum_usd, Decimal(0)), price_usd)
        shares = whole_lots(min(quantity, by_share, by_minimum), lot_size)
        while shares > 0 and self._outlay_usd(shares, open_usd) > cash_usd:  # fractional lots may round up by 1e-8
            shares -= lot_size
        return max(shares, Decimal(0))

    def _outlay_usd(self, quantity: Decimal, open_usd: Decimal) -> Decimal:
        amounts = self.amounts(Side.BUY, quantity, open_usd)
        return amounts.notional_usd + amounts.commission_usd

    def to_dict(self) -> dict[str, str]:
        """Return the costs as a session stores them (decimals as text)."""
        return {
            "per_share_usd": str(self.per_share_usd),
            "minimum_usd": str(self.minimum_usd),
            "slippage_bps": str(self.slippage_bps),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, str]) -> Costs:
        """Return the costs that a session stored with `to_dict`."""
        return cls(**{name: Decimal(value) for name, value in stored.items()})


FREE = Costs(per_share_usd=Decimal(0), minimum_usd=Decimal(0), slippage_bps=Decimal(0))
