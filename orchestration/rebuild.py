"""Materializes again what a change reaches, and nothing else: one Dagster run over the assets concerned.

Nothing is ingested again: the bars are there since they were delivered, and taking the vendor's old file in anew would
undo the correction. Their months are noted in Dagster as materialized by the delivery. Sessions are never run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from assets.evaluation import EVALUATION
from assets.ingestion import CORPORATE_ACTIONS, NEWS_ITEMS, PRICE_BARS
from assets.scope import MarketScope
from assets.training import BASELINE, LEARNER, TRAINING_SET
from assets.warehouse import DAILY, FEATURES_GROUP, INDICATORS, MARKET_DATA, WAREHOUSE_GROUP
from feature_store.blast_report import BlastRadius
from trading.adapters.postgres import connection

ROOTS = {"bar": PRICE_BARS, "split": CORPORATE_ACTIONS, "news": NEWS_ITEMS}

# A table is the same if this is: what is overwritten is compared whole, what is only added to by its last row.
_STATE = {
    MARKET_DATA: "select count(*), coalesce(sum(hashtextextended(m::text, 0)), 0) from marts.market_data as m",
    INDICATORS: "select count(*), coalesce(max(row_id), 0) from marts.indicators",
    DAILY: "select count(*), coalesce(max(row_id), 0) from features.daily",
}


@dataclass(frozen=True)
class Plan:
    """What is materialized: assets in one run, and the months of raw assets that the delivery itself made.

    Attributes:
        reasons: Why nothing more is, one sentence each.
    """

    assets: list[dg.AssetKey] = field(default_factory=list)
    months: dict[dg.AssetKey, list[str]] = field(default_factory=dict)
    scope: MarketScope = field(default_factory=MarketScope)
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: asset -> what it came to, and the months noted."""

    run_id: str | None
    assets: dict[str, str]
    months: dict[str, list[str]]
    reasons: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return vars(self)

    def lines(self) -> list[str]:
        """Return it for people."""
        told = [f"  {name:<38} {what}" for name, what in self.assets.items()]
        told += [
            f"  {name:<38} {', '.join(months)}: as delivered, not ingested again"
            for name, months in self.months.items()
        ]
        head = f"rebuilt in Dagster run {self.run_id}:" if self.run_id else "nothing was rebuilt:"
        return [head, *told, *(f"  {reason}" for reason in self.reasons)]


def plan_of(found: BlastRadius) -> Plan:
    """Return what a blast radius makes it necessary to materialize again."""
    from orchestration.definitions import defs

    changes = [one for one in found.reach.changes if one.why != "recalled"]
    if not changes:
        recalled = len(found.reach.changes)
        why = f"{recalled} recalled bars: no correction has come" if recalled else "nothing was changed"
        return Plan(reasons=[why])
    months: dict[dg.AssetKey, list[str]] = {}
    for one in changes:
        listed = months.setdefault(ROOTS[one.what], [])
        if (month := f"{one.timestamp:%Y-%m}-01") not in listed:
            listed.append(month)
    assets = sorted(_derived(months, defs.resolve_asset_graph()), key=lambda key: list(key.path))
    learned, reasons = _learned(found)
    newest = found.reach.snapshots[-1:]
    scope = MarketScope(
        source=newest[0].source if newest else changes[0].source, symbols=newest[0].symbols if newest else []
    )
    return Plan([*assets, *learned], {key: sorted(each) for key, each in months.items()}, scope, reasons)


def _derived(roots: Iterable[dg.AssetKey], graph: Any) -> set[dg.AssetKey]:
    """Return the tables and features below `roots`, not by way of another raw table, which only waits for them."""
    found, waiting = set[dg.AssetKey](), list(roots)
    while waiting:
        for key in graph.get(waiting.pop()).child_keys - found - set(ROOTS.values()):
            if graph.get(key).group_name in (WAREHOUSE_GROUP, FEATURES_GROUP):
                found.add(key)
                waiting.append(key)
    return found


