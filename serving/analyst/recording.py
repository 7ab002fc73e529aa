"""What /score answered, as rows that parity can compute again: one per request, written before the answer is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from serving.analyst.wire import Scores
from serving.following import VersionCache
from serving.warehouse import WarehouseConnections
from trading.adapters.served_models import ServedModel, ServedModelIds
from trading.adapters.served_scores import ServedScores, record_scores
from trading.sentiment.scorers import HEAD_SCORER, HeadScorer
from trading.telemetry import current_trace_id


@dataclass
class Scorings:
    """Keeps the answers of /score of one analyst; `head_name` is the registered model that its heads are versions of."""

    warehouse: WarehouseConnections
    versions: VersionCache[HeadScorer]
    head_name: str
    environment: Mapping[str, str]
    ids: ServedModelIds
    _models: dict[tuple[str, str], ServedModel] = field(default_factory=dict)

    def keep(self, texts: Sequence[str], answer: Scores) -> None:
        """Record an answer.

        Raises:
            EngineUnavailableError: the warehouse cannot be written to; the answer is not given then.
        """
        row = ServedScores(
            model=self._model(answer.scorer, answer.scorer_version),
            scorer=answer.scorer,
            texts=[text.encode() for text in texts],
            scores=answer.scores,
            labels=answer.labels,
            trace_id=current_trace_id(),
            served_at=datetime.now(UTC),
        )
        record_scores(self.warehouse.connect, self.ids, row)

    def _model(self, scorer: str, version: str) -> ServedModel:
        key = (scorer, version)
        if key not in self._models:
            self._models[key] = ServedModel(*self._identity(scorer, version), self.environment)
        return self._models[key]

    def _identity(self, scorer: str, version: str) -> tuple[str, str, str | None]:
        if scorer != HEAD_SCORER:
            return scorer, version, None
        return self.head_name, version, self.versions.get(version).head.sha256
