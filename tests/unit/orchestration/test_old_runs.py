"""Old runs leave Dagster's log, the oldest first and no more than asked; what lineage needs of them stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from orchestration.maintenance import purge_event_log
from orchestration.old_runs import purge_runs

MONTHS = dg.StaticPartitionsDefinition(["may", "june"])
ALL = 1_000


@dg.asset(partitions_def=MONTHS)
def bars() -> None:
    """Of a month."""


@dg.asset
def report() -> None:
    """Of everything."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as one:
        yield one


def run(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, month: str | None = None) -> str:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return dg.materialize([asset], instance=instance, partition_key=month, run_config=quiet).run_id


def now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


def test_the_newest_run_of_each_asset_and_partition_stays_with_its_events(instance: dg.DagsterInstance) -> None:
    old_may, june, may = (run(instance, bars, month) for month in ("may", "june", "may"))
    old_report, newest = (run(instance, report) for _ in range(2))
    dry = purge_runs(instance, now(), ALL, delete=False)
    assert (dry.runs, dry.kept, dry.more) == (2, 3, False)
    assert len(instance.get_runs()) == 5

    done = purge_runs(instance, now(), ALL, delete=True)
    assert (done.runs, done.events, done.kept) == (dry.runs, dry.events, dry.kept)
    assert done.events > 10
    assert {one.run_id for one in instance.get_runs()} == {june, may, newest}
    assert instance.get_records_for_run(old_may).records == []
    assert instance.get_records_for_run(old_report).records == []
    assert instance.get_materialized_partitions(bars.key) == {"may", "june"}
    for key in (bars.key, report.key):
        event = instance.get_latest_materialization_event(key)
        assert event is not None
        assert event.run_id in {may, newest}
    assert purge_runs(instance, now(), ALL, delete=True).runs == 0


def test_what_is_younger_or_not_over_stays_and_no_more_goes_than_asked(instance: dg.DagsterInstance) -> None:
    first, second, newest = (run(instance, report) for _ in range(3))
    waiting = instance.create_run_for_job(purge_event_log).run_id
    assert purge_runs(instance, datetime.now(UTC) - timedelta(days=1), ALL, delete=True).runs == 0
    done = purge_runs(instance, now(), 1, delete=True)
    assert (done.runs, done.more) == (1, True)
    assert {one.run_id for one in instance.get_runs()} == {second, newest, waiting}
    assert first not in instance.get_run_ids()


def test_the_job_takes_out_what_the_command_would_and_says_how_much(instance: dg.DagsterInstance) -> None:
    run(instance, report)
    config = {"ops": {"purge_old_runs": {"config": {"older_than_days": 0}}}}
    kept = run(instance, report)
    done = purge_event_log.execute_in_process(instance=instance, run_config=config)
    assert done.success
    assert {one.run_id for one in instance.get_runs()} == {kept, done.run_id}
