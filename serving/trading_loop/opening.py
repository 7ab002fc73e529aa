"""What a bar does to a portfolio before anything is decided: splits, fills at the open, the mark at the close.

Pure: books and bars in, books and rows out; loop.py writes them. The order is the market's: a split holds from the
open of its ex-date, orders fill at the open, and only then is there a close to mark at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from trading.adapters.event_chain import Event
from trading.adapters.ledger import OpenOrder, SessionBooks
from trading.adapters.ledger_rows import FillRow
from trading.adapters.market_data import BarGroup, KnownSplit, SessionBar
from trading.execution import after_split, fill_order, reaches
from trading.nouns import Bar, Fill, Instrument, OrderIntent, PortfolioSnapshot, Position, Side
from trading.portfolio import CASH, Transaction, split_reference_price
from trading.risk import DenialReason, Denied, denied


class FillingBroker(Protocol):
    """A broker that fills at a bar's open when asked, as the paper broker does."""

    def fill_at_open(self, intent: OrderIntent, bar: Bar, cash_usd: Decimal, lot_size: Decimal) -> Fill | Denied:
        """Return what an order becomes at a bar's raw open."""


@dataclass(frozen=True)
class SplitRow:
    """A split that moved a position."""

    known: KnownSplit
    before: Position
    after: Position
    paid_usd: Decimal
    transaction: Transaction

    @property
    def transaction_id(self) -> str:
        """The journal's key of this split."""
        return f"split:{self.known.split.symbol}:{self.known.split.ex_date}"


@dataclass
class Opening:
    """Everything that a bar's open and close made, to be written in one transaction."""

    splits: list[SplitRow] = field(default_factory=list)
    fills: list[tuple[FillRow, Transaction]] = field(default_factory=list)
    cancellations: list[tuple[str, Denied]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True)
class Market:
    """What is needed to meet a bar besides the bar: who fills, lots, all splits of the session, and the latency."""

    broker: FillingBroker
    instruments: dict[str, Instrument]
    splits: Sequence[KnownSplit]
    latency: timedelta

    def lot_size(self, symbol: str) -> Decimal:
        """Return the smallest quantity of a symbol that trades."""
        return self.instruments[symbol].lot_size


def meet(books: SessionBooks, group: BarGroup, market: Market, session_id: str) -> tuple[Opening, PortfolioSnapshot]:
    """Take `books` through one bar; they are changed in place, and all that happened is returned.

    Args:
        books: As the last bar left them; on return as this bar's close leaves them.
    """
    opening = Opening()
    for symbol, bar in group.bars.items():
        for known in _due_splits(books, bar, market.splits):
            _apply_split(books, known, bar.bar, market.lot_size(symbol), opening)
    _fill_orders(books, group, market, session_id, opening)
    books.prices_usd.update({symbol: bar.bar.close for symbol, bar in group.bars.items()})
    snapshot = books.portfolio.snapshot(group.timestamp, books.prices_usd)
    marked = {
        "timestamp": group.timestamp.isoformat(),
        "cash_usd": snapshot.cash_usd,
        "equity_usd": snapshot.equity_usd,
        "late": sorted(group.late),
    }
    opening.events.append(Event("BarMarked", group.known_at, marked))
    return opening, snapshot


def _due_splits(books: SessionBooks, session_bar: SessionBar, splits: Sequence[KnownSplit]) -> list[KnownSplit]:
    """Return the splits to apply before this bar's open: known by now, not yet applied, and of shares held since
    before.

    A series that comes adjusted has its splits inside its prices already.
    """
    bar = session_bar.bar
    bought_on = books.bought_on.get(bar.symbol)
    if session_bar.adjustment != "raw" or bought_on is None or not books.portfolio.quantity(bar.symbol):
        return []
    today = bar.timestamp.date()
    return [
        known
        for known in splits
        if known.split.symbol == bar.symbol
        and known.known_at <= bar.known_at
        and bought_on < known.split.ex_date <= today
        and (bar.symbol, known.split.ex_date) not in books.applied_splits
    ]


