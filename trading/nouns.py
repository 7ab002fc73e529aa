"""The nouns of trading: bars, decisions, orders, fills, positions, snapshots. Values only; no rule lives here.

Money and quantities are `Decimal` at 8 places, prices at 6 (`trading.identity`); `usd` and `price` are the only
roundings, half-even and in one wide context, so that no caller's decimal context can move a cent. Names follow
NautilusTrader's dictionary where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from enum import IntEnum, StrEnum

from trading.identity import MONEY_SCALE, PRICE_SCALE

ZERO = Decimal(0)
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)
_MONEY_STEP = Decimal(1).scaleb(-MONEY_SCALE)
_PRICE_STEP = Decimal(1).scaleb(-PRICE_SCALE)


def usd(value: Decimal) -> Decimal:
    """Return `value` as money: 8 decimal places, half-even."""
    return value.quantize(_MONEY_STEP, context=_WIDE)


def price(value: Decimal) -> Decimal:
    """Return `value` as a price: 6 decimal places, half-even."""
    return value.quantize(_PRICE_STEP, context=_WIDE)


def product(left: Decimal, right: Decimal) -> Decimal:
    """Return the exact product of two column values (60 digits hold any pair of them)."""
    return _WIDE.multiply(left, right)


def quotient(left: Decimal, right: Decimal) -> Decimal:
    """Return `left / right` to 60 digits; round it with `usd` or `price` before it is stored."""
    return _WIDE.divide(left, right)


def whole_lots(quantity: Decimal, lot_size: Decimal) -> Decimal:
    """Return the greatest multiple of `lot_size` that is not above `quantity` (both shares, not negative)."""
    lots = _WIDE.divide(quantity, lot_size).to_integral_value(rounding=ROUND_FLOOR)
    return _WIDE.multiply(lots, lot_size)


class Action(IntEnum):
    """What a model may answer; the number is what goes over the wire."""

    HOLD = 0
    BUY = 1
    SELL = 2


class Side(StrEnum):
    """Which way an order goes."""

    BUY = "buy"
    SELL = "sell"


class OrderStatus(StrEnum):
    """Where an order is. A timeout makes it UNKNOWN, never REJECTED: the broker may have it."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


IN_FLIGHT = frozenset({OrderStatus.INTENDED, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN})
OPEN = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
CLOSED = frozenset({OrderStatus.FILLED, OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.EXPIRED})


@dataclass(frozen=True, slots=True)
class Instrument:
    """What can be traded, and in which steps."""

    symbol: str
    calendar: str = "XNYS"
    currency: str = "USD"
    asset_class: str = "equity"
    tick_size: Decimal = Decimal("0.01")
    lot_size: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    sector: str | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One raw bar, as it traded: `timestamp` labels it, `opens_at` is when an order could meet its open."""

    symbol: str
    timestamp: datetime
    opens_at: datetime
    known_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    source: str = ""
    interval: str = "1d"
    bar_id: int | None = None
    row_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """`ratio` new shares for one old share, from the open of `ex_date` on."""

    symbol: str
    ex_date: date
    ratio: Decimal


@dataclass(frozen=True, slots=True)
class Decision:
    """A model's answer for one state vector. `confidence` is the probability that the model itself gives the action."""

    action: Action
    confidence: float


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order as it is committed before any broker hears of it. `client_order_id` is a function of the decision."""

    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    as_of: datetime
    decision_price_usd: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """An intent and what its broker has made of it."""

    intent: OrderIntent
    status: OrderStatus
    filled_quantity: Decimal = ZERO
    broker_order_id: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can happen to this order."""
        return self.status in CLOSED


@dataclass(frozen=True, slots=True)
class Fill:
    """Shares that changed hands. `slippage_usd` is already inside `price_usd`: it is reported, never charged again."""

    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price_usd: Decimal
    raw_open_usd: Decimal
    notional_usd: Decimal
    commission_usd: Decimal
    slippage_usd: Decimal
    filled_at: datetime
    bar_timestamp: datetime
    bar_id: int | None = None
    bar_hash: bytes | None = None
    sequence: int = 1

    @property
    def fill_id(self) -> str:
        """A function of the order and of the fill's number within it."""
        return f"{self.client_order_id}.{self.sequence}"


@dataclass(frozen=True, slots=True)
class Position:
    """Shares held and what they cost (commissions are an expense, not part of the cost)."""

    symbol: str
    quantity: Decimal = ZERO
    cost_usd: Decimal = ZERO
    realized_pnl_usd: Decimal = ZERO

    @property
    def is_long(self) -> bool:
        """Whether any share is held."""
        return self.quantity > 0


@dataclass(frozen=True, slots=True)
class PortfolioSnapshot:
    """Cash and positions marked at one bar's raw close."""

    timestamp: datetime
    cash_usd: Decimal
    positions_value_usd: Decimal
    quantities: Mapping[str, Decimal] = field(default_factory=dict)
    prices_usd: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def equity_usd(self) -> Decimal:
        """Cash and positions together."""
        return self.cash_usd + self.positions_value_usd
