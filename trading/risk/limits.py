"""What a session allows, what a rule is told, and what a refusal says. The rules themselves live in rules.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from trading.errors import InputError
from trading.nouns import Position, Side, product, usd


class TradingState(StrEnum):
    """The kill switch of a session."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


class DenialReason(StrEnum):
    """The code of a refusal; the module's table says what each means."""

    SESSION_HALTED = "SESSION_HALTED"
    SESSION_REDUCING = "SESSION_REDUCING"
    STALE_FEATURES = "STALE_FEATURES"
    DATA_RECALLED = "DATA_RECALLED"
    SENTIMENT_MISMATCH = "SENTIMENT_MISMATCH"
    SHORT_NOT_ALLOWED = "SHORT_NOT_ALLOWED"
    NOTIONAL_EXCEEDS_LIMIT = "NOTIONAL_EXCEEDS_LIMIT"
    POSITION_LIMIT_EXCEEDED = "POSITION_LIMIT_EXCEEDED"
    CONCENTRATION_EXCEEDED = "CONCENTRATION_EXCEEDED"
    INSUFFICIENT_CASH = "INSUFFICIENT_CASH"


@dataclass(frozen=True)
class Denied:
    """A refusal: its code and the numbers that led to it, as text, ready for a row or a sentence."""

    reason: DenialReason
    details: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return `CODE: name=value, ...`."""
        numbers = ", ".join(f"{name}={value}" for name, value in self.details.items())
        return f"{self.reason}: {numbers}" if numbers else str(self.reason)


def denied(reason: DenialReason, **details: object) -> Denied:
    """Return a refusal with its details as text."""
    return Denied(reason, {name: str(value) for name, value in details.items()})


@dataclass(frozen=True)
class RiskLimits:
    """What a session allows.

    `max_concentration` is a fraction of equity (1 = all of it). Feature ages are counted from the decision's `as_of`:
    in sessions of the instrument's calendar since the row's session, and in time since the row could be known.
    """

    max_order_notional_usd: Decimal = Decimal(1_000_000)
    max_position_quantity: Decimal = Decimal(1_000_000)
    max_concentration: Decimal = Decimal(1)
    max_feature_age_sessions: int = 0
    max_feature_age: timedelta = timedelta(days=4)

    def __post_init__(self) -> None:
        """Refuse limits that no order could meet."""
        positive = (self.max_order_notional_usd, self.max_position_quantity, self.max_concentration)
        if min(positive) <= 0 or self.max_feature_age_sessions < 0 or self.max_feature_age < timedelta(0):
            raise InputError(f"expected positive limits, found {self}")

    def to_dict(self) -> dict[str, str | int | float]:
        """Return the limits as a session stores them (decimals as text, ages in sessions and seconds)."""
        return {
            "max_order_notional_usd": str(self.max_order_notional_usd),
            "max_position_quantity": str(self.max_position_quantity),
            "max_concentration": str(self.max_concentration),
            "max_feature_age_sessions": self.max_feature_age_sessions,
            "max_feature_age_seconds": self.max_feature_age.total_seconds(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, str | int | float]) -> RiskLimits:
        """Return the limits that a session stored with `to_dict`."""
        return cls(
            max_order_notional_usd=Decimal(str(stored["max_order_notional_usd"])),
            max_position_quantity=Decimal(str(stored["max_position_quantity"])),
            max_concentration=Decimal(str(stored["max_concentration"])),
            max_feature_age_sessions=int(stored["max_feature_age_sessions"]),
            max_feature_age=timedelta(seconds=float(stored["max_feature_age_seconds"])),
        )


@dataclass(frozen=True, slots=True)
class OrderProposal:
    """An order that a decision asks for, sized but not yet allowed. `price_usd` is the raw close it was decided at."""

    symbol: str
    side: Side
    quantity: Decimal
    price_usd: Decimal
    as_of: datetime

    @property
    def notional_usd(self) -> Decimal:
        """What the order is worth at the decision price."""
        return usd(product(self.quantity, self.price_usd))


@dataclass(frozen=True, slots=True)
class FeatureFacts:
    """What the decision rested on. `age_sessions`: sessions from the row's to the newest at `as_of`, 0 = the newest.

    `analyst_sentiment` None: no analyst was asked, so there is nothing to compare.
    `closed_sessions`: sessions that had closed since the row's own when it was read, None where nobody can say;
    `max_closed_sessions`: what the features' definition allows, None without a limit of its own.
    """

    known_at: datetime
    age_sessions: int
    sentiment: float
    analyst_sentiment: float | None = None
    closed_sessions: int | None = None
    max_closed_sessions: int | None = None

    @property
    def is_past_its_definition(self) -> bool:
        """Whether the row is older than its own definition allows; a row that nobody can date is."""
        limit = self.max_closed_sessions
        return limit is not None and (self.closed_sessions is None or self.closed_sessions > limit)


@dataclass(frozen=True, slots=True)
class RiskContext:
    """The portfolio as one bar's decisions see it.

    `available_cash_usd` is the bar's cash snapshot less the notional of the BUY orders already allowed on this bar.
    `features` None: there was no row. A backtest that reads its features by construction passes `check_features=False`.
    """

    available_cash_usd: Decimal
    equity_usd: Decimal
    position: Position
    state: TradingState = TradingState.ACTIVE
    features: FeatureFacts | None = None
    check_features: bool = True
