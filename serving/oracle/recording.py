"""What /decide answered, as rows that parity can compute again.

A session keeps the answers that it gets as its decisions; whoever else asks has them recorded here, before they are
given: one insert per request, which does not wait for the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from serving.oracle.traders import Trader
from serving.oracle.wire import DecideItem, SymbolDecision
from trading.adapters.served_vectors import ServedVector
from trading.telemetry import current_trace_id

INTERVAL = "1d"
"""What the oracle reads: the daily features."""


def served_vectors(
    trader: Trader, asked: Sequence[DecideItem], decisions: Sequence[SymbolDecision], served_at: datetime
) -> list[ServedVector]:
    """Return the rows of one request; each item's moment is complete (`as_of` and `watermark` are filled in)."""
    return [_row(trader, item, decision, served_at) for item, decision in zip(asked, decisions, strict=True)]


def _row(trader: Trader, item: DecideItem, decision: SymbolDecision, served_at: datetime) -> ServedVector:
    row, features = decision.feature_row, trader.features
    assert features is not None, "a model without features is never asked to decide"
    assert item.as_of is not None, "the moment is filled in"
    assert item.watermark is not None, "the moment is filled in"
    return ServedVector(
        symbol=item.symbol,
        interval=INTERVAL,
        position=item.position,
        as_of=item.as_of,
        watermark=item.watermark,
        source=item.source if row is None else row["source"],
        view=features.view,
        definition=features.definition,
        feature_row_id=None if row is None else row["row_id"],
        feature_row_hash=None if row is None else bytes.fromhex(row["row_hash"]),
        feature_timestamp=None if row is None else row["timestamp"],
        vector=decision.vector,
        model_name=trader.name,
        model_version=trader.version,
        weights_sha256=trader.weights_sha256,
        action=decision.action,
        confidence=decision.confidence,
        reason=decision.reason,
        environment=decision.environment,
        trace_id=current_trace_id(),
        served_at=served_at,
    )
