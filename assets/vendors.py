"""One asset per vendor and kind: what it delivers, month by month, page by page, each page a batch of `raw`.

A step asks its vendor inside the vendor's pool, so that no two runs share its rate limit; the pace of one process is
kept by trading/adapters/sources. A backfill over months is one run; stopped, its next run goes on after the last page.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import dagster as dg

from assets.ingestion import GATE, RETRY_VENDOR, months, refused_at_once
from assets.vendor_keys import vendor_key
from assets.warehouse import WAREHOUSE_POOL
from trading.adapters.asking import ask_of
from trading.adapters.fetching import FetchReport, fetch
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.sources.registry import VENDORS, vendor_named
from trading.ingestion.reader import Kind, Mode
from trading.telemetry import tracing

GROUP = "vendors"
_ONE_RUN = 1


class WhatToFetch(dg.Config):
    """What a run asks the vendor for.

    Attributes:
        variant: Which of a vendor that has several, such as `kraken` of ccxt.
        calendar: The exchange calendar of symbols not known yet; empty: the vendor's own.
        mode: `history` or `live`; empty: the vendor's own.
        since: The first day of the asked months that is wanted, such as 2026-11-13; empty: all of their days.
    """

    symbols: list[str]
    interval: str = "1d"
    variant: str = ""
    calendar: str = ""
    mode: str = ""
    since: str = ""


def pool_of(name: str) -> str:
    """Return the pool of a vendor: one run at a time."""
    return f"vendor_{name}"


def asset_of(name: str, kind: Kind) -> dg.AssetsDefinition:
    """Return the asset that fetches `kind` from a vendor."""
    key = vendor_key(name, kind)

    @dg.asset(
        key=key,
        group_name=GROUP,
        kinds={"postgres", "s3"},
        description=f"{kind.capitalize()} of {name}, fetched page by page into raw.",
        check_specs=[dg.AssetCheckSpec(GATE, asset=key, description="Every row met every expectation.")],
        partitions_def=months,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=pool_of(name),
        retry_policy=RETRY_VENDOR,
    )
    def fetched(
        context: dg.AssetExecutionContext,
        config: WhatToFetch,
        warehouse: dg.ResourceParam[Warehouse],
        payloads: dg.ResourceParam[ObjectStore],
        vendor_environment: dg.ResourceParam[Mapping[str, str]],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        engines = {"database_url": warehouse.url, "object_store": payloads, "run_id": context.run.run_id}
        with tracing(context.run.run_id.replace("-", "")), refused_at_once():
            report = _fetched(name, kind, config, context.partition_keys, vendor_environment, engines)
        (context.log.warning if report.holes else context.log.info)(report.sentence())
        return dg.MaterializeResult(metadata=_metadata(report), check_results=[_gate(report, key)])

    return fetched


def _fetched(
    name: str,
    kind: Kind,
    config: WhatToFetch,
    partitions: Sequence[str],
    environ: Mapping[str, str],
    engines: Mapping[str, Any],
) -> FetchReport:
    vendor = vendor_named(f"{name}:{config.variant}" if config.variant else name)
    mode = cast(Mode, config.mode) if config.mode else vendor.default_mode
    now = datetime.now(UTC)
    last = last_day(partitions[-1])
    is_over = last < now.date()
    ask = ask_of(
        kind,
        config.symbols,
        now=now,
        mode=mode,
        first=max(map(date.fromisoformat, filter(None, (partitions[0], config.since)))),
        last=last if is_over else None,
        interval=config.interval,
        calendar=config.calendar or vendor.calendar,
    )
    with vendor.calls(environ) as calls:
        return fetch(vendor, ask, calls, clock=lambda: datetime.now(UTC), mode=mode, any_end=not is_over, **engines)


def last_day(partition: str) -> date:
    """Return the last day of a month that is named by its first."""
    first = date.fromisoformat(partition)
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _metadata(report: FetchReport) -> dict[str, Any]:
    return {
        "dagster/row_count": report.rows_published,
        "summary": report.sentence(),
        "pages": report.pages,
        "pages_before": report.pages_before,
        "watermark": report.watermark,
        "rows_in": report.rows_in,
        "rows_unchanged": report.rows_unchanged,
        "rows_quarantined": report.rows_quarantined,
        "empty_pages": list(report.empty_pages),
        "holes": [hole.sentence() for hole in report.holes],
    }


def _gate(report: FetchReport, key: dg.AssetKey) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=GATE,
        asset_key=key,
        passed=report.rows_quarantined == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"quarantined": report.rows_quarantined},
    )


VENDOR_ASSETS = [asset_of(name, kind) for name in VENDORS for kind in vendor_named(name).kinds]


@dg.sensor(name="vendor_pools", minimum_interval_seconds=3600, default_status=dg.DefaultSensorStatus.RUNNING)
def vendor_pools(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Give each vendor's pool, and the one of dbt, its limit of one run, unless somebody set another one.

    Two dbt runs at once would build the same tables over each other. Limits are shown at Deployment > Concurrency.
    """
    storage = context.instance.event_log_storage
    limited = {limit.name for limit in storage.get_pool_limits() if not limit.from_default}
    new = [pool for pool in (*map(pool_of, VENDORS), WAREHOUSE_POOL) if pool not in limited]
    for pool in new:
        storage.set_concurrency_slots(pool, _ONE_RUN)
    return dg.SkipReason(f"one run at a time from now on in {', '.join(new)}" if new else "every pool has its limit")
