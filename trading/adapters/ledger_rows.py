"""The rows of the ledger whose identity is hashed: decisions, intents and fills.

A row's hash is over what was decided and paid, never over when by the wall clock it was written or under which trace: a
session that was killed and run again must end with the same rows. It is made where the row is written and computed
again from the stored columns by `tradeloom explain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from trading.adapters.event_chain import canonical_json
from trading.identity import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE, at_scale, row_hash
from trading.nouns import Fill, OrderIntent

Json = Mapping[str, Any]


@dataclass(frozen=True)
class DecisionRow:
    """One decision as it is kept: the question's moment, what was served, the answer, and what came of it.

    `decided_at` and `trace_id` are for people and no part of the hash.
    """

    decision_id: str
    session_id: str
    symbol: str
    timestamp: datetime
    as_of: datetime
    watermark: int
    source: str
    bar_id: int
    bar_row_hash: bytes
    definition: str | None
    feature_row_id: int | None
    feature_row_hash: bytes | None
    feature_timestamp: datetime | None
    vector: Sequence[float] | None
    model_name: str
    model_version: str
    weights_sha256: str
    snapshot_id: str | None
    scorer: str | None
    scorer_version: str | None
    sentiment: float | None
    analyst_sentiment: float | None
    sentiment_items: Sequence[Json]
    action: int | None
    confidence: float | None
    price_usd: Decimal
    position_quantity: Decimal
    cash_usd: Decimal
    equity_usd: Decimal
    outcome: str
    reason_code: str | None
    reason: Json
    environment: Json
    decided_at: datetime
    trace_id: str

    @property
    def row_hash(self) -> bytes:
        """The identity of this decision."""
        return row_hash(
            (
                self.decision_id,
                self.session_id,
                self.symbol,
                self.timestamp,
                self.as_of,
                self.watermark,
                self.source,
                self.bar_id,
                self.bar_row_hash,
                self.definition,
                self.feature_row_id,
                self.feature_row_hash,
                self.feature_timestamp,
                None if self.vector is None else len(self.vector),
                *(self.vector or ()),
                self.model_name,
                self.model_version,
                self.weights_sha256,
                self.snapshot_id,
                self.scorer,
                self.scorer_version,
                self.sentiment,
                self.analyst_sentiment,
                canonical_json(list(self.sentiment_items)),
                self.action,
                self.confidence,
                at_scale(self.price_usd, PRICE_SCALE),
                at_scale(self.position_quantity, QUANTITY_SCALE),
                at_scale(self.cash_usd, MONEY_SCALE),
                at_scale(self.equity_usd, MONEY_SCALE),
                self.outcome,
                self.reason_code,
                canonical_json(dict(self.reason)),
                canonical_json(dict(self.environment)),
            )
        )


@dataclass(frozen=True)
class IntentRow:
    """One order as it was intended, before any broker heard of it. `eligible_at`: as_of plus the session's latency."""

    intent: OrderIntent
    decision_id: str
    session_id: str
    eligible_at: datetime

    @property
    def row_hash(self) -> bytes:
        """The identity of this intent."""
        intent = self.intent
        return row_hash(
            (
                intent.client_order_id,
                self.decision_id,
                self.session_id,
                intent.symbol,
                intent.side.value,
                at_scale(intent.quantity, QUANTITY_SCALE),
                at_scale(intent.decision_price_usd, PRICE_SCALE),
                self.eligible_at,
            )
        )


@dataclass(frozen=True)
class FillRow:
    """One fill as it is kept; `reason` says why its quantity is not the order's (a gapped open, a split in between)."""

    fill: Fill
    session_id: str
    realized_pnl_usd: Decimal
    reason: Json = field(default_factory=dict)

    @property
    def row_hash(self) -> bytes:
        """The identity of this fill."""
        fill = self.fill
        return row_hash(
            (
                fill.fill_id,
                fill.client_order_id,
                self.session_id,
                fill.symbol,
                fill.side.value,
                at_scale(fill.quantity, QUANTITY_SCALE),
                at_scale(fill.price_usd, PRICE_SCALE),
                at_scale(fill.raw_open_usd, PRICE_SCALE),
                at_scale(fill.notional_usd, MONEY_SCALE),
                at_scale(fill.slippage_usd, MONEY_SCALE),
                at_scale(fill.commission_usd, MONEY_SCALE),
                at_scale(self.realized_pnl_usd, MONEY_SCALE),
                fill.sequence,
                fill.bar_timestamp,
                fill.filled_at,
                fill.bar_id,
                fill.bar_hash,
                canonical_json(dict(self.reason)),
            )
        )


def session_id_of(terms: Json) -> str:
    """Return the id of a session: a function of its terms, so that asking twice for one session gives one."""
    return "s-" + row_hash(("session", canonical_json(dict(terms)))).hex()[:16]


def decision_id_of(session_id: str, symbol: str, timestamp: datetime) -> str:
    """Return the id of the decision of a session for one symbol's bar."""
    return "d-" + row_hash(("decision", session_id, symbol, timestamp)).hex()[:24]


def client_order_id_of(decision_id: str) -> str:
    """Return the client order id: a function of the decision, so that one decision can never order twice."""
    return "o-" + row_hash(("order", decision_id)).hex()[:24]
