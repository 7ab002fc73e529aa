"""Reconciling as an asset check: it warns, it never blocks, and it fills nothing."""

from datetime import UTC, datetime

import dagster as dg

from assets.ingestion import CORPORATE_ACTIONS, PRICE_BARS
from assets.scope import MarketScope
from trading.adapters.postgres import Warehouse
from trading.adapters.reconcile import Question, reconcile
from trading.reconciliation.findings import Reconciliation

_SHOWN = 20


@dg.asset_check(
    asset=PRICE_BARS,
    additional_deps=[CORPORATE_ACTIONS],  # they explain jumps
    name="reconciled",
    description="No bar is missing, stale, doubled or suspicious: what `tradeloom reconcile` says.",
)
def reconciled(scope: MarketScope, warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
    """Compare the bars of this scope's source with the sessions that it should have by now."""
    with warehouse.connection() as conn:
        found = reconcile(conn, Question(datetime.now(UTC), source=scope.source, interval=scope.interval))
    return dg.AssetCheckResult(
        passed=found.is_clean,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "summary": found.sentence(),
            **found.counts,
            "bars": sum(one.bars for one in found.series),
            "findings": dg.MetadataValue.md(findings_table(found)),
        },
    )


def findings_table(found: Reconciliation) -> str:
    """Return the first findings as a Markdown table."""
    lines = ["| kind | series | from | to | bars | what |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {one.kind} | {one.symbol} {one.interval} | {one.first:%Y-%m-%d %H:%M} | {one.last:%Y-%m-%d %H:%M} "
        f"| {one.count} | {one.detail} |"
        for one in found.findings[:_SHOWN]
    ]
    more = len(found.findings) - _SHOWN
    return "\n".join([*lines, *([f"\n{more} more: `tradeloom reconcile --json`"] if more > 0 else [])])
