"""What /decide and /predict answered, as rows that parity can compute again.

A session keeps the answers that it gets as its decisions; whoever else asks has them recorded here, before they are
given, by inserts that do not wait for the disk: one per request of /decide, one for all requests of /predict that wait
at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from serving.grouped_writes import GroupedWrites
from serving.oracle.traders import Trader
from serving.oracle.wire import DecideItem, Prediction, SymbolDecision
from serving.warehouse import WarehouseConnections
from trading.adapters.served_models import ServedModel, ServedModelIds
from trading.adapters.served_predictions import PredictionLog, ServedPrediction
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


@dataclass
class Predictions:
    """Keeps the answers of /predict of one oracle."""

    writes: GroupedWrites[ServedPrediction]
    environment: Mapping[str, str]
    _models: dict[tuple[str, str], ServedModel] = field(default_factory=dict)

    @classmethod
    def into(cls, warehouse: WarehouseConnections, environment: Mapping[str, str]) -> Predictions:
        """Return one that writes to `warehouse`; nothing is connected yet."""
        log = PredictionLog(warehouse.connect_for_one_statement, ServedModelIds(warehouse.connect))
        return cls(GroupedWrites(log.write), environment)

    async def keep(self, trader: Trader, state: Sequence[float], answer: Prediction) -> None:
        """Return when the answer is recorded.

        Raises:
            EngineUnavailableError: the warehouse cannot be written to; the answer is not given then.
        """
        await self.writes.add(
            ServedPrediction(
                model=self._model(trader),
                state=state,
                action=answer.action,
                confidence=answer.confidence,
                trace_id=current_trace_id(),
                served_at=datetime.now(UTC),
            )
        )

    def _model(self, trader: Trader) -> ServedModel:
        key = (trader.version, trader.weights_sha256)
        if key not in self._models:
            self._models[key] = ServedModel(trader.name, *key, self.environment)
        return self._models[key]
