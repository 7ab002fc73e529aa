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
    "models": Door(_HERE, "models", "Model versions that nothing refers to, with their artefacts."),
    "answers": Door(_HERE, "answers", "Old recorded answers of the services that parity has made again."),
    "cache": Door(_HERE, "cache", "Local copies of feature rows that were not used lately."),
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


@click.command()
@OLDER_THAN
@click.option("--most", type=click.IntRange(1), default=100, show_default=True, help="No more versions than this.")
@DELETE
@AS_JSON
def models(days: int, most: int, delete: bool, as_json: bool) -> None:
    """Take away model versions that nothing refers to, with their artefacts in MLflow, the oldest first.

    A version stays that an alias, a session, a decision, a backtest or a promotion names, and the newest of each model.
    Payloads and training sets are never touched.
    """
    from infra.local.disk import in_words
    from infra.local.endpoints import Endpoints
    from trading.adapters.postgres import connection
    from trading.adapters.registry import ModelRegistry
    from trading.adapters.unused_versions import remove_version, unused_versions

    endpoints = Endpoints.resolve(os.environ)
    registry = ModelRegistry(endpoints.mlflow_url)
    with connection(endpoints.postgres_url, application="tradeloom-purge") as conn:
        found = unused_versions(conn, registry, datetime.now(UTC) - timedelta(days=days), most)
        for one in found if delete else ():
            remove_version(conn, registry, one)
    if as_json:
        click.echo(json.dumps({"deleted": delete, "versions": [one.as_dict() for one in found]}))
        return
    for one in found:
        click.echo(f"{one.name} version {one.version} of {one.created_at:%Y-%m-%d}: {in_words(one.bytes)}")
    click.echo(_total(len(found), "versions", sum(one.bytes for one in found), delete))


@click.command()
@OLDER_THAN
@click.option(
    "--most",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="No more answers of an endpoint than this.",
)
@DELETE
@AS_JSON
def answers(days: int, most: int, delete: bool, as_json: bool) -> None:
    """Take away recorded answers of /predict, /score, /decide and /sentiment outside sessions, the oldest first.

    Only those that parity has made again. One that it was not asked yet, one that came out otherwise, and one under the
    trace of a decision stays.
    """
    from infra.local.endpoints import Endpoints
    from trading.adapters.answer_purges import purge_answers
    from trading.adapters.postgres import connection

    before = datetime.now(UTC) - timedelta(days=days)
    with connection(Endpoints.resolve(os.environ).postgres_url, application="tradeloom-purge") as conn:
        done = purge_answers(conn, before, most, delete=delete)
    if as_json:
        told = {"deleted": delete, "before": before.isoformat(), "endpoints": [one.as_dict() for one in done]}
        click.echo(json.dumps(told))
        return
    for one in done:
        click.echo(one.sentence(deleted=delete))


@click.command()
@OLDER_THAN
@DELETE
@AS_JSON
def cache(days: int, delete: bool, as_json: bool) -> None:
    """Take away copies of feature rows that nothing was added to for a while. Large joins make them anew."""
    from infra.local.home import Home
    from infra.local.old_copies import old_copies, remove_copy

    found = old_copies(Home.resolve(os.environ).path, datetime.now(UTC) - timedelta(days=days))
    for one in found if delete else ():
        remove_copy(one)
    if as_json:
        copies = [{"path": str(one.path), "bytes": one.bytes} for one in found]
        click.echo(json.dumps({"deleted": delete, "copies": copies}))
        return
    click.echo(_total(len(found), "copies", sum(one.bytes for one in found), delete))


def _total(count: int, what: str, size: int, delete: bool) -> str:
    from infra.local.disk import in_words

    return f"{count} {what}, {in_words(size)} {'taken away' if delete else 'would go; say --delete to take them away'}"
