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
from feature_store.membership_reach import ConsumedSession
from trading.adapters.consumed import (
    ConsumedBacktest,
    ConsumedDecision,
    ConsumedFill,
    ConsumingModel,
    ConsumingPromotion,
    OpenPosition,
)
from trading.adapters.consumers import (
    Versions,
    backtests_on,
    backtests_under,
    decisions_of_models,
    decisions_of_sessions,
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
            "chart_bars": sum(one.bars for one in self.reach.charts),
            "chart_bars_changed": sum(one.changed for one in self.reach.charts),
            "training_snapshots": len(self.reach.snapshots),
            "training_snapshots_that_differ": sum(one.differs for one in self.reach.snapshots),
            "backtests": len(self.backtests),
            "sessions": len(self.reach.memberships.sessions),
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
            "chart_bars": [asdict(one) for one in self.reach.charts],
            "training_snapshots": [asdict(one) for one in self.reach.snapshots],
            "model_versions": None if self.models is None else [asdict(one) for one in self.models],
            "promotions": None if self.promotions is None else [asdict(one) for one in self.promotions],
            "backtests": [asdict(one) for one in self.backtests],
            "sessions": [asdict(one) for one in self.reach.memberships.sessions],
            "not_tried": asdict(self.reach.memberships.not_tried),
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
    decisions = _decisions(conn, reach)
    backtests = _backtests(conn, reach)
    fills = fills_of(conn, [one.decision_id for one in decisions], bars)
    models = None if registry is None else models_on(registry, {one.snapshot_id for one in reach.snapshots})
    return BlastRadius(
        reach=reach,
        decisions=decisions,
        fills=fills,
        positions=positions_on(conn, [one.fill_id for one in fills]),
        backtests=backtests,
        models=models,
        promotions=None
        if models is None
        else promotions_of(conn, models, [one for one in backtests if one.by == "universe"]),
    )


def _decisions(conn: psycopg.Connection, reach: Reach) -> list[ConsumedDecision]:
    """Each once, by the nearest way: its own row or bar, then its session's universe, then what its model learned from."""
    rows = {(one.view, one.definition): (one.ids, one.changed_ids) for one in reach.rows}
    traded = {
        (one.session_id, symbol): symbol in one.differing
        for one in reach.memberships.sessions
        for symbol in one.dropped
    }
    found = {one.decision_id: one for one in decisions_of_models(conn, _taught(reach))}
    found |= {one.decision_id: one for one in decisions_of_sessions(conn, traded)}
    found |= {one.decision_id: one for one in decisions_on(conn, rows, reach.superseded_bars)}
    return sorted(found.values(), key=lambda one: (one.timestamp, one.decision_id))


def _backtests(conn: psycopg.Connection, reach: Reach) -> list[ConsumedBacktest]:
    days = {key: (one.days, one.differ) for key, one in reach.memberships.backtests.items()}
    found = {one.backtest_id: one for one in backtests_on(conn, reach.series)}
    found |= {one.backtest_id: one for one in backtests_under(conn, days, _taught(reach))}
    return list(found.values())


def _taught(reach: Reach) -> dict[str, bool]:
    """Return the training sets that rest on a corrected membership, each with whether it would differ today.

    A correction of a bar reaches a decision by its own row; one of a membership only by what a model was taught with.
    """
    taught: dict[str, bool] = {}
    for one in reach.snapshots:
        if one.days:
            taught[one.snapshot_id] = taught.get(one.snapshot_id, False) or one.days_differ > 0
    return taught


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
    for chart in found.reach.charts:
        yield (
            f"chart bars     {chart.bars:,} of {chart.chart_style} {chart.parameter} of {chart.symbol} of {chart.source}, "
            f"{chart.first_timestamp:%Y-%m-%d} to {chart.last_timestamp:%Y-%m-%d}; {chart.changed:,} changed value"
        )
    yield from _untried(found)
    if not (found.reach.rows or found.reach.charts or found.decisions or found.fills or _under_universe(found)):
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
    if found.reach.memberships.sessions:
        yield _line("sessions", found.reach.memberships.sessions, shown, _of_session)
    yield _line("decisions", found.decisions, ids, lambda one: one.decision_id) + _of_decisions(found.decisions)
    yield _line("fills", found.fills, ids, lambda one: one.fill_id)
    yield _line(
        "open positions",
        found.positions,
        shown,
        lambda one: f"{one.quantity.normalize():f} {one.symbol} in {one.session_name!r} ({one.session_status})",
    )


def _under_universe(found: BlastRadius) -> bool:
    return bool(found.reach.snapshots or found.backtests or found.reach.memberships.sessions)


def _untried(found: BlastRadius) -> Iterator[str]:
    unknown = found.reach.memberships.not_tried
    if unknown.training_sets or unknown.backtests:
        yield (
            f"not tried      {unknown.training_sets} training sets and {unknown.backtests} backtests were made before "
            "their universe was recorded"
        )


def _of_session(one: ConsumedSession) -> str:
    parts = (("traded", one.dropped, "no members"), ("did not trade", one.missed, "members"))
    told = "; ".join(f"{verb} {', '.join(symbols)}: {were}" for verb, symbols, were in parts if symbols)
    return f"{one.session_name!r} under {one.universe} {told}"


def _of_change(one: Change) -> str:
    return f"{one.what} {one.symbol or one.source} {one.key}: {one.detail}"


def _differing(found: BlastRadius) -> str:
    if not found.reach.snapshots:
        return ""
    differ = sum(one.differs for one in found.reach.snapshots)
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
