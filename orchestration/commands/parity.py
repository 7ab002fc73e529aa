"""`tradeloom parity`: what of all that was served came out again, as the newest daily run found it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from trading.errors import InputError

if TYPE_CHECKING:
    from trading.adapters.parity_runs import ParityRun


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def parity(as_json: bool) -> None:
    """Show the newest run of parity: the share that is identical, the first difference and its cause.

    Exit 1 if something differs. Nothing is computed here: `daily_update` does that every day, `full_parity` asks for all.
    """
    from infra.local.endpoints import Endpoints
    from trading.adapters.parity_runs import newest_run
    from trading.adapters.postgres import connection

    with connection(Endpoints.resolve(os.environ).postgres_url) as conn:
        run = newest_run(conn)
    if run is None:
        raise InputError(
            "expected a run of parity, found none yet; materialize trading/parity_runs, as `daily_update` does every day"
        )
    click.echo(json.dumps(run.as_dict()) if as_json else in_words(run))
    if run.differing:
        sys.exit(1)


def in_words(run: ParityRun) -> str:
    """Return a run as lines for a terminal."""
    lines = [
        f"{run.identical_in_all} of {run.served_in_all} served in all are identical"
        f" (run {run.parity_id}, {run.mode}, {run.recorded_at:%Y-%m-%d %H:%M} UTC)"
    ]
    asked = {"all": _outcomes(run)} if run.kinds is None else run.kinds
    lines += [f"asked in it, {kind:10} {_counted(counts)}" for kind, counts in asked.items()]
    if run.causes:
        lines.append(f"causes: {_counted(run.causes)}")
    if run.first_difference is not None:
        first = run.first_difference
        lines.append(f"first: {first['kind']} {first['id']}: {first['cause']}: {first['detail']}")
    return "\n".join(lines)


def _outcomes(run: ParityRun) -> dict[str, int]:
    return {"identical": run.identical, "elsewhere": run.elsewhere, "differs": run.differing}


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))
