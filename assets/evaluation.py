"""Champion, challenger and buy-and-hold on the judging window, after costs, by the code that also trades.

The window lies after the training window and before the replayed one; nothing was chosen by looking at it. What the
verdict does is promotion.py's.
"""

from datetime import date
from typing import TypedDict

import dagster as dg

from assets.hindsight import Judge, hindsight, metadata_of
from assets.scope import MarketScope
from assets.series import members_rows, series_of
from assets.training import BASELINE, CHALLENGER, CHAMPION, LEARNER, OTHER_SEEDS, SLOT, Prepared, prepare
from feature_store.services import FeatureService
from feature_store.snapshots import Snapshot, read_snapshot
from trading.adapters.backtests import BacktestTerms, record_backtest
from trading.adapters.instruments import calendars_of
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.registry import LoadedModel, ModelRegistry
from trading.backtest import BacktestResult, BacktestSettings
from trading.evaluation.annualisation import bars_per_year
from trading.evaluation.gate import Evidence, Verdict, judge
from trading.evaluation.judging import evidence_on
from trading.evaluation.metrics import performance
from trading.evaluation.verdicts import VERDICT_TAG, Judged, verdict_in
from trading.ports import DecisionModel
from trading.series import MarketSeries
from trading.windows import sessions_between

GROUP = "evaluation"


class _Embargo(TypedDict):
    training_last: date
    sessions_between: int


EVALUATION = dg.AssetKey(["reports", "evaluation__trader_daily"])


def verdict_on(registry: ModelRegistry, champion: str, challenger: str) -> Judged | None:
    """Return the recorded verdict on a challenger against this champion; None if it was not judged against it."""
    return verdict_in(next(one.tags for one in registry.versions(SLOT) if one.version == challenger), champion)


class Judging(dg.Config):
    """How the judging window is walked.

    Attributes:
        walk_again: Walk it though the verdict is there, under what is known of memberships now: the backtests are kept
            beside the earlier ones, and the verdict stays as it was given (`tradeloom blast-radius --rebuild`).
    """

    walk_again: bool = False


