"""What the oracle does: from states, or from symbols and a moment, to decisions.

Knows no HTTP. Features are read through the feature store only, at the (as_of, watermark) asked for, with the feature
service that the model itself carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from feature_store.rows import FeatureRow
from feature_store.services import FeatureService
from feature_store.store import FeatureStore
from serving.following import AliasFollower, Served, VersionCache
from serving.oracle.recording import Predictions, served_vectors
from serving.oracle.traders import RegisteredTraders, Trader
from serving.oracle.wire import (
    STATE_WITHOUT_SENTIMENT,
    DecideItem,
    Decisions,
    Prediction,
    ServedModel,
    SymbolDecision,
)
from serving.refusals import NotReady
from serving.warehouse import WarehouseConnections
from trading.adapters.served_vectors import record_served
from trading.errors import InputError, ModelError
from trading.strategy import FEATURE_COLUMNS, state_vector


@dataclass(frozen=True)
class _Prepared:
    """One symbol's input: its feature row and vector, or why there is none."""

    row: FeatureRow | None
    vector: np.ndarray[Any, np.dtype[np.float64]] | None
    reason: str | None


@dataclass(frozen=True)
class Oracle:
    """The models in service and the features that they read."""

    traders: RegisteredTraders
    versions: VersionCache[Trader]
    follower: AliasFollower[Trader]
    store: FeatureStore
    warehouse: WarehouseConnections
    environment: dict[str, Any]
    predictions: Predictions

    def trader(self, version: str | None, alias: str | None) -> Trader:
        """Return the model that shall answer: the pinned one, an alias's, or the one that is followed.

        Raises:
            NotReady: nothing is served yet.
            TradeloomError: the pinned version or the alias cannot be had.
        """
        if version is not None:
            return self.versions.get(version)
        if alias is not None and alias != self.follower.alias:
            return self.versions.get(self.traders.resolve(alias))
        return self._served().model

    def predict(self, trader: Trader, state: Sequence[float]) -> Prediction:
        """Return the decision for one raw state of five or six numbers; `predictions` keeps it."""
        full = [*state, 0.0] if len(state) == STATE_WITHOUT_SENTIMENT else state
        (decision,) = trader.model.decide(np.array([full], dtype=np.float64))
        return Prediction(action=int(decision.action), confidence=float(decision.confidence))

    def decide(self, trader: Trader, items: Sequence[DecideItem], *, is_kept: bool = False) -> Decisions:
        """Return one decision per item; all are asked of the model in one batch, which answers each row by itself.

        Unless the caller keeps them (`is_kept`), the answers are recorded before they are given, for parity.
        """
        if trader.features is None:
            raise ModelError(
                f"{trader.name} version {trader.version} names no features; ask /predict, or another version"
            )
        now = datetime.now(UTC)
        asked = self._complete(items, now)
        rows = self._rows(trader.features, asked)
        prepared = [self._prepare(row, item) for row, item in zip(rows, asked, strict=True)]
        vectors = [one.vector for one in prepared if one.vector is not None]
        answers = iter(trader.model.decide(np.stack(vectors)) if vectors else [])
        model = ServedModel(**trader.described())  # type: ignore[arg-type]
        decisions = [
            self._decision(item, one, None if one.vector is None else next(answers), model)
            for item, one in zip(asked, prepared, strict=True)
        ]
        if not is_kept:
            with self.warehouse.connect() as conn:
                record_served(conn, served_vectors(trader, asked, decisions, now))
        return Decisions(decisions=decisions)

    def problem(self) -> str | None:
        """Return why the oracle cannot decide now, None if it can."""
        if self.follower.served is None:
            return f"no model is served yet: {self.follower.problem}"
        return self.warehouse.problem()

    def state(self) -> dict[str, Any]:
        """Return what is served, for /version."""
        served = self.follower.served
        return {
            "alias": self.follower.alias,
            "model": None if served is None else served.model.described(),
            "feature_service": None if served is None else _service(served.model),
            "environment": self.environment,
            "problem": self.follower.problem,
        }

    def _served(self) -> Served[Trader]:
        served = self.follower.served
        if served is None:
            raise NotReady(f"no model is served yet: {self.follower.problem}")
        return served

    def _complete(self, items: Sequence[DecideItem], now: datetime) -> list[DecideItem]:
        """Return the questions with their whole moment: the newest knowledge by its number, so that it can be asked again."""
        newest = None
        if any(item.watermark is None for item in items):
            with self.warehouse.connect() as conn:
                newest = conn.execute("select raw.newest_watermark()").fetchone()
        filled = None if newest is None else newest[0]
        return [
            item.model_copy(
                update={
                    "as_of": item.as_of or now,
                    "watermark": filled if item.watermark is None else item.watermark,
                }
            )
            for item in items
        ]

    def _rows(self, features: FeatureService, items: Sequence[DecideItem]) -> list[FeatureRow | None]:
        """Return each item's feature row; items that share a moment, as those of one bar do, are one statement."""
        together: dict[tuple[datetime, int | None, str | None], list[str]] = {}
        for item in items:
            together.setdefault(_knowledge(item), []).append(item.symbol)
        found = {
            (knowledge, row.symbol): row
            for knowledge, symbols in together.items()
            for row in self.store.latest(features, symbols, *knowledge)
        }
        return [found.get((_knowledge(item), item.symbol)) for item in items]

    def _prepare(self, row: FeatureRow | None, item: DecideItem) -> _Prepared:
        if row is None:
            return _Prepared(None, None, f"no feature row of {item.symbol} is known at that moment")
        values = [value for name in FEATURE_COLUMNS if (value := row.values[name]) is not None]
        if len(values) < len(FEATURE_COLUMNS):
            missing = [name for name in FEATURE_COLUMNS if row.values[name] is None]
            return _Prepared(row, None, f"the feature row has no {', '.join(missing)} yet")
        try:
            return _Prepared(row, state_vector(values, item.position), None)
        except InputError as error:
            return _Prepared(row, None, str(error))

    def _decision(self, item: DecideItem, prepared: _Prepared, answer: Any, model: ServedModel) -> SymbolDecision:
        return SymbolDecision(
            symbol=item.symbol,
            action=None if answer is None else int(answer.action),
            confidence=None if answer is None else float(answer.confidence),
            vector=None if prepared.vector is None else prepared.vector.tolist(),
            feature_row=None if prepared.row is None else asdict(prepared.row),
            reason=prepared.reason,
            model=model,
            environment=self.environment,
        )


def _knowledge(item: DecideItem) -> tuple[datetime, int | None, str | None]:
    assert item.as_of is not None, "the moment is filled in"
    return item.as_of, item.watermark, item.source


def _service(trader: Trader) -> dict[str, Any] | None:
    return None if trader.features is None else trader.features.to_dict()
