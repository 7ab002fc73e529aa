"""The report of the main job as an asset: one HTML file, and its path in the metadata."""

from pathlib import Path

import dagster as dg
import psycopg

from assets.paper import DECISIONS, FILLS, SESSIONS, SNAPSHOTS, PaperDesk
from assets.promotion import PROMOTIONS
from assets.reporting.content import ReportContent, read_content
from assets.reporting.page import Explanation, render, write_page
from assets.reporting.plot import equity_chart
from assets.scope import MarketScope
from assets.sentiment import HEAD
from assets.training import SLOT
from trading.adapters.postgres import Warehouse
from trading.adapters.registry import ModelRegistry

GROUP = "reports"
MAIN_JOB = dg.AssetKey(["reports", "main_job"])

_NEWEST_SESSIONS = """
select distinct on (name) session_id from trading.sessions
where source = %s and mode = 'replay' order by name, created_at desc
"""


@dg.asset(key=MAIN_JOB, deps=[SESSIONS, DECISIONS, FILLS, SNAPSHOTS, PROMOTIONS], group_name=GROUP)
def main_job_report(
    scope: MarketScope,
    warehouse: dg.ResourceParam[Warehouse],
    registry: dg.ResourceParam[ModelRegistry],
    desk: dg.ResourceParam[PaperDesk],
    reports: dg.ResourceParam[Path],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What the main job did: data, models, verdicts, trades of both sessions, equity, the last fill in plain words."""
    with warehouse.connection() as conn:
        session_ids = newest_session_ids(conn, scope.source)
        content = read_content(conn, session_ids, scope.source)
    last = desk.explain_last_fill(session_ids)
    explanation = Explanation(*last) if last else None
    page = render(content, explanation, models=registered_models(registry))
    path = write_page(page, reports / f"main-job-{scope.source.replace(':', '-')}.html")
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.path(str(path)),
            "sessions": _sessions_table(content),
            "equity": dg.MetadataValue.md(equity_chart(content.curves, content.baseline)),
            "last_fill": dg.MetadataValue.md(explanation.text if explanation else "no fill"),
            "last_fill_id": last[0] if last else "",
        }
    )


def newest_session_ids(conn: psycopg.Connection, source: str) -> list[str]:
    """Return the newest replay session of each name on this source."""
    return [row[0] for row in conn.execute(_NEWEST_SESSIONS, [source])]


def registered_models(registry: ModelRegistry) -> list[dict[str, object]]:
    """Return the versions of the project's slots as the report and `tradeloom models` show them."""
    return [
        {
            "name": one.name,
            "version": one.version,
            "kind": one.tags.get("kind", "-"),
            "aliases": list(one.aliases),
            "weights_sha256": one.tags.get("weights_sha256", "-"),
            "snapshot_id": one.tags.get("snapshot_id", "-"),
        }
        for name in (SLOT, HEAD)
        for one in registry.versions(name)
    ]


def _sessions_table(content: ReportContent) -> dg.MarkdownMetadataValue:
    lines = ["| session | model | decisions | fills | equity USD |", "|---|---|---|---|---|"]
    lines += [
        f"| {one['name']} | {one['model_name']} v{one['model_version']} | {one['decisions']} | {one['fills']} "
        f"| {one['equity_usd'] or 0:,.2f} |"
        for one in content.sessions
    ]
    return dg.MetadataValue.md("\n".join(lines))
