"""The blast radius of a change, whole: the feature store's part and everybody who consumed it, as values and as words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg

from feature_store.blast_radius import Change, Reach, trace
from trading.adapters.consumers import (
    ConsumedBacktest,
    ConsumedDecision,
    ConsumedFill,
    ConsumingModel,
    ConsumingPromotion,
    OpenPosition,
    Versions,
    backtests_on,
    decisions_on,
    fills_of,
    models_on,
    positions_on,
    promotions_of,
)
from trading.adapters.recalls import Asked

SHOWN = 5


@dataclass(frozen=True)
class BlastRadius:
    """Everything that consumed what was corrected, or recalled after use.

    Attributes:
        reach: Changes, feature rows and training sets.
        models, promotions: None where the registry was not asked.
    """

    reach: Reach
    decisions: list[ConsumedDecision] = field(default_factory=list)
    fills: list[ConsumedFill] = field(default_factory=list)
    positions: list[OpenPosition] = field(default_factory=list)
    backtests: list[ConsumedBacktest] = field(default_factory=list)
    models: list[ConsumingModel] | None = None
    promotions: list[ConsumingPromotion] | None = None

    def counts(self) -> dict[str, int]:
        """Return how many of each kind; models and promotions only where the registry was asked."""
        rows = self.reach.rows
        counted = {
            "changes": len(self.reach.changes),
            "feature_rows": sum(one.rows for one in rows),
            "feature_rows_changed": sum(one.changed for one in rows),
            "training_snapshots": len(self.reach.snapshots),
            "training_snapshots_that_differ": sum(one.rows_differ > 0 for one in self.reach.snapshots),
            "backtests": len(self.backtests),
            "decisions": len(self.decisions),
            "decisions_changed": sum(one.is_changed for one in self.decisions),
            "fills": len(self.fills),
            "open_positions": len(self.positions),
        }
        asked = {"model_versions": self.models, "promotions": self.promotions}
        return counted | {name: len(found) for name, found in asked.items() if found is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, every id included, as JSON values."""
        values = {
            "counts": self.counts(),
            "changes": [asdict(one) for one in self.reach.changes],
            "feature_rows": [asdict(one) for one in self.reach.rows],
            "training_snapshots": [asdict(one) for one in self.reach.snapshots],
            "model_versions": None if self.models is None else [asdict(one) for one in self.models],
            "promotions": None if self.promotions is None else [asdict(one) for one in self.promotions],
            "backtests": [asdict(one) for one in self.backtests],
            "decisions": [asdict(one) for one in self.decisions],
            "fills": [asdict(one) for one in self.fills],
            "open_positions": [asdict(one) for one in self.positions],
        }
        return {name: _plain(one) for name, one in values.items()}

    def lines(self, shown: int = SHOWN, *, with_ids: bool = True) -> list[str]:
        """Return it for people: one line per kind, at most `shown` names on each; ids of decisions and fills if wanted."""
        return list(_lines(self, shown, shown if with_ids else 0))


def blast_radius(conn: psycopg.Connection, asked: Asked, registry: Versions | None = None) -> BlastRadius:
    """Return who consumed what `asked` names was changed.

    Args:
        registry: Asked for the model versions of training sets concerned; None leaves models and promotions out.

    Raises:
        InputError: there is no such batch.
        EngineUnavailableError: an engine does not answer.
    """
    reach = trace(conn, asked)
    bars = reach.superseded_bars
    rows = {(one.view, one.definition): (one.ids, one.changed_ids) for one in reach.rows}
    decisions = decisions_on(conn, rows, bars)
    fills = fills_of(conn, [one.decision_id for one in decisions], bars)
    models = None if registry is None else models_on(registry, {one.snapshot_id for one in reach.snapshots})
    return BlastRadius(
        reach=reach,
        decisions=decisions,
        fills=fills,
        positions=positions_on(conn, [one.fill_id for one in fills]),
        backtests=backtests_on(conn, reach.series),
        models=models,
        promotions=None if models is None else promotions_of(conn, models),
    )


def _lines(found: BlastRadius, shown: int, ids: int) -> Iterator[str]:
    changes = found.reach.changes
    if not changes:
        yield "nothing was corrected, late or recalled there: nothing consumed it"
        return
    yield f"{len(changes)} changed: {_few([_of_change(one) for one in changes], shown)}"
    for rows in found.reach.rows:
        share = f"{rows.changed / rows.rows:.0%}"
        yield (
            f"feature rows   {rows.rows:,} of {rows.view} {rows.definition[:12]}, {rows.first_timestamp:%Y-%m-%d} to "
            f"{rows.last_timestamp:%Y-%m-%d}, {rows.series} series; {rows.changed:,} ({share}) changed value"
        )
    if not (found.reach.rows or found.decisions or found.fills):
        yield "nobody had used what was there before"
        return
    yield _line("training sets", found.reach.snapshots, shown, lambda one: one.snapshot_id[:12]) + _differing(found)
    if found.models is not None:
        yield _line("models", found.models, shown, lambda one: f"{one.name} v{one.version}")
    if found.promotions is not None:
        yield _line(
            "promotions", found.promotions, shown, lambda one: f"{one.model_name} v{one.to_version} {one.verdict}"
        )
    yield _line("backtests", found.backtests, shown, lambda one: f"{one.model_name} v{one.model_version}")
    yield _line("decisions", found.decisions, ids, lambda one: one.decision_id) + _of_decisions(found.decisions)
    yield _line("fills", found.fills, ids, lambda one: one.fill_id)
    yield _line(
        "open positions",
        found.positions,
        shown,
        lambda one: f"{one.quantity.normalize():f} {one.symbol} in {one.session_name!r} ({one.session_status})",
    )


def _of_change(one: Change) -> str:
    return f"{one.what} {one.symbol or one.source} {one.key}: {one.detail}"


def _differing(found: BlastRadius) -> str:
    if not found.reach.snapshots:
        return ""
    differ = sum(one.rows_differ > 0 for one in found.reach.snapshots)
    if differ:
        return f"; {differ} of them would be frozen otherwise today"
    return "; frozen again they are the same, since each row is as it was first known"


def _of_decisions(decisions: Sequence[ConsumedDecision]) -> str:
    if not decisions:
        return ""
    sessions = len({one.session_id for one in decisions})
    ordered = Counter(one.outcome for one in decisions)["ordered"]
    changed = sum(one.is_changed for one in decisions)
    return (
        f"; {decisions[0].timestamp:%Y-%m-%d} to {decisions[-1].timestamp:%Y-%m-%d} in {sessions} sessions, "
        f"{ordered} with an order, {changed} on numbers that are others now"
    )


def _line(name: str, found: Sequence[Any], shown: int, named: Any) -> str:
    told = f": {_few([named(one) for one in found[:shown]], shown, len(found))}" if found and shown else ""
    return f"{name:<14} {len(found):,}{told}"


def _few(names: Sequence[str], shown: int, of: int | None = None) -> str:
    total = len(names) if of is None else of
    more = f" and {total - shown:,} more" if total > shown else ""
    return ", ".join(names[:shown]) + more


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
