"""Jobs that keep the platform's records in order: old runs go (what may, is decided in orchestration/old_runs.py), and the
partitions of the time to come are made."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from infra.postgres.partitions import analyze_tables, make_ahead
from orchestration.old_runs import DEFAULT_DAYS, DEFAULT_MOST, purge_runs
from trading.adapters.postgres import Warehouse


class PurgeConfig(dg.Config):
    """Which runs go.

    Attributes:
        older_than_days: Only runs that were over this many days ago.
        most: No more than this many at once: the rest goes with the next run.
    """

    older_than_days: int = DEFAULT_DAYS
    most: int = DEFAULT_MOST


@dg.op
def purge_old_runs(context: dg.OpExecutionContext, config: PurgeConfig) -> None:
    """Take old runs and their events out of Dagster's log; the newest event of each asset and partition stays."""
    before = datetime.now(UTC) - timedelta(days=config.older_than_days)
    done = purge_runs(context.instance, before, config.most, delete=True)
    context.log.info(done.sentence(deleted=True))
    context.add_output_metadata({"runs": done.runs, "events": done.events, "kept": done.kept, "more": done.more})


@dg.job(executor_def=dg.in_process_executor)
def purge_event_log() -> None:
    """Old runs and their events, once a day."""
    purge_old_runs()


@dg.op
def tend_partitions(context: dg.OpExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> None:
    """Make the partitions ahead of the time; then the statistics of the partitioned tables, which nobody else gathers."""
    made = make_ahead(warehouse.url)
    analyze_tables(warehouse.url)
    context.log.info(f"made {', '.join(made)}" if made else "every partition ahead stands")
    context.add_output_metadata({"made": len(made)})


@dg.job(executor_def=dg.in_process_executor)
def partitions_ahead() -> None:
    """Partitions that stand before the first row of their time comes."""
    tend_partitions()


NIGHTLY: Any = [
    dg.ScheduleDefinition(
        name="purge_event_log", job=purge_event_log, cron_schedule="20 3 * * *", execution_timezone="UTC"
    ),
    dg.ScheduleDefinition(
        name="partitions_ahead",
        job=partitions_ahead,
        cron_schedule="10 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
]
