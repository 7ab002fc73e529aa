"""Running dbt against a warehouse: the one place that turns a database URL into dbt's settings.

dbt runs in a process of its own: it changes global state (warnings, logging, flags) that a host process must keep.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg.conninfo import conninfo_to_dict

from trading.adapters.postgres import connection
from trading.errors import BuildError

DBT_PROJECT = Path(__file__).parents[1] / "dbt"
_STAMP = re.compile(r"^\d\d:\d\d:\d\d\s*")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # dagster-dbt asks for colours
_BUILD_LOCK = 7046029254386354  # of this database, held while the first definitions are built
_TELLING = ("Failure in", "Got ", "Compilation")


@dataclass(frozen=True)
class DbtRun:
    """What one dbt command did: its command line and its output."""

    command: tuple[str, ...]
    output: str


# What a profile of dbt cannot say, libpq reads from its own variables: how the server is known, and who asks.
_LIBPQ = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


def dbt_environment(url: str) -> dict[str, str]:
    """Return the variables that dbt/profiles.yml reads, from a libpq URL.

    The host of a unix socket is its folder; what the URL asks of TLS holds for dbt as well.
    Telemetry and the version check stay off: nothing leaves the machine.
    """
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    return {
        "TRADELOOM_DBT_HOST": parts.get("host", "localhost"),
        "TRADELOOM_DBT_PORT": parts.get("port", "5432"),
        "TRADELOOM_DBT_USER": parts.get("user", ""),
        "TRADELOOM_DBT_PASSWORD": parts.get("password", ""),
        "TRADELOOM_DBT_DBNAME": parts.get("dbname", ""),
        **{variable: parts[key] for key, variable in _LIBPQ.items() if key in parts},
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_VERSION_CHECK": "false",
        "DO_NOT_TRACK": "1",
    }


def dbt_executable() -> str:
    """Return the dbt of this environment, whether or not it is on the PATH."""
    return str(Path(sys.executable).with_name("dbt"))


def dbt_build(
    url: str,
    *,
    variables: Mapping[str, str] | None = None,
    arguments: Sequence[str] = ("build",),
    project: Path = DBT_PROJECT,
    target_path: Path | None = None,
) -> DbtRun:
    """Run one dbt command (`build` by default) on the warehouse at `url`.

    Args:
        variables: dbt vars, such as {"scorer": "head", "scorer_version": "3"}; they are part of the daily definition.
        arguments: The dbt command and its options, such as ("build", "--full-refresh").
        project: The dbt project; tests build a changed copy of it.
        target_path: Where dbt writes its artefacts; a folder of its own by default, so that builds can run together.

    Raises:
        BuildError: dbt ended with an error or a failed test.
    """
    with TemporaryDirectory(prefix="tradeloom-dbt-") as scratch:
        command = [
            dbt_executable(),
            *arguments,
            *("--project-dir", str(project), "--profiles-dir", str(project)),
            *("--target-path", str(target_path or Path(scratch) / "target")),
            *("--log-path", str(Path(scratch) / "logs"), "--no-use-colors", "--warn-error"),
            *(("--vars", _as_yaml(variables)) if variables else ()),
        ]
        done = subprocess.run(
            command,
            env=os.environ | dbt_environment(url),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode != 0:
        error = BuildError(f"dbt {' '.join(arguments)} failed: {failure_in(done.stdout + done.stderr)}")
        error.add_note(done.stdout + done.stderr)
        raise error
    return DbtRun(tuple(command), done.stdout)


def ensure_definitions(url: str) -> bool:
    """Register the project's definitions where there are none yet; tell whether that was done.

    A fresh platform has features from its first drop on. News counts for nothing in them until the main job has trained
    a scorer and built its own. Two processes that come at once build once: the second waits for the first.

    Raises:
        BuildError: dbt ended with an error.
    """
    with connection(url) as conn:
        if _has_definitions(conn):
            return False
        conn.execute("select pg_advisory_xact_lock(%s)", (_BUILD_LOCK,))
        if _has_definitions(conn):
            return False
        dbt_build(url, arguments=("run", "--select", "config.materialized:versioned"))
        return True


def _has_definitions(conn: psycopg.Connection) -> bool:
    row = conn.execute("select exists (select from features.definitions where view = 'features.daily')").fetchone()
    return row is not None and bool(row[0])


def _as_yaml(variables: Mapping[str, str]) -> str:
    return json.dumps(dict(variables), sort_keys=True)


def failure_in(output: str) -> str:
    """Return what went wrong in one line: of each failure that dbt lists, what failed and why."""
    plain = _COLOUR.sub("", output)
    listed = plain.partition("Completed with")[2] or plain
    lines = [_STAMP.sub("", line).strip() for line in listed.splitlines()]
    said = [line for line in lines if line.startswith(_TELLING)]
    # The line after "Database Error in model ..." is PostgreSQL's own.
    reasons = [lines[n + 1] for n, line in enumerate(lines[:-1]) if " Error" in line]
    return "; ".join([*said, *reasons][:8]) or lines[-1]
