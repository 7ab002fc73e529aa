"""Runs the job `main` in this process, with its progress told line by line; the run is in the Dagster UI like any other.

In-process on purpose: a run launched through the queue pays each step's imports again, which is most of a demo's time.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dagster as dg

from assets.scope import MarketScope
from orchestration.failures import clear_errors

Tell = Callable[[str], None]
FIRST_KEY = "dagster/asset_partition_range_start"
LAST_KEY = "dagster/asset_partition_range_end"


@dataclass
class Progress:
    """Turns the run's events into one line per step: seconds, stage, what was made."""

    stages: dict[str, str]
    tell: Tell
    _started: dict[str, float] = field(default_factory=dict)
    _summaries: dict[str, str] = field(default_factory=dict)

    def on_event(self, entry: dg.EventLogEntry) -> None:
        """Take one entry of the event log; Dagster calls it for each."""
        event = entry.dagster_event
        if event is None or event.step_key is None:
            return
        step = event.step_key
        if event.event_type is dg.DagsterEventType.STEP_START:
            self._started[step] = time.monotonic()
        elif event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            self._summaries[step] = _summary(event) or self._summaries.get(step, "")
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._summaries.setdefault(step, _checked(event))
        elif event.event_type in (dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE):
            self._end(step, failed=event.event_type is dg.DagsterEventType.STEP_FAILURE)

    def _end(self, step: str, *, failed: bool) -> None:
        seconds = time.monotonic() - self._started.get(step, time.monotonic())
        what = "FAILED" if failed else self._summaries.get(step, "")
        self.tell(f"{seconds:6.1f} s  {self.stages.get(step, ''):<10} {step.replace('__', '/'):<32} {what}".rstrip())


def _summary(event: dg.DagsterEvent) -> str:
    metadata = event.step_materialization_data.materialization.metadata
    for name in ("summary", "verdict", "report", "snapshot_id", "champion", "version", "dagster/row_count"):
        if name in metadata:
            return f"{name.removeprefix('dagster/').replace('_', ' ')}: {str(metadata[name].value)[:110]}"
    return ""


def _checked(event: dg.DagsterEvent) -> str:
    told = event.asset_check_evaluation_data.metadata.get("summary")
    return "" if told is None else f"check: {str(told.value)[:110]}"


def run_main_job(
    scope: MarketScope, days: tuple[date, date], instance: dg.DagsterInstance, tell: Tell, log: Path
) -> dg.ExecuteInProcessResult:
    """Run `main` over the months of `days` (first, last); what libraries print goes to the file `log`.

    Raises:
        TradeloomError: what a step raised, as it was raised; nothing after that step ran, and a rerun completes.
    """
    first, last = days
    months = {FIRST_KEY: f"{first:%Y-%m}-01", LAST_KEY: f"{last:%Y-%m}-01"}
    return run_assets(scope, None, instance, tell, log, months)


def run_assets(
    scope: MarketScope,
    selection: Sequence[dg.AssetKey] | None,
    instance: dg.DagsterInstance,
    tell: Tell,
    log: Path,
    tags: Mapping[str, str],
    ops: Mapping[str, object] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run these assets of `main` (all of them, if None) as one run of the instance; see `run_main_job`.

    Args:
        ops: Configuration of steps, by their name.
    """
    from orchestration.definitions import defs

    job = defs.resolve_job_def("main")
    run_id = str(uuid.uuid4())
    progress = Progress(_stages(defs), tell)
    instance.add_event_listener(run_id, progress.on_event)
    log.parent.mkdir(parents=True, exist_ok=True)
    with clear_errors(), log.open("w") as words, redirect_stdout(words), redirect_stderr(words):
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=dict(tags),
            asset_selection=None if selection is None else list(selection),
            run_config={**_run_config(scope), **({"ops": dict(ops)} if ops else {})},
        )
    assert isinstance(result, dg.ExecuteInProcessResult)
    return result


def _run_config(scope: MarketScope) -> dict[str, object]:
    config = {name: value for name, value in scope.model_dump().items() if value not in ("", [], {})}
    return {
        "resources": {"scope": {"config": config}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def _stages(definitions: dg.Definitions) -> dict[str, str]:
    """Return the stage (group) of each step of the asset graph; a check's is that of the asset it judges."""
    graph = definitions.resolve_asset_graph()
    stages = {}
    for found in graph.assets_defs:
        if found.is_executable:
            judged = (str(graph.get(key.asset_key).group_name) for key in found.check_keys)
            stages[found.node_def.name] = next(
                (spec.group_name for spec in found.specs if spec.group_name), None
            ) or next(judged)
    return stages