def rebuild(found: BlastRadius, instance: dg.DagsterInstance, tell: Callable[[str], None], log: Path) -> Rebuilt:
    """Materialize what the plan of `found` names; a second time it comes out the same and adds no row.

    Raises:
        TradeloomError: what a step raised; nothing after it ran, and a rerun completes.
    """
    from orchestration.main_job import run_assets

    plan = plan_of(found)
    if not plan.assets:
        return Rebuilt(None, {}, {}, plan.reasons)
    before = _states(plan.assets)
    result = run_assets(plan.scope, plan.assets, instance, tell, log, {})
    after = _states(plan.assets)
    known = {one.snapshot_id for one in found.reach.snapshots}
    came_to = {key.to_user_string(): _came_to(key, before, after, result, known) for key in plan.assets}
    for key, months in plan.months.items():
        note_delivery(instance, key, months, found)
    noted = {key.to_user_string(): [month[:7] for month in months] for key, months in plan.months.items()}
    return Rebuilt(result.run_id, came_to, noted, plan.reasons)


def _learned(found: BlastRadius) -> tuple[list[dg.AssetKey], list[str]]:
    """Return the assets of training: the set if it holds such rows, models only if they would be given other ones."""
    snapshots = found.reach.snapshots
    if not snapshots:
        return [], ["no training set holds these rows: nothing is trained again"]
    if not any(one.rows_differ for one in snapshots[-1:]):
        why = "every training row is as it was known when decided on: nothing a model saw has changed, none is trained again"
        return [TRAINING_SET], [why]
    return [TRAINING_SET, BASELINE, LEARNER, EVALUATION], [
        "aliases are left alone: the next main or weekly job decides"
    ]


def _states(assets: Sequence[dg.AssetKey]) -> dict[dg.AssetKey, Any]:
    with connection(os.environ["TRADELOOM_POSTGRES_URL"], application="tradeloom-rebuild") as conn:
        return {key: _state(conn, _STATE[key]) for key in assets if key in _STATE}


def _state(conn: psycopg.Connection, query: str) -> Any:
    return conn.execute(query.encode()).fetchone()


def _came_to(
    key: dg.AssetKey,
    before: dict[dg.AssetKey, Any],
    after: dict[dg.AssetKey, Any],
    result: dg.ExecuteInProcessResult,
    known: set[str],
) -> str:
    metadata = {
        event.asset_key: event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    if key in before:
        if before[key] == after[key]:
            return f"the same: {after[key][0]:,} rows"
        return f"changed: {before[key][0]:,} rows before, {after[key][0]:,} now"
    if key == TRAINING_SET:
        snapshot = str(metadata[key]["snapshot_id"].value)
        return f"{'the same' if snapshot in known else 'changed'}: snapshot {snapshot[:12]}"
    if key in metadata and "version" in metadata[key]:
        return f"version {metadata[key]['version'].value}"
    return "materialized"


def note_delivery(instance: dg.DagsterInstance, key: dg.AssetKey, months: list[str], found: BlastRadius) -> None:
    """Tell Dagster that a delivery outside it made these months, once per batch."""
    batches = sorted(
        {one.batch_id for one in found.reach.changes if ROOTS[one.what] == key and one.batch_id is not None}
    )
    told = ", ".join(str(batch) for batch in batches)
    for month in months:
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=[month]), limit=1
        )
        newest = records.records[0].asset_materialization if records.records else None
        if newest is not None and "batch" in newest.metadata and str(newest.metadata["batch"].value) == told:
            continue
        counts: dict[str, Any] = {
            f"blast radius: {name.replace('_', ' ')}": count for name, count in found.counts().items()
        }
        instance.report_runless_asset_event(
            dg.AssetMaterialization(asset_key=key, partition=month, metadata={"batch": told, **counts})
        )
