"""What rests on given feature rows, bars, training sets or memberships, as `trading.adapters.consumers` finds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trading.scope_terms import ScopeTerms


@dataclass(frozen=True)
class ConsumedDecision:
    """A decision that was served such a row, was taken at such a bar, or rests on a corrected membership.

    Attributes:
        is_changed: A number that its model reads is another one in the row's newest version; of a membership: its session
            would not trade the symbol today, or its model's training set would be frozen otherwise.
        by: How it rests on the change: by its `row`, its `bar`, the universe of its `session`, or its `model`.
    """

    decision_id: str
    session_id: str
    symbol: str
    timestamp: datetime
    outcome: str
    model_name: str
    model_version: str
    is_changed: bool
    by: str = "row"


@dataclass(frozen=True)
class ConsumedFill:
    """A fill of such a decision's order, or one at such a bar's open."""

    fill_id: str
    session_id: str
    symbol: str
    side: str
    quantity: Decimal
    timestamp: datetime


@dataclass(frozen=True)
class OpenPosition:
    """A position that is held now and that such a fill is part of."""

    session_id: str
    session_name: str
    session_status: str
    symbol: str
    quantity: Decimal
    cost_usd: Decimal


@dataclass(frozen=True)
class ConsumedBacktest:
    """A backtest that read such rows, or rests on a corrected membership.

    Attributes:
        by: How: by the `rows` of its window, the `universe` that it was walked under, or its `model`.
        days, days_differ: Symbol-days walked, or left out, by such a membership; how many would be taken otherwise today.
    """

    backtest_id: str
    model_name: str
    model_version: str
    first_timestamp: datetime
    last_timestamp: datetime
    scope: ScopeTerms
    by: str = "rows"
    days: int = 0
    days_differ: int = 0


@dataclass(frozen=True)
class ConsumingModel:
    """A model version whose card names such a training set."""

    name: str
    version: str
    aliases: tuple[str, ...]
    snapshot_id: str


@dataclass(frozen=True)
class ConsumingPromotion:
    """A verdict about such a version, or one that compared with it."""

    promotion_id: int
    model_name: str
    alias: str
    from_version: str | None
    to_version: str
    verdict: str
