"""A decision again, at three levels apart: model (vector -> answer), features (tables -> vector), data (payload ->
tables).

Set-wise: all decisions asked for share the models, series and batches behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from feature_store.services import FeatureService
from feature_store.store import FeatureStore
from serving.explanation.batches import Batches
from serving.explanation.feature_rows import FeatureReplay
from serving.explanation.history import Histories
from serving.explanation.models import Models, VersionRegistry
from serving.explanation.stored import StoredDecision, read_decisions
from trading.ingestion.ports import PayloadStore


@dataclass(frozen=True)
class Sources:
    """Where explanations and replays read: the warehouse, the feature store on it, the object store, the registry."""

    conn: psycopg.Connection
    features: FeatureStore
    objects: PayloadStore
    registry: VersionRegistry
    on_progress: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class ReplayedDecision:
    """One decision, made again. `identical` is never claimed in another numeric environment."""

    decision_id: str
    identical: bool
    differences: list[str]
    levels: dict[str, bool]
    environment: str

    def to_dict(self) -> dict[str, object]:
        """Return the decision as the command prints it."""
        return {
            "decision_id": self.decision_id,
            "identical": self.identical,
            "differences": self.differences,
            "levels": self.levels,
            "environment": self.environment,
        }


def replay(sources: Sources, decision_ids: Sequence[str] | None) -> list[ReplayedDecision]:
    """Make these decisions (all, if None) again and compare.

    Raises:
        InputError: an id that names no decision.
        EngineUnavailableError: an engine does not answer; nothing can be said then.
    """
    decisions = read_decisions(sources.conn, decision_ids)
    sources.on_progress(f"replaying {len(decisions)} decisions: models")
    models = Models(sources.registry)
    models.ask(decisions)
    sources.on_progress("features: each series in one pass")
    features = FeatureReplay(sources.conn, sources.features, read_services(sources.conn, decisions))
    features.prepare(decisions)
    sources.on_progress("data: payloads, each batch once")
    batches = Batches(sources.conn, sources.objects)
    histories = Histories(sources.conn, sources.objects)
    found = [_replayed(decision, models, features, batches, histories) for decision in decisions]
    return found + ([_lost(*one) for one in histories.lost("decision").items()] if decision_ids is None else [])


def read_services(conn: psycopg.Connection, decisions: Sequence[StoredDecision]) -> dict[str, FeatureService]:
    """Return the pinned feature service of each decision's session."""
    sessions = sorted({decision.row.session_id for decision in decisions})
    found = conn.execute(
        "select session_id, feature_service from trading.sessions where session_id = any(%s)", (sessions,)
    ).fetchall()
    return {session_id: FeatureService.from_dict(service) for session_id, service in found}


def _lost(decision_id: str, problem: str) -> ReplayedDecision:
    nothing = {"model": False, "features": False, "data": False}
    return ReplayedDecision(decision_id, False, [problem], nothing, "same")


def _replayed(
    decision: StoredDecision, models: Models, features: FeatureReplay, batches: Batches, histories: Histories
) -> ReplayedDecision:
    row = decision.row
    found = {
        "model": models.differences(decision),
        "features": features.differences(decision),
        "data": batches.differences(row.source, row.symbol, row.as_of, row.watermark),
    }
    elsewhere = models.environment_differences(decision)
    differences = [f"{level}: {what}" for level, whats in found.items() for what in whats]
    if row.row_hash != decision.row_hash:
        differences.append("the stored decision was changed: its hash is not that of its columns")
    differences += histories.link(row.session_id, {row.decision_id: decision.row_hash}, is_finished=False).problems
    if elsewhere:
        differences.append(f"environment: {', '.join(elsewhere)}; bits are promised within one environment only")
    return ReplayedDecision(
        decision_id=row.decision_id,
        identical=not differences,
        differences=differences,
        levels={level: not whats for level, whats in found.items()},
        environment="differs" if elsewhere else "same",
    )
