"""The trader's slot: the frozen training set, the baseline rule, and the learner that challenges it.

How a policy is learned lives in trading/learners; how versions are kept in trading/adapters/registry.py. Training is
skipped when a version with the same rows, terms, seeds and lock file exists: a rerun adds no version.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.provenance import code_revision
from assets.scope import MarketScope
from assets.series import members_rows, midnight, series_of
from assets.warehouse import DAILY, INDICATORS
from feature_store.leaks.gate import Verdict, refuse_leaks, verdict_on
from feature_store.services import FeatureService, register
from feature_store.snapshot_register import record_snapshot, resting_on_recalls
from feature_store.snapshots import Snapshot, write_snapshot
from feature_store.store import FeatureStore
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.promotions import Promotion, align_alias, promotions, record_promotion
from trading.adapters.recalls import refuse_recalled
from trading.adapters.registry import ModelRegistry
from trading.adapters.warehouse import newest_watermark
from trading.errors import LeakError
from trading.learners.environment import lock_hash, numeric_environment
from trading.learners.model_card import ModelCard
from trading.learners.ppo import PpoConfig, TrainedPolicy, train_ppo
from trading.strategy import MacdCross
from trading.windows import Window, Windows

if TYPE_CHECKING:
    from pandas import DataFrame

SLOT = "trader-daily"
OTHER_SEEDS = "trader-daily-seeds"
CHAMPION = "champion"
CHALLENGER = "challenger"
GROUP = "training"
TRAINING_SET = dg.AssetKey(["features", "training_set"])
BASELINE = dg.AssetKey(["models", "trader_daily_baseline"])
LEARNER = dg.AssetKey(["models", "trader_daily"])


class PpoTerms(dg.Config):
    """What the learner is trained with; the seeds after the first only show how much luck a seed is."""

    timesteps: int = 60_000
    seeds: list[int] = [7, 11, 23]  # noqa: RUF012 - pydantic copies it


@dataclass(frozen=True)
class Prepared:
    """What a training run is given. `watermark`: the publication up to which rows and memberships were read."""

    service: FeatureService
    symbols: list[str]
    windows: Windows
    rows: "DataFrame"
    snapshot: Snapshot
    watermark: int


def prepare(scope: MarketScope, warehouse: Warehouse, payloads: ObjectStore) -> Prepared:
    """Cut the windows and freeze the training set of this scope; the same data gives the same snapshot."""
    with warehouse.connection() as conn:
        cut = scope.cut(conn)
        read_up_to = newest_watermark(conn)
    symbols, windows = cut.symbols, cut.windows
    service = FeatureStore(warehouse.url).newest_service(SLOT)
    register(warehouse.url, service)
    rows = members_rows(warehouse, service, scope, symbols, windows.training, read_up_to)
    with warehouse.connection() as conn:
        refuse_recalled(resting_on_recalls(conn, rows, scope.source, scope.interval), "a training set")
        snapshot = write_snapshot(rows, payloads)
        first, last = midnight(windows.training.first), midnight(windows.training.last)
        record_snapshot(
            conn, snapshot, service, scope.terms(), symbols=symbols, first=first, last=last, watermark=read_up_to
        )
    return Prepared(service, symbols, windows, rows, snapshot, read_up_to)


@dg.asset(key=TRAINING_SET, deps=[DAILY], group_name=GROUP, kinds={"s3", "parquet"})
def training_set(
    scope: MarketScope, warehouse: dg.ResourceParam[Warehouse], payloads: dg.ResourceParam[ObjectStore]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The training window's rows, each as it was known when it was decided on, frozen as Parquet under their hash."""
    prepared = prepare(scope, warehouse, payloads)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(prepared.snapshot.snapshot_id),
        metadata={
            "dagster/row_count": prepared.snapshot.rows,
            "snapshot_id": prepared.snapshot.snapshot_id,
            "parquet_sha256": prepared.snapshot.sha256,
            "object": prepared.snapshot.key,
            "symbols": ", ".join(prepared.symbols),
            "universe": scope.universe or "built in",
            "training": _days(prepared.windows.training),
            "judging": _days(prepared.windows.judging),
            "replay": _days(prepared.windows.replay),
            "definition": prepared.service.definition,
            "max_known_at": str(prepared.rows["known_at"].max()),
        },
    )


