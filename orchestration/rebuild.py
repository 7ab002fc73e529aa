"""Materializes again what a change reaches, and nothing else: one Dagster run per scope, over the assets concerned.

Nothing is ingested again: the bars are there since they were delivered, and taking the vendor's old file in anew would
undo the correction. Their months are noted in Dagster as materialized by the delivery. Sessions are never run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from assets.evaluation import EVALUATION
from assets.ingestion import CORPORATE_ACTIONS, NEWS_ITEMS, PRICE_BARS
from assets.scope import MarketScope
from assets.training import BASELINE, CHALLENGER, LEARNER, SLOT, TRAINING_SET
from assets.warehouse import DAILY, FEATURES_GROUP, INDICATORS, INDICATORS_EXTENDED, MARKET_DATA, WAREHOUSE_GROUP
from feature_store.blast_radius import ConsumedSnapshot
from feature_store.blast_report import BlastRadius
from orchestration.main_job import run_assets
from trading.adapters.postgres import connection
from trading.adapters.registry import ModelRegistry
from trading.scope_terms import ScopeTerms

LEARNED = [TRAINING_SET, BASELINE, LEARNER, EVALUATION]
ROOTS = {"bar": PRICE_BARS, "split": CORPORATE_ACTIONS, "news": NEWS_ITEMS}

# A table is the same if this is: what is overwritten is compared whole, what is only added to by its last row.
_STATE = {
    MARKET_DATA: "select count(*), coalesce(sum(hashtextextended(m::text, 0)), 0) from marts.market_data as m",
    INDICATORS: "select count(*), coalesce(max(row_id), 0) from marts.indicators",
    INDICATORS_EXTENDED: "select count(*), coalesce(max(row_id), 0) from marts.indicators_extended",
    DAILY: "select count(*), coalesce(max(row_id), 0) from features.daily",
}


@dataclass(frozen=True)
class ScopeRun:
    """One Dagster run: assets under the scope that they were made under.

    Attributes:
        walks_again: Its evaluation walks the judging window again though the verdict is there.
    """

    scope: MarketScope
    assets: list[dg.AssetKey]
    walks_again: bool = False

    @property
    def label(self) -> str:
        """The scope in words."""
        symbols = f" ({', '.join(self.scope.symbols)})" if self.scope.symbols else ""
        return f"{self.scope.source}{f' under {self.scope.universe}' if self.scope.universe else ''}{symbols}"


@dataclass(frozen=True)
class Plan:
    """What is materialized: one run per scope, and the months of raw assets that the delivery itself made.

    Attributes:
        runs: The first one makes the tables and features too, which are the same under every scope.
        reasons: Why nothing more is, one sentence each.
    """

    runs: list[ScopeRun] = field(default_factory=list)
    months: dict[dg.AssetKey, list[str]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @property
    def assets(self) -> set[dg.AssetKey]:
        """Everything that any of the runs makes."""
        return {key for run in self.runs for key in run.assets}


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: its runs, asset -> what it came to, and the months noted."""

    run_ids: list[str]
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
        runs = f"run{'s' if len(self.run_ids) > 1 else ''} {', '.join(self.run_ids)}"
        head = f"rebuilt in Dagster {runs}:" if self.run_ids else "nothing was rebuilt:"
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
        if one.what in ROOTS:  # no table is derived from memberships
            listed = months.setdefault(ROOTS[one.what], [])
            if (month := f"{one.timestamp:%Y-%m}-01") not in listed:
                listed.append(month)
    derived = sorted(_derived(months, defs.resolve_asset_graph()), key=lambda key: list(key.path))
    runs, reasons = _learned(found)
    if derived and not runs:
        runs = [ScopeRun(MarketScope(source=changes[0].source, interval=changes[0].interval or "1d"), [])]
    if runs:
        runs[0] = replace(runs[0], assets=[*derived, *runs[0].assets])
    return Plan(runs, {key: sorted(each) for key, each in months.items()}, reasons)


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
    plan = plan_of(found)
    if not plan.runs:
        return Rebuilt([], {}, {}, plan.reasons)
    run_ids, came_to = [], dict[str, str]()
    known = {one.snapshot_id for one in found.reach.snapshots}
    with the_challenger_kept(found, plan.runs) as runs:
        for place, run in enumerate(runs):
            before = _states(run.assets)
            words = log.with_stem(f"{log.stem}-{place + 1}") if place else log
            result = run_assets(run.scope, run.assets, instance, tell, words, {}, _ops(run))
            after = _states(run.assets)
            run_ids.append(result.run_id)
            for key in run.assets:
                of = "" if len(runs) == 1 or key in before else f" of {run.label}"
                came_to[f"{key.to_user_string()}{of}"] = _came_to(key, before, after, result, known)
    for key, months in plan.months.items():
        note_delivery(instance, key, months, found)
    noted = {key.to_user_string(): [month[:7] for month in months] for key, months in plan.months.items()}
    return Rebuilt(run_ids, came_to, noted, plan.reasons)


