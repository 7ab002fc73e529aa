"""Taking old runs and their events out of Dagster's log, which grows without end otherwise.

Deleting a run deletes its materializations too, and with them what Dagster knows of an asset or a partition. So a run
stays while one of its events is the newest of its asset or partition; ours (`raw`, `trading`) keep their run ids anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import dagster as dg

_OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_AT_ONCE = 500
DEFAULT_DAYS = 90
DEFAULT_MOST = 1_000


@dataclass(frozen=True)
class Purge:
    """What was, or would be, taken out.

    Attributes:
        runs: How many runs, with all their events.
        events: How many events these are.
        kept: Old runs that hold the newest event of an asset or partition.
        more: Whether there are others: the bound of this purge was reached.
    """

    before: datetime
    runs: int
    events: int
    kept: int
    more: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the purge as JSON values."""
        return {**asdict(self), "before": self.before.isoformat()}

    def sentence(self, *, deleted: bool) -> str:
        """Return the purge in one line."""
        word = "taken out" if deleted else "would go"
        more = "; there are more, run it again" if self.more else ""
        return (
            f"runs that ended before {self.before:%Y-%m-%d}: {self.runs:,} with {self.events:,} events {word}, "
            f"{self.kept:,} kept as the newest of an asset or partition{more}"
        )


def purge_runs(instance: dg.DagsterInstance, before: datetime, most: int, *, delete: bool) -> Purge:
    """Take out at most `most` finished runs that were last changed before a moment, the oldest first.

    Args:
        delete: False: say what would go, and take nothing.
    """
    newest = _newest_runs(instance)
    runs = events = kept = 0
    for run_id in reversed(instance.get_run_ids(dg.RunsFilter(statuses=_OVER, updated_before=before))):
        if run_id in newest:
            kept += 1
            continue
        if runs == most:
            return Purge(before, runs, events, kept, more=True)
        runs, events = runs + 1, events + _count_events(instance, run_id)
        if delete:
            instance.delete_run(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
    return Purge(before, runs, events, kept, more=False)


def _newest_runs(instance: dg.DagsterInstance) -> set[str]:
    """Return the runs that lineage needs: of the newest event of each asset, and of the newest materialization of each
    of its partitions.
    """
    keys = list(instance.all_asset_keys())
    entries = [record.asset_entry for record in instance.get_asset_records(keys)] if keys else []
    last = [one for entry in entries for one in (entry.last_materialization_record, entry.last_observation_record)]
    return {one.run_id for one in last if one} | {run_id for key in keys for run_id in _of_partitions(instance, key)}


def _of_partitions(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[str]:
    materialized = dg.DagsterEventType.ASSET_MATERIALIZATION
    newest = list(instance.get_latest_storage_id_by_partition(key, materialized).values())
    for start in range(0, len(newest), _AT_ONCE):
        wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=newest[start : start + _AT_ONCE])
        yield from (record.run_id for record in instance.fetch_materializations(wanted, limit=_AT_ONCE).records)


def _count_events(instance: dg.DagsterInstance, run_id: str) -> int:
    return len(instance.get_records_for_run(run_id).records)
