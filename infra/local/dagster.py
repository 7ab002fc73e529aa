"""Dagster on the local PostgreSQL: its instance file, its two processes, and how to see that the daemon works."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

from infra.local.home import CHECKOUT, Home, write_private
from infra.local.postgres import database_url, sqlalchemy_url

STORAGE_VARIABLE = "TRADELOOM_DAGSTER_POSTGRES_URL"
WORKSPACE = CHECKOUT / "workspace.yaml"

# The URL form: over a unix socket `postgres_db: {hostname: ...}` fails. The password stays out of the file.
INSTANCE = f"""\
telemetry:
  enabled: false
nux:
  enabled: false
storage:
  postgres:
    postgres_url:
      env: {STORAGE_VARIABLE}
concurrency:
  pools:
    default_limit: 4
    granularity: run
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      - key: dagster/backfill
        limit: 2
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 180
  max_resume_run_attempts: 0
  max_runtime_seconds: 7200
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false
retention:
  schedule:
    purge_after_days:
      skipped: 7
      failure: 90
      success: 90
  sensor:
    purge_after_days:
      skipped: 7
      failure: 30
      success: -1
"""


def write_instance(home: Home) -> Path:
    """Write dagster.yaml of this state folder and return DAGSTER_HOME."""
    folder = home.path / "dagster"
    folder.mkdir(mode=0o700, exist_ok=True)
    write_private(folder / "dagster.yaml", INSTANCE)
    return folder


def environment(postgres_url: str) -> dict[str, str]:
    """Return what any Dagster process of this platform must know, a command that opens the instance included."""
    return {STORAGE_VARIABLE: sqlalchemy_url(postgres_url, "dagster"), "DAGSTER_DISABLE_TELEMETRY": "yes"}


def webserver_command(port: int, host: str = "127.0.0.1") -> list[str]:
    """Return the command of the UI and API."""
    program = str(Path(sys.executable).with_name("dagster-webserver"))
    return [program, "-h", host, "-p", str(port), "-w", str(WORKSPACE)]


def daemon_command() -> list[str]:
    """Return the command of schedules, sensors and the run queue."""
    return [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", str(WORKSPACE)]


def daemon_problem(postgres_url: str, since: float) -> str | None:
    """Return why the daemon does not work; None if it has reported itself lately.

    Args:
        since: When it was started, seconds since 1970: a report of an earlier daemon proves nothing.
    """
    query = (
        "select extract(epoch from max(timestamp) at time zone 'UTC'), extract(epoch from now()) from daemon_heartbeats"
    )
    try:
        with psycopg.connect(database_url(postgres_url, "dagster"), connect_timeout=3) as conn:
            row = conn.execute(query).fetchone()
    except psycopg.Error as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    if row is None or row[0] is None or float(row[0]) < since:
        return "it has not reported itself since its start"
    age = float(row[1]) - float(row[0])
    return None if age < 180 else f"its last report is {age:.0f} s old"