def _ops(run: ScopeRun) -> dict[str, Any]:
    """Return the run's configuration beside its scope."""
    if not (run.walks_again and EVALUATION in run.assets):
        return {}
    return {"__".join(EVALUATION.path): {"config": {"walk_again": True}}}


@contextmanager
def the_challenger_kept(found: BlastRadius, runs: list[ScopeRun]) -> Iterator[list[ScopeRun]]:
    """Yield the runs, that of the challenger's own scope last; without one the alias ends where it was.

    Every training moves the alias. It is to end at what is made under the scope that it was made under, not at whatever
    other experiment a correction reached.
    """
    if not any(LEARNER in run.assets for run in runs):
        yield runs
        return
    registry = ModelRegistry(os.environ["TRADELOOM_MLFLOW_URL"])
    stood = next((one for one in registry.versions(SLOT) if CHALLENGER in one.aliases), None)
    taught = stood.tags.get("snapshot_id") if stood else None
    own = {terms_of(one) for one in found.reach.snapshots if one.snapshot_id == taught}
    mine = [run for run in runs if LEARNER in run.assets and run.scope.terms() in own]
    first, *others = runs  # it makes the tables too
    if first in mine and others:
        tables = [key for key in first.assets if key not in LEARNED]
        runs = [*others, replace(first, assets=[key for key in first.assets if key in LEARNED])]
        runs[0] = replace(runs[0], assets=[*tables, *runs[0].assets])
    else:
        runs = [first, *(run for run in others if run not in mine), *(run for run in others if run in mine)]
    try:
        yield runs
    finally:
        if stood is not None and not mine:
            registry.set_alias(SLOT, CHALLENGER, stood.version)


def terms_of(one: ConsumedSnapshot) -> ScopeTerms:
    """Return what a training set was asked for; of one frozen before that was recorded, what it read."""
    asked = one.symbols if one.asked_symbols is None else one.asked_symbols
    return ScopeTerms(one.source, tuple(asked), one.universe or "", one.interval or "1d", one.adjustment or "raw")


def _learned(found: BlastRadius) -> tuple[list[ScopeRun], list[str]]:
    """Return the assets of training by scope, oldest scope first: the set if it holds such rows, models only if they
    would be given other ones, the evaluation alone if only its backtests would be walked over others.
    """
    made: dict[ScopeTerms, list[dg.AssetKey]] = {}
    for one in found.reach.snapshots:
        terms = terms_of(one)
        assets = made.pop(terms, [TRAINING_SET])  # the order is that of each scope's newest set
        made[terms] = LEARNED if one.differs else assets
    walked = {one.scope for one in found.backtests if one.days_differ}
    for terms in sorted(walked - made.keys(), key=str):
        made[terms] = []
    runs = [_run(terms, assets, walks_again=terms in walked) for terms, assets in made.items()]
    return runs, _reasons(found, runs)


def _run(terms: ScopeTerms, assets: list[dg.AssetKey], *, walks_again: bool) -> ScopeRun:
    scope = MarketScope(**{**vars(terms), "symbols": list(terms.symbols)})
    walking = [EVALUATION] if walks_again and EVALUATION not in assets else []
    return ScopeRun(scope, [*assets, *walking], walks_again)


def _reasons(found: BlastRadius, runs: list[ScopeRun]) -> list[str]:
    if not runs:
        return ["no training set holds these rows: nothing is trained again"]
    reasons = [
        f"training set {one.snapshot_id[:12]} was frozen before its universe was recorded: it is made again without one"
        for one in found.reach.snapshots
        if one.universe is None
    ]
    if any(LEARNER in run.assets for run in runs):
        reasons.append("aliases are left alone: the next main or weekly job decides")
    else:
        reasons.append(
            "every training row is as it was known when decided on: nothing a model saw has changed, none is trained again"
        )
    if any(run.walks_again for run in runs):
        reasons.append("verdicts stay as they were given: the window is walked again beside them")
    return reasons


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
        {one.batch_id for one in found.reach.changes if ROOTS.get(one.what) == key and one.batch_id is not None}
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
