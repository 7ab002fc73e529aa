"""Jobs that keep the platform's own records small; what they may take is decided in orchestration/old_runs.py."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from orchestration.old_runs import DEFAULT_DAYS, DEFAULT_MOST, purge_runs


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


every_night: Any = dg.ScheduleDefinition(
    name="purge_event_log", job=purge_event_log, cron_schedule="20 3 * * *", execution_timezone="UTC"
)