@dg.asset(key=EVALUATION, deps=[BASELINE, LEARNER], group_name=GROUP, kinds={"mlflow", "postgres"})
def evaluation(
    context: dg.AssetExecutionContext,
    config: Judging,
    scope: MarketScope,
    warehouse: dg.ResourceParam[Warehouse],
    payloads: dg.ResourceParam[ObjectStore],
    registry: dg.ResourceParam[ModelRegistry],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The challenger against the champion and buy-and-hold on the judging window; a refusal is a good outcome."""
    champion, challenger = registry.alias(SLOT, CHAMPION), registry.alias(SLOT, CHALLENGER)
    differences = metadata_of(hindsight(scope, warehouse, _walker(registry.load(SLOT, version=champion))))
    if champion == challenger:
        nothing = {"verdict": "the challenger is the champion: nothing to judge"}
        return dg.MaterializeResult(metadata={**nothing, **differences})
    judged = verdict_on(registry, champion, challenger)
    if judged is None:
        judged = _judge(scope, warehouse, payloads, registry, champion, challenger)
        registry.set_tags(SLOT, challenger, {VERDICT_TAG: judged.to_tag()})
    elif config.walk_again:
        _judge(scope, warehouse, payloads, registry, champion, challenger)
    context.log.info(judged.to_tag())
    return dg.MaterializeResult(
        metadata={
            "verdict": "promote" if judged.promoted else "refuse",
            "reasons": "; ".join(judged.reasons) or "every check passed",
            "champion": champion,
            "challenger": challenger,
            **judged.metrics,
            **differences,
        }
    )


def _walker(model: LoadedModel) -> Judge:
    return Judge(model.name, model.version, FeatureService.from_dict(model.card.feature_service), model.decides)


def _judge(
    scope: MarketScope,
    warehouse: Warehouse,
    payloads: ObjectStore,
    registry: ModelRegistry,
    champion: str,
    challenger: str,
) -> Judged:
    prepared = prepare(scope, warehouse, payloads)
    standing, learned = registry.load(SLOT, version=champion), registry.load(SLOT, version=challenger)
    evidence = evidence_on(
        _as_read_by(learned, scope, warehouse, prepared),
        challenger=learned.decides,
        champion=standing.decides,
        **_embargo_kept(learned, scope, warehouse, payloads, prepared),
        seeds=_other_seeds(registry, learned),
        champion_window=_as_read_by(standing, scope, warehouse, prepared),
        bars_per_year=_bars_per_year(warehouse, scope, prepared),
    )
    verdict = judge(evidence)
    _keep(warehouse, scope, prepared, ((standing, evidence.champion), (learned, evidence.challenger)), evidence)
    return _judged(champion, challenger, verdict, evidence)


def _bars_per_year(warehouse: Warehouse, scope: MarketScope, prepared: Prepared) -> int:
    with warehouse.connection() as conn:
        return bars_per_year(scope.interval, calendars_of(conn, prepared.symbols).values())


def _embargo_kept(
    learned: LoadedModel, scope: MarketScope, warehouse: Warehouse, payloads: ObjectStore, prepared: Prepared
) -> _Embargo:
    """Say when the challenger's own training ended: by the rows it was trained on, not by what today's windows would be."""
    card, window = learned.card, prepared.windows.judging
    last = prepared.windows.training.last
    if card.snapshot_id is not None and card.snapshot_id != prepared.snapshot.snapshot_id:
        key = f"snapshots/{card.snapshot_id}/{card.parquet_sha256}.parquet"
        rows = read_snapshot(Snapshot(card.snapshot_id, key, str(card.parquet_sha256), 0, None), payloads)
        last = rows["timestamp"].max().date()
    with warehouse.connection() as conn:
        sessions = [timestamp.date() for timestamp in scope.cut(conn).timestamps]
    return {"training_last": last, "sessions_between": sessions_between(sessions, last, window.first)}


def _as_read_by(model: LoadedModel, scope: MarketScope, warehouse: Warehouse, prepared: Prepared) -> list[MarketSeries]:
    """Return the judging window with the features of the model's own card: what it would be served, newer or not."""
    service, window = FeatureService.from_dict(model.card.feature_service), prepared.windows.judging
    rows = members_rows(warehouse, service, scope, prepared.symbols, window, prepared.watermark)
    return series_of(warehouse, rows, scope, window)


def _judged(champion: str, challenger: str, verdict: Verdict, evidence: Evidence) -> Judged:
    fills = {
        "challenger_fills": float(len(evidence.challenger.fills)),
        "champion_fills": float(len(evidence.champion.fills)),
    }
    return Judged(champion, challenger, verdict.promoted, verdict.reasons, {**verdict.metrics, **fills})


def _other_seeds(registry: ModelRegistry, learned: LoadedModel) -> list[DecisionModel]:
    key = learned.card.training_key
    alike = [one.version for one in registry.versions(OTHER_SEEDS) if one.tags.get("spread_of") == key]
    return [registry.load(OTHER_SEEDS, version=version).decides for version in alike]


def _keep(
    warehouse: Warehouse,
    scope: MarketScope,
    prepared: Prepared,
    runs: tuple[tuple[LoadedModel, BacktestResult], ...],
    evidence: Evidence,
) -> None:
    with warehouse.connection() as conn:
        for model, result in runs:
            terms = BacktestTerms(
                model_name=model.name,
                model_version=model.version,
                weights_sha256=model.card.weights_sha256,
                scope=scope.terms(),
                definition=str(model.card.feature_service["definition"]),
                symbols=prepared.symbols,
                watermark=prepared.watermark,
                snapshot_id=model.card.snapshot_id,
                settings=BacktestSettings(),
            )
            record_backtest(conn, terms, result, performance(result, evidence.bars_per_year).to_dict())
