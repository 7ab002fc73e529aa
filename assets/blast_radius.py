"""What a batch's materialization says of those who had used what it corrects; the whole is `tradeloom blast-radius`."""

from typing import Any

from feature_store.blast_report import blast_radius
from trading.adapters.postgres import Warehouse
from trading.adapters.recalls import Asked
from trading.ingestion.report import BatchReport


def blast_metadata(report: BatchReport, warehouse: Warehouse) -> dict[str, Any]:
    """Return the counts of a batch's blast radius, in Dagster's words, and the command that shows and rebuilds it.

    Models and promotions are left out here: ingestion does not need MLflow to answer. A batch that was there already
    said it when it came.
    """
    if report.status != "published":
        return {}
    batch = report.batch_ids[0]
    with warehouse.connection() as conn:
        counts = blast_radius(conn, Asked(batch=batch)).counts()
    told: dict[str, Any] = {f"blast radius: {name.replace('_', ' ')}": count for name, count in counts.items()}
    return {**told, "blast radius: command": f"tradeloom blast-radius --batch {batch} --rebuild"}
