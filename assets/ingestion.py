"""From the vendor to `raw`: payload to S3 untouched, gate, quarantine, one publishing transaction per batch.

What a bad row is lives in trading/quality; how a batch is published in trading/adapters/ingest.py. A month is a
partition; a range of months is one run.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.blast_radius import blast_metadata
from assets.scope import MarketScope
from assets.vendor_keys import vendor_keys
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.errors import InputError, QualityError
from trading.ingestion.reader import Kind
from trading.ingestion.report import BatchReport
from trading.telemetry import tracing

# Dagster marks single-run backfills as beta; what we need of them is held by tests/integration/orchestration.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

GROUP = "ingestion"
months = dg.MonthlyPartitionsDefinition(start_date="1998-01-01", end_offset=1)
PRICE_BARS = dg.AssetKey(["raw", "price_bars"])
CORPORATE_ACTIONS = dg.AssetKey(["raw", "corporate_actions"])
NEWS_ITEMS = dg.AssetKey(["raw", "news_items"])
SESSION_QUALITY = dg.AssetKey(["raw", "session_quality"])

price_vendor = dg.AssetSpec(
    ["vendor", "prices"], group_name=GROUP, description="What the price vendor delivers: bars and corporate actions."
)
news_vendor = dg.AssetSpec(["vendor", "news"], group_name=GROUP, description="What the news vendor delivers.")

GATE = "gate"
SESSIONS_COMPLETE = "sessions_complete"
EVERY_VENDOR_CALL = "vendor"
RETRY_VENDOR = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

_COMPLETENESS = """
with newest as (
    select distinct on (q.session_date) q.*
    from raw.session_quality as q
    where q.source = %s and q.interval = %s
    order by q.session_date, q.watermark desc
)
select count(*), count(*) filter (where not is_complete),
    (array_agg(session_date::text || ': ' || array_to_string(missing_symbols, ', ') order by session_date)
        filter (where not is_complete))[1:20]
from newest
"""


@dg.multi_asset(
    name="prices",
    specs=[
        dg.AssetSpec(
            PRICE_BARS,
            deps=[price_vendor, *vendor_keys("prices")],
            kinds={"postgres", "s3"},
            description="Bars, every version of each.",
        ),
        dg.AssetSpec(
            SESSION_QUALITY, deps=[PRICE_BARS], kinds={"postgres"}, description="Which sessions are complete."
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec(GATE, asset=PRICE_BARS, description="Every row met every expectation."),
        dg.AssetCheckSpec(SESSIONS_COMPLETE, asset=SESSION_QUALITY, description="No expected bar is missing."),
    ],
    group_name=GROUP,
    partitions_def=months,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=EVERY_VENDOR_CALL,
    retry_policy=RETRY_VENDOR,
)
def prices(
    context: dg.AssetExecutionContext,
    scope: MarketScope,
    warehouse: dg.ResourceParam[Warehouse],
    payloads: dg.ResourceParam[ObjectStore],
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    """Bars of the asked months: the payload to S3, the gate, then one publishing transaction."""
    if scope.has("prices"):
        report = _ingested("prices", context, scope, warehouse, payloads)
        consumed = blast_metadata(report, warehouse)
        yield dg.MaterializeResult(asset_key=PRICE_BARS, metadata={**batch_metadata(report), **consumed})
        yield gate_result(report, PRICE_BARS)
    else:
        fetched_by = {"summary": f"fetched by vendor/{scope.vendor}_prices, in the pool of the vendor"}
        yield dg.MaterializeResult(asset_key=PRICE_BARS, metadata=fetched_by)
        yield dg.AssetCheckResult(check_name=GATE, asset_key=PRICE_BARS, passed=True, metadata=fetched_by)
    with warehouse.connection() as conn:
        row = conn.execute(_COMPLETENESS, [scope.source, scope.interval]).fetchone()
    assert row is not None, "an aggregate always has a row"
    sessions, incomplete, examples = row
    metadata = {"sessions": sessions, "incomplete_sessions": incomplete, "examples": examples or []}
    yield dg.MaterializeResult(asset_key=SESSION_QUALITY, metadata=metadata)
    yield dg.AssetCheckResult(
        check_name=SESSIONS_COMPLETE,
        asset_key=SESSION_QUALITY,
        passed=incomplete == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


@dg.asset(
    key=CORPORATE_ACTIONS,
    deps=[price_vendor, PRICE_BARS, *vendor_keys("actions")],
    group_name=GROUP,
    kinds={"postgres", "s3"},
    check_specs=[dg.AssetCheckSpec(GATE, asset=CORPORATE_ACTIONS, description="Every row met every expectation.")],
    partitions_def=months,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=EVERY_VENDOR_CALL,
    retry_policy=RETRY_VENDOR,
)
def corporate_actions(
    context: dg.AssetExecutionContext,
    scope: MarketScope,
    warehouse: dg.ResourceParam[Warehouse],
    payloads: dg.ResourceParam[ObjectStore],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Corporate actions of the asked months, as the vendor reports them."""
    return _asset_result("actions", CORPORATE_ACTIONS, context, scope, warehouse, payloads)


