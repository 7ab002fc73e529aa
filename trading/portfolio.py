"""Cash and positions: the pure core that every path of execution books through, and its double-entry journal.

A portfolio is a value; `after_fill` and `after_split` return the next one and the transaction that led there. Each
transaction's postings sum to exactly zero. Debits are positive:

    cash                      dollars held
    position:<SYMBOL>         what the shares held have cost (average cost)
    expense:commission        fees paid
    income:realized_pnl       gains of shares sold, as a credit (negative), before commission
    equity:capital            dollars put in, as a credit (negative)

Slippage is no posting: it is inside the fill's price, and reported beside it. Valuation at market is `value_usd`,
never a posting. When an order fills, and at what price, lives in execution.py and costs.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from trading.errors import LedgerError
from trading.nouns import (
    ZERO,
    Fill,
    PortfolioSnapshot,
    Position,
    Side,
    Split,
    price,
    product,
    quotient,
    usd,
    whole_lots,
)

CASH = "cash"
COMMISSION = "expense:commission"
REALIZED_PNL = "income:realized_pnl"
CAPITAL = "equity:capital"


def position_account(symbol: str) -> str:
    """Return the account that carries the cost of a symbol's shares."""
    return f"position:{symbol}"


class TransactionKind(StrEnum):
    """Why postings were made."""

    DEPOSIT = "deposit"
    FILL = "fill"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of the journal; debit positive, credit negative."""

    account: str
    amount_usd: Decimal


@dataclass(frozen=True, slots=True)
class Transaction:
    """Postings that belong together. A split without a fraction moves shares but no dollar: it has no postings.

    `realized_pnl_usd` is the gain before commission; `quantity_change` the shares gained or lost.
    """

    kind: TransactionKind
    symbol: str | None
    postings: tuple[Posting, ...]
    realized_pnl_usd: Decimal = ZERO
    quantity_change: Decimal = ZERO

    def __post_init__(self) -> None:
        """Refuse postings that do not sum to zero.

        Raises:
            LedgerError: they do not.
        """
        total = sum((posting.amount_usd for posting in self.postings), ZERO)
        if total != 0:
            raise LedgerError(f"expected postings that sum to 0, found {total} in a {self.kind} of {self.symbol}")


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Cash and positions at one moment; long only, cash never below zero."""

    cash_usd: Decimal
    positions: Mapping[str, Position] = field(default_factory=dict)

    @classmethod
    def opened(cls, cash_usd: Decimal) -> tuple[Portfolio, Transaction]:
        """Return a portfolio of `cash_usd` and its first transaction.

        Raises:
            LedgerError: the cash is not positive.
        """
        if not cash_usd > 0:
            raise LedgerError(f"expected positive starting cash, found {cash_usd}")
        cash = usd(cash_usd)
        return cls(cash), Transaction(TransactionKind.DEPOSIT, None, (Posting(CASH, cash), Posting(CAPITAL, -cash)))

    def position(self, symbol: str) -> Position:
        """Return the position in `symbol`; an empty one if none was ever held."""
        held = self.positions.get(symbol)
        return Position(symbol) if held is None else held

    def quantity(self, symbol: str) -> Decimal:
        """Return the shares of `symbol` held."""
        held = self.positions.get(symbol)
        return ZERO if held is None else held.quantity

    def value_usd(self, prices_usd: Mapping[str, Decimal]) -> Decimal:
        """Return what the positions are worth at raw prices.

        Raises:
            LedgerError: a held symbol has no price.
        """
        total = ZERO
        for symbol, held in self.positions.items():
            if held.quantity:
                if symbol not in prices_usd:
                    raise LedgerError(f"expected a price for {symbol}, of which {held.quantity} are held; found none")
                total += usd(product(held.quantity, prices_usd[symbol]))
        return total

    def equity_usd(self, prices_usd: Mapping[str, Decimal]) -> Decimal:
        """Return cash and positions together, at raw prices."""
        return self.cash_usd + self.value_usd(prices_usd)

    def snapshot(self, timestamp: datetime, prices_usd: Mapping[str, Decimal]) -> PortfolioSnapshot:
        """Return the portfolio marked at raw prices."""
        held = {symbol: position.quantity for symbol, position in self.positions.items() if position.quantity}
        return PortfolioSnapshot(
            timestamp=timestamp,
            cash_usd=self.cash_usd,
            positions_value_usd=self.value_usd(prices_usd),
            quantities=held,
            prices_usd={symbol: prices_usd[symbol] for symbol in held},
        )

    def after_fill(self, fill: Fill) -> tuple[Portfolio, Transaction]:
        """Return the portfolio after a fill, and the transaction to record.

        Raises:
            LedgerError: more would be paid than there is cash, or sold than is held.
        """
        return self._after_buy(fill) if fill.side is Side.BUY else self._after_sell(fill)

    def after_split(
        self, split: Split, reference_price_usd: Decimal, lot_size: Decimal = Decimal(1)
    ) -> tuple[Portfolio, Transaction | None]:
        """Return the portfolio after a split; None if the symbol is not held.

        quantity x ratio shares at the same cost. A remainder below one lot is paid out at `reference_price_usd`, the
        price of one NEW share (`split_reference_price`), and takes its part of the cost with it.
        """
        held = self.position(split.symbol)
        if not held.quantity:
            return self, None
        owed = usd(product(held.quantity, split.ratio))
        kept = whole_lots(owed, lot_size)
        fraction = owed - kept
        paid = usd(product(fraction, reference_price_usd))
        cost_out = held.cost_usd if not kept else usd(quotient(product(held.cost_usd, fraction), owed))
        gain = paid - cost_out
        change = kept - held.quantity
        position = Position(split.symbol, kept, held.cost_usd - cost_out, held.realized_pnl_usd + gain)
        return self._with(position, self.cash_usd + paid), Transaction(
            TransactionKind.SPLIT, split.symbol, _sale_postings(split.symbol, paid, ZERO, cost_out), gain, change
        )

    def _after_buy(self, fill: Fill) -> tuple[Portfolio, Transaction]:
        paid = fill.notional_usd + fill.commission_usd
        if paid > self.cash_usd:
            raise LedgerError(f"expected at most {self.cash_usd} to pay for {fill.symbol}, found {paid}")
        held = self.position(fill.symbol)
        position = Position(
            fill.symbol, held.quantity + fill.quantity, held.cost_usd + fill.notional_usd, held.realized_pnl_usd
        )
        postings = (
            Posting(position_account(fill.symbol), fill.notional_usd),
            *((Posting(COMMISSION, fill.commission_usd),) if fill.commission_usd else ()),
            Posting(CASH, -paid),
        )
        return self._with(position, self.cash_usd - paid), Transaction(
            TransactionKind.FILL, fill.symbol, postings, ZERO, fill.quantity
        )

    def _after_sell(self, fill: Fill) -> tuple[Portfolio, Transaction]:
        held = self.position(fill.symbol)
        if fill.quantity > held.quantity:
            raise LedgerError(f"expected at most {held.quantity} {fill.symbol} to sell, found {fill.quantity}")
        sells_all = fill.quantity == held.quantity
        part = quotient(product(held.cost_usd, fill.quantity), held.quantity)
        cost_out = held.cost_usd if sells_all else usd(part)
        gain = fill.notional_usd - cost_out
        position = Position(
            fill.symbol, held.quantity - fill.quantity, held.cost_usd - cost_out, held.realized_pnl_usd + gain
        )
        postings = _sale_postings(fill.symbol, fill.notional_usd, fill.commission_usd, cost_out)
        return self._with(position, self.cash_usd + fill.notional_usd - fill.commission_usd), Transaction(
            TransactionKind.FILL, fill.symbol, postings, gain, -fill.quantity
        )

    def _with(self, position: Position, cash_usd: Decimal) -> Portfolio:
        return Portfolio(cash_usd, {**self.positions, position.symbol: position})


def split_reference_price(previous_close_usd: Decimal, ratio: Decimal) -> Decimal:
    """Return what one new share is worth before the first trade after a split: the last raw close over the ratio."""
    return price(quotient(previous_close_usd, ratio))


def _sale_postings(
    symbol: str, proceeds_usd: Decimal, commission_usd: Decimal, cost_out_usd: Decimal
) -> tuple[Posting, ...]:
    """Proceeds come in, the cost of what is given leaves, the difference is gain. Lines of zero are left out."""
    lines = (
        Posting(CASH, proceeds_usd - commission_usd),
        Posting(COMMISSION, commission_usd),
        Posting(position_account(symbol), -cost_out_usd),
        Posting(REALIZED_PNL, cost_out_usd - proceeds_usd),
    )
    return tuple(line for line in lines if line.amount_usd)