def _apply_split(books: SessionBooks, known: KnownSplit, bar: Bar, lot_size: Decimal, opening: Opening) -> None:
    split, before = known.split, books.portfolio.position(known.split.symbol)
    reference = split_reference_price(books.prices_usd[split.symbol], split.ratio)
    books.portfolio, transaction = books.portfolio.after_split(split, reference, lot_size)
    if transaction is None:
        return
    books.prices_usd[split.symbol] = reference
    books.applied_splits.add((split.symbol, split.ex_date))
    paid = sum((line.amount_usd for line in transaction.postings if line.account == CASH), Decimal(0))
    after = books.portfolio.position(split.symbol)
    opening.splits.append(SplitRow(known, before, after, paid, transaction))
    applied = {
        "symbol": split.symbol,
        "ex_date": split.ex_date.isoformat(),
        "ratio": split.ratio,
        "quantity_before": before.quantity,
        "quantity_after": after.quantity,
        "cash_in_lieu_usd": paid,
    }
    opening.events.append(Event("SplitApplied", bar.opens_at, applied))


def _fill_orders(books: SessionBooks, group: BarGroup, market: Market, session_id: str, opening: Opening) -> None:
    waiting = {order.intent.client_order_id: order for order in books.open_orders if order.is_acknowledged}
    for intent in fill_order(order.intent for order in waiting.values()):
        session_bar = group.bars.get(intent.symbol)
        if session_bar is None or not reaches(session_bar.bar.opens_at, intent.as_of, market.latency):
            continue
        order = waiting[intent.client_order_id]
        books.open_orders.remove(order)
        _fill(books, order, session_bar, market, session_id, opening)


def _fill(
    books: SessionBooks, order: OpenOrder, session_bar: SessionBar, market: Market, session_id: str, opening: Opening
) -> None:
    bar, lot_size = session_bar.bar, market.lot_size(order.intent.symbol)
    left = _in_todays_shares(order, session_bar, market, lot_size)
    intent = left or order.intent
    cash_usd = books.portfolio.cash_usd
    outcome = market.broker.fill_at_open(intent, bar, cash_usd, lot_size) if left else _nothing_left(intent)
    if isinstance(outcome, Denied):
        opening.cancellations.append((intent.client_order_id, outcome))
        ended = {"client_order_id": intent.client_order_id, "reason_code": outcome.reason, **outcome.details}
        opening.events.append(Event("OrderCancelled", bar.opens_at, ended))
        return
    books.portfolio, transaction = books.portfolio.after_fill(outcome)
    if outcome.side == "buy":
        books.bought_on[outcome.symbol] = _date_of(bar.timestamp)
    row = FillRow(outcome, session_id, transaction.realized_pnl_usd, _why_not_all(order.intent, intent, outcome))
    opening.fills.append((row, transaction))
    filled = {
        "fill_id": outcome.fill_id,
        "client_order_id": outcome.client_order_id,
        "quantity": outcome.quantity,
        "price_usd": outcome.price_usd,
        "row_hash": row.row_hash.hex(),
    }
    opening.events.append(Event("OrderFilled", outcome.filled_at, filled))


def _in_todays_shares(
    order: OpenOrder, session_bar: SessionBar, market: Market, lot_size: Decimal
) -> OrderIntent | None:
    """Return the order in the shares of the day it fills; None if less than one lot is left of it."""
    bar, intent = session_bar.bar, order.intent
    for known in market.splits:
        is_between = _date_of(order.decided_timestamp) < known.split.ex_date <= _date_of(bar.timestamp)
        if session_bar.adjustment == "raw" and known.known_at <= bar.known_at and is_between:
            moved = after_split(intent, known.split, lot_size)
            if moved is None:
                return None
            intent = moved
    return intent


def _nothing_left(intent: OrderIntent) -> Denied:
    """A split has left less than one lot of an order: there is nothing to sell, or nothing that the cash would buy."""
    reason = DenialReason.SHORT_NOT_ALLOWED if intent.side is Side.SELL else DenialReason.INSUFFICIENT_CASH
    return denied(reason, symbol=intent.symbol, quantity=intent.quantity, found="less than one lot after a split")


def _why_not_all(ordered: OrderIntent, asked: OrderIntent, fill: Fill) -> dict[str, Any]:
    """Say why a fill's quantity is not its order's."""
    reason = {}
    if asked.quantity != ordered.quantity:
        reason["split"] = f"{ordered.quantity} shares became {asked.quantity}"
    if fill.quantity != asked.quantity:
        reason["shrunk_to_cash"] = f"{asked.quantity} shares asked, cash at the open paid for {fill.quantity}"
    return reason


def _date_of(timestamp: datetime) -> date:
    return timestamp.date()
