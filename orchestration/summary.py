"""What a run of the main job came to, for a terminal and as JSON; read from the run's metadata and the tables."""

import os
from typing import Any

import dagster as dg

from assets.paper import SESSIONS
from assets.promotion import PROMOTIONS
from assets.reporting.content import read_content
from assets.reports import MAIN_JOB, newest_session_ids, registered_models
from orchestration.revision_scene import revision_in_words
from trading.adapters.postgres import Warehouse
from trading.adapters.registry import ModelRegistry

Json = dict[str, Any]


def summary_of(result: dg.ExecuteInProcessResult, source: str) -> Json:
    """Return data, models, verdict, sessions, the last fill in words and the report's path."""
    warehouse = Warehouse(os.environ["TRADELOOM_POSTGRES_URL"])
    with warehouse.connection() as conn:
        content = read_content(conn, newest_session_ids(conn, source), source)
    report = _metadata(result, MAIN_JOB)
    return {
        "run_id": result.run_id,
        "batches": content.batches,
        "quarantine": content.quarantine,
        "tables": {row["name"]: row["rows"] for row in content.table_rows},
        "models": registered_models(ModelRegistry(os.environ["TRADELOOM_MLFLOW_URL"])),
        "verdict": _metadata(result, PROMOTIONS),
        "sessions": content.sessions,
        "buy_and_hold_return": content.baseline.total_return if content.baseline else None,
        "comparison": content.comparison,
        "last_fill": report.get("last_fill", ""),
        "last_fill_id": report.get("last_fill_id", ""),
        "report": report.get("report", ""),
        "sessions_run": len(_metadata(result, SESSIONS)),
    }


def _metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> Json:
    events = [
        event.step_materialization_data.materialization
        for event in result.get_asset_materialization_events()
        if event.step_materialization_data.materialization.asset_key == key
    ]
    return {name: value.value for name, value in events[-1].metadata.items()} if events else {}


def in_words(summary: Json) -> str:
    """Return the summary as a page for a terminal."""
    return "\n".join(
        [
            "",
            "Data",
            *(_batch_line(batch) for batch in summary["batches"]),
            *(
                f"  quarantined: {row['rows']} x {row['rule']} ({row['source']} {row['kind']})"
                for row in summary["quarantine"]
            ),
            "  " + ", ".join(f"{name} {rows:,}" for name, rows in summary["tables"].items()),
            "",
            "Models",
            *(_model_line(model) for model in summary["models"]),
            f"  gate: {summary['verdict'].get('verdict', '-')}: {summary['verdict'].get('reason', '-')}",
            "",
            "Paper sessions",
            *(_session_line(session) for session in summary["sessions"]),
            f"  buy and hold of the same symbols, before costs: {summary['buy_and_hold_return'] or 0:+.2%}",
            *_hindsight_lines(summary["comparison"]),
            "",
            "The last fill, explained",
            *_fill_lines(summary),
            *(revision_in_words(summary["revision"]) if "revision" in summary else []),
            "",
            f"Report: {summary['report']}",
            f"Run {summary['run_id']} took {summary['seconds']:.0f} s in all.",
            "Open the UIs with: tradeloom up",
        ]
    )


def _fill_lines(summary: Json) -> list[str]:
    if not summary["last_fill_id"]:
        return ["  there is none; while `tradeloom up` runs, `tradeloom explain decision --last` says why"]
    again = f"again, while `tradeloom up` runs: tradeloom explain fill {summary['last_fill_id']}"
    return [f"  {line}" for line in (*str(summary["last_fill"]).splitlines(), again)]


def _hindsight_lines(found: Json | None) -> list[str]:
    if found is None:
        return []
    differences = [
        f"{name} difference {found[f'{name}_buy_and_hold']:+.2%} for buy and hold, {found[f'{name}_model']:+.2%} for the champion"
        for name in ("survivorship", "restatement")
    ]
    return [f"  on the judging window: {differences[0]}; {differences[1]}"]


def _batch_line(batch: Json) -> str:
    return (
        f"  {batch['kind']} of {batch['source']} ({batch['mode']}, {batch['status']}): {batch['rows_in']:,} rows in, "
        f"{batch['rows_published']:,} published, {batch['rows_unchanged']:,} already known, {batch['rows_quarantined']:,} quarantined"
    )


def _model_line(model: Json) -> str:
    aliases = f" [{', '.join(model['aliases'])}]" if model["aliases"] else ""
    return f"  {model['name']} v{model['version']} {model['kind']}{aliases} weights {model['weights_sha256'][:12]}"


def _session_line(session: Json) -> str:
    return (
        f"  {session['name']:<11} {session['model_name']} v{session['model_version']}: {session['decisions']:,} decisions, "
        f"{session['orders']} orders, {session['fills']} fills, {session['denied']} denied; "
        f"equity {session['equity_usd']:,.2f} USD ({session['total_return']:+.2%} after costs)"
    )