@dg.asset(
    key=NEWS_ITEMS,
    deps=[news_vendor, *vendor_keys("news")],
    group_name=GROUP,
    kinds={"postgres", "s3"},
    check_specs=[dg.AssetCheckSpec(GATE, asset=NEWS_ITEMS, description="Every row met every expectation.")],
    partitions_def=months,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=EVERY_VENDOR_CALL,
    retry_policy=RETRY_VENDOR,
)
def news_items(
    context: dg.AssetExecutionContext,
    scope: MarketScope,
    warehouse: dg.ResourceParam[Warehouse],
    payloads: dg.ResourceParam[ObjectStore],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Headlines of the asked months; a bare date is known at the end of that day in New York."""
    return _asset_result("news", NEWS_ITEMS, context, scope, warehouse, payloads)


def _asset_result(
    kind: Kind,
    key: dg.AssetKey,
    context: dg.AssetExecutionContext,
    scope: MarketScope,
    warehouse: Warehouse,
    payloads: ObjectStore,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    if not scope.has(kind):
        nothing = {"note": f"this run was given no {kind}"}
        passed = dg.AssetCheckResult(check_name=GATE, asset_key=key, passed=True, metadata=nothing)
        return dg.MaterializeResult(metadata=nothing, check_results=[passed])
    report = _ingested(kind, context, scope, warehouse, payloads)
    metadata = {**batch_metadata(report), **blast_metadata(report, warehouse)}
    return dg.MaterializeResult(metadata=metadata, check_results=[gate_result(report, key)])


def _ingested(
    kind: Kind, context: dg.AssetExecutionContext, scope: MarketScope, warehouse: Warehouse, payloads: ObjectStore
) -> BatchReport:
    first, last = context.partition_keys[0][:7], context.partition_keys[-1][:7]
    with tracing(context.run.run_id.replace("-", "")), refused_at_once():
        report = ingest(
            scope.news_source() if kind == "news" else scope.price_source(),
            kind,
            now=datetime.now(UTC),
            database_url=warehouse.url,
            object_store=payloads,
            mode=scope.ingestion_mode(),
            partition=first if first == last else f"{first}..{last}",
            run_id=context.run.run_id,
        )
    context.log.info(report.sentence())
    return report


@contextmanager
def refused_at_once() -> Iterator[None]:
    """Let what another try cannot mend, a bad file or too many bad rows, fail the step without one."""
    try:
        yield
    except (InputError, QualityError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def batch_metadata(report: BatchReport) -> dict[str, Any]:
    """Return what the Dagster UI shows of a batch."""
    return {
        "dagster/row_count": report.rows_published,
        "summary": report.sentence(),
        "status": report.status,
        "batch": ", ".join(str(batch_id) for batch_id in report.batch_ids),
        "watermark": report.watermark,
        "payload_sha256": report.payload_sha256,
        "payload_key": report.payload_key,
        "rows_in": report.rows_in,
        "rows_unchanged": report.rows_unchanged,
        "rows_quarantined": report.rows_quarantined,
        "first_date": report.first_date or "-",
        "last_date": report.last_date or "-",
        "drafts": dict(report.drafts),
    }


def gate_result(report: BatchReport, key: dg.AssetKey) -> dg.AssetCheckResult:
    """Return the gate's outcome as a check: it warns, since bad rows are in quarantine and did not go on."""
    return dg.AssetCheckResult(
        check_name=GATE,
        asset_key=key,
        passed=report.rows_quarantined == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"quarantined": dict(report.quarantine), "expectations": [dict(check) for check in report.checks]},
    )
