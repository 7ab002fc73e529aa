"""`tradeloom purge`: what has grown old and nothing refers to any more. Each command says what would go unless told to delete."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from orchestration.doors import Door, Doors

if TYPE_CHECKING:
    from infra.local.endpoints import Endpoints
    from orchestration.old_runs import Purge

_HERE = "orchestration.commands.purge"
SUBCOMMANDS = {
    "runs": Door(_HERE, "runs", "Old runs and their events in Dagster's log."),
}
OLDER_THAN = click.option(
    "--older-than",
    "days",
    type=click.IntRange(1, 36_500),
    default=90,
    show_default=True,
    help="Only what is older than this many days.",
)
DELETE = click.option("--delete", is_flag=True, help="Take it away. Without it: say what would go, and take nothing.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group(cls=Doors, doors=SUBCOMMANDS)
def purge() -> None:
    """Take away what is old and no longer referred to. Nothing goes without --delete."""


@click.command()
@OLDER_THAN
@click.option(
    "--most", type=click.IntRange(1), default=1_000, show_default=True, help="No more runs than this at once."
)
@DELETE
@AS_JSON
def runs(days: int, most: int, delete: bool, as_json: bool) -> None:
    """Take finished runs and their events out of Dagster's log, the oldest first.

    A run that holds the newest materialization of an asset or a partition stays. The job `purge_event_log` does the same.
    """
    from infra.local.endpoints import Endpoints

    done = _purged(Endpoints.resolve(os.environ), days, most, delete=delete)
    if as_json:
        click.echo(json.dumps({"deleted": delete, **done.as_dict()}))
    else:
        click.echo(done.sentence(deleted=delete))


def _purged(endpoints: Endpoints, days: int, most: int, *, delete: bool) -> Purge:
    import dagster as dg

    from infra.local.dagster import write_instance
    from infra.local.home import Home
    from orchestration.failures import clear_errors
    from orchestration.old_runs import purge_runs

    assert endpoints.postgres_url, "Dagster's log is in the same PostgreSQL: without it this has raised"
    os.environ.update(endpoints.environment())
    write_instance(Home.resolve(os.environ))
    with clear_errors(), dg.DagsterInstance.get() as instance:
        return purge_runs(instance, datetime.now(UTC) - timedelta(days=days), most, delete=delete)
