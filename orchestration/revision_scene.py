"""The demo's last scene: the vendor revises two bars that were used. What rested on them, what is made anew, and that
every decision taken before still replays identically.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from feature_store.blast_report import BlastRadius, blast_radius
from orchestration.rebuild import Rebuilt, rebuild
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import connection
from trading.adapters.recalls import Asked
from trading.adapters.registry import ModelRegistry
from trading.adapters.sources.sample_revision import DELIVERED_AT, SampleRevision
from trading.ingestion.report import BatchReport

Json = dict[str, Any]
SHOWN = 3


def revise_the_sample(instance: dg.DagsterInstance, tell: Callable[[str], None], log: Path) -> Json:
    """Deliver the revision, trace it, rebuild what it reaches, replay every decision; return what came of each.

    A second time the batch is there already: nothing is delivered and nothing rebuilt, the rest is told again.
    """
    tell("the vendor revises two bars that were used")
    report = _delivered()
    found = _traced(report)
    is_new = report.status != "already ingested"
    rebuilt = rebuild(found, instance, tell, log) if is_new else Rebuilt([], {}, {}, ["it was, when it was delivered"])
    decisions, identical = _replayed(tell)
    return {
        "batch": report.batch_ids[0],
        "delivered": is_new,
        "counts": found.counts(),
        "blast_radius": found.lines(SHOWN, with_ids=False),
        "rebuilt": rebuilt.to_dict(),
        "decisions": decisions,
        "decisions_identical": identical,
    }


def revision_in_words(scene: Json) -> list[str]:
    """Return the scene for a terminal."""
    return [
        "",
        "A revised bar, and what rested on it",
        *(f"  {line}" for line in scene["blast_radius"]),
        *(f"  {line}" for line in Rebuilt(**scene["rebuilt"]).lines()),
        f"  every earlier decision replayed: {scene['decisions_identical']:,} of {scene['decisions']:,} identical",
        f"  again: tradeloom blast-radius --batch {scene['batch']}",
    ]


def _delivered() -> BatchReport:
    store = ObjectStore(
        os.environ["TRADELOOM_S3_ENDPOINT"],
        os.environ["TRADELOOM_S3_ACCESS_KEY"],
        os.environ["TRADELOOM_S3_SECRET_KEY"],
        os.environ.get("TRADELOOM_S3_BUCKET", "tradeloom"),
    )
    return ingest(
        SampleRevision(),
        "prices",
        now=datetime.now(UTC),
        database_url=os.environ["TRADELOOM_POSTGRES_URL"],
        object_store=store,
        delivered_at=DELIVERED_AT,
    )


def _traced(report: BatchReport) -> BlastRadius:
    registry = ModelRegistry(os.environ["TRADELOOM_MLFLOW_URL"])
    with connection(os.environ["TRADELOOM_POSTGRES_URL"], application="tradeloom-blast-radius") as conn:
        return blast_radius(conn, Asked(batch=report.batch_ids[0]), registry)


def _replayed(tell: Callable[[str], None]) -> tuple[int, int]:
    from orchestration.explanation_sources import explanation_sources
    from serving.explanation.replay import replay

    with explanation_sources(tell) as sources:
        found = replay(sources, None)
    return len(found), sum(one.identical for one in found)
