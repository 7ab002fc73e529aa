"""`tradeloom leaks check`: judge one definition by itself, before it is in any training set."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trading.errors import InputError

if TYPE_CHECKING:
    from trading.leaks.findings import Report


@click.group()
def leaks() -> None:
    """Recompute features without the future, and with another one; what changes in the past leaks."""


@leaks.command(short_help="Judge one dbt model or Python file.")
@click.argument("target", metavar="MODEL_OR_FILE")
@click.option(
    "--data",
    is_flag=True,
    help="Judge a Python file on the warehouse's newest bars too, not only on the made-up market.",
)
@click.option(
    "--full", is_flag=True, help="Cut at every decision (a Python file), or at every moment (a large versioned model)."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_context
def check(ctx: click.Context, target: str, data: bool, full: bool, as_json: bool) -> None:
    """Judge MODEL_OR_FILE: a dbt model by its name or file, or a Python file with declared functions.

    A Python file is executed, as importing it would. Exit code 1 if anything leaks.
    """
    reports = _of_file(Path(target), data=data, full=full) if target.endswith(".py") else _of_models(target, full=full)
    passed = all(report.passed for report in reports)
    if as_json:
        click.echo(json.dumps({"passed": passed, "reports": [report.to_dict() for report in reports]}))
    else:
        for report in reports:
            click.echo("\n".join(report.sentences()))
    if not passed:
        ctx.exit(1)


def _of_file(path: Path, *, data: bool, full: bool) -> list[Report]:
    from feature_store.leaks.gate import judge_declared
    from trading.leaks.loading import declared_in_file

    declared, world = declared_in_file(path), None
    if data:
        world = _own_world()
    return judge_declared(declared, world, full=full)


def _own_world() -> object:
    """Return a world of the active daily definition's source with the most bars."""
    from feature_store.definitions import active
    from feature_store.leaks.definitions import rolled_back
    from feature_store.leaks.subjects import registered
    from feature_store.leaks.world import read_world
    from feature_store.views import DAILY

    url = _url()
    daily = active(url, DAILY)
    with rolled_back(url) as conn:
        row = conn.execute(
            "select source, array_agg(distinct symbol) from features.daily where definition = %s"
            " group by source order by count(*) desc, source limit 1",
            (daily,),
        ).fetchone()
        world = None if row is None else read_world(conn, registered(conn, daily), row[0], row[1])
    if world is None:
        raise InputError("expected bars to judge by, found none; ingest prices and build the features first")
    return world


def _of_models(target: str, *, full: bool) -> list[Report]:
    from feature_store.leaks.definitions import judge_definition, rolled_back
    from feature_store.leaks.gate import scorer_variables
    from feature_store.leaks.models import judge_model
    from feature_store.leaks.project import model_named
    from feature_store.leaks.subjects import compiled

    # An expression of one's own is a part of both versioned models.
    is_expression = Path(target).parent.name == "features" and Path(target).parent.parent.name == "macros"
    url, reports = _url(), []
    for name in ("indicators", "daily") if is_expression else (target,):
        model = model_named(url, name, scorer_variables(url))
        with rolled_back(url) as conn:
            if model.is_versioned:
                subject = compiled(conn, model.relation, model.sql, dict(model.parameters))
                reports.append(judge_definition(conn, subject, thorough=full or None))
            else:
                reports.append(judge_model(conn, model))
    return reports


def _url() -> str:
    from infra.local.endpoints import Endpoints

    return Endpoints.resolve(os.environ).postgres_url