@dg.asset(key=BASELINE, deps=[TRAINING_SET, INDICATORS], group_name=GROUP, kinds={"mlflow"})
def trader_daily_baseline(
    scope: MarketScope,
    warehouse: dg.ResourceParam[Warehouse],
    payloads: dg.ResourceParam[ObjectStore],
    registry: dg.ResourceParam[ModelRegistry],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The MACD cross, a rule under the same contract; it starts the slot as champion."""
    prepared, rule = prepare(scope, warehouse, payloads), MacdCross()
    card = ModelCard(
        kind=rule.kind,
        weights_sha256=rule.sha256,
        feature_service=prepared.service.to_dict(),
        definitions=_definitions(warehouse, prepared.service),
        code_revision=code_revision(),
        lock_hash=lock_hash(),
        numeric_environment=numeric_environment(),
    )
    version = registry.register(SLOT, rule, card)
    champion = _start_slot(warehouse, registry, version)
    return dg.MaterializeResult(metadata={**_version_metadata(registry, SLOT, version), "champion": champion})


@dg.asset(key=LEARNER, deps=[TRAINING_SET, BASELINE], group_name=GROUP, kinds={"mlflow", "pytorch"}, pool="training")
def trader_daily(
    context: dg.AssetExecutionContext,
    config: PpoTerms,
    scope: MarketScope,
    warehouse: dg.ResourceParam[Warehouse],
    payloads: dg.ResourceParam[ObjectStore],
    registry: dg.ResourceParam[ModelRegistry],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """PPO on the training window, under several seeds; the first becomes the challenger.

    What leaks is not trained on: the leak gate's verdict is asked for here, whatever this run checked before.
    """
    prepared = prepare(scope, warehouse, payloads)
    _refuse_leaks(scope, warehouse, prepared)
    first = PpoConfig(seed=config.seeds[0], timesteps=config.timesteps)
    asked = _learner_card(warehouse, prepared, first, config.seeds)
    version = registry.find(SLOT, training_key=asked.training_key)
    if version is None:
        version = _train(context, prepared, warehouse, registry, scope, asked, config)
    registry.set_alias(SLOT, CHALLENGER, version)
    return dg.MaterializeResult(
        metadata={
            **_version_metadata(registry, SLOT, version),
            **registry.card(SLOT, version).metrics,
            "snapshot_id": prepared.snapshot.snapshot_id,
        }
    )


def verdict_of(scope: MarketScope, warehouse: Warehouse, prepared: Prepared) -> Verdict:
    """Return the leak gate's verdict on a prepared training set, judged now if there is none."""
    snapshot = prepared.snapshot.snapshot_id
    return verdict_on(warehouse.url, prepared.service, scope.source, prepared.symbols, snapshot)


def _refuse_leaks(scope: MarketScope, warehouse: Warehouse, prepared: Prepared) -> None:
    try:
        refuse_leaks(verdict_of(scope, warehouse, prepared))
    except LeakError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _train(
    context: dg.AssetExecutionContext,
    prepared: Prepared,
    warehouse: Warehouse,
    registry: ModelRegistry,
    scope: MarketScope,
    asked: ModelCard,
    config: PpoTerms,
) -> str:
    """Train under each seed. The others are registered first, so that the challenger never stands without its spread."""
    series = series_of(warehouse, prepared.rows, scope, prepared.windows.training)
    policies = {}
    for seed in config.seeds:
        policies[seed] = train_ppo(series, PpoConfig(seed=seed, timesteps=config.timesteps))
        context.log.info(f"seed {seed}: {policies[seed].timesteps} steps in {policies[seed].seconds:.1f} s")
    for seed in config.seeds[1:]:
        _register(registry, OTHER_SEEDS, policies[seed], asked, {"spread_of": asked.training_key})
    return _register(registry, SLOT, policies[config.seeds[0]], asked, {})


def _register(registry: ModelRegistry, name: str, policy: TrainedPolicy, asked: ModelCard, tags: dict[str, str]) -> str:
    card = replace(
        asked,
        weights_sha256=policy.network.sha256,
        config=policy.config.to_dict(),
        metrics={"training_seconds": policy.seconds, "timesteps": float(policy.timesteps)},
    )
    attachments = {"resume.zip": policy.resume_zip}
    return registry.register(name, policy.network, card, attachments=attachments, parameters=card.config, tags=tags)


def _learner_card(warehouse: Warehouse, prepared: Prepared, first: PpoConfig, seeds: list[int]) -> ModelCard:
    """Return the card but for what training alone can tell: the weights and their metrics."""
    return ModelCard(
        kind="policy_network",
        weights_sha256="",
        feature_service=prepared.service.to_dict(),
        definitions=_definitions(warehouse, prepared.service),
        snapshot_id=prepared.snapshot.snapshot_id,
        parquet_sha256=prepared.snapshot.sha256,
        config=first.to_dict(),
        seeds=seeds,
        code_revision=code_revision(),
        lock_hash=lock_hash(),
        numeric_environment=numeric_environment(),
    )


def _definitions(warehouse: Warehouse, service: FeatureService) -> dict[str, str]:
    from feature_store import views
    from feature_store.definitions import definition

    parameters = definition(warehouse.url, service.definition).parameters
    below = {views.INDICATORS: str(parameters["indicators"])} if "indicators" in parameters else {}
    return {service.view: service.definition, **below}


def _start_slot(warehouse: Warehouse, registry: ModelRegistry, version: str) -> str:
    """Make the rule champion if nothing ever was, and return what stands."""
    with warehouse.connection() as conn:
        if not promotions(conn, SLOT, CHAMPION):
            reason = "the slot starts with a rule that needs no training"
            record_promotion(conn, Promotion(SLOT, CHAMPION, None, version, "baseline", reason))
    with warehouse.connection() as conn:
        return align_alias(conn, registry, SLOT, CHAMPION) or version


def _version_metadata(registry: ModelRegistry, name: str, version: str) -> dict[str, Any]:
    return {"version": version, "mlflow": dg.MetadataValue.url(registry.version_url(name, version))}


def _days(window: Window) -> str:
    return f"{window.first} to {window.last}"
