"""`tradeloom blast-radius --batch ID | --symbol S [--from D] [--to D] [--rebuild]`: who consumed what was changed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from orchestration.asked_times import NUMBER

if TYPE_CHECKING:
    from infra.local.endpoints import Endpoints


@click.command("blast-radius")
@click.option(
    "--batch", type=NUMBER, help="A batch: what it corrected, and what of it was corrected or recalled since."
)
@click.option("--symbol", help="A symbol: its bars, splits and news that were corrected, late or recalled.")
@click.option("--from", "first", help="The first bar, such as 2012-03-01. With --symbol; default: its first.")
@click.option("--to", "last", help="The last bar, included. With --symbol; default: its last.")
@click.option("--source", help="Only this source. With --symbol; default: all.")
@click.option("--rebuild", is_flag=True, help="Materialize again what it reaches, and only that.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, every id included; progress goes to stderr.")
def blast_radius(
    batch: int | None,
    symbol: str | None,
    first: str | None,
    last: str | None,
    source: str | None,
    rebuild: bool,
    as_json: bool,
) -> None:
    """Show every feature row, training set, model, promotion, backtest, decision and position that consumed what was
    corrected, came late, or was recalled after use. It is a report: it ends with 0 whatever it finds.
    """
    from infra.local.endpoints import Endpoints
    from orchestration.asked_bars import asked_bars

    asked = asked_bars(batch, symbol, first, last, source)
    endpoints = Endpoints.resolve(os.environ)
    found = _traced(endpoints, asked)
    answer = found.to_dict()
    if not as_json:
        click.echo("\n".join(found.lines()))
    if rebuild:
        answer["rebuilt"] = _rebuilt(endpoints, found, as_json)
    if as_json:
        click.echo(json.dumps(answer))


def _traced(endpoints: Endpoints, asked: Any) -> Any:
    from feature_store.blast_report import blast_radius as trace
    from trading.adapters.known_names import refuse_unknown_source, refuse_unknown_symbols
    from trading.adapters.postgres import connection
    from trading.adapters.registry import ModelRegistry

    with connection(endpoints.postgres_url, application="tradeloom-blast-radius") as conn:
        refuse_unknown_source(conn, asked.source)
        refuse_unknown_symbols(conn, [asked.symbol] if asked.symbol is not None else [])
        return trace(conn, asked, ModelRegistry(endpoints.mlflow_url))


def _rebuilt(endpoints: Endpoints, found: Any, as_json: bool) -> dict[str, Any]:
    import dagster as dg

    from infra.local.dagster import write_instance
    from infra.local.home import Home
    from orchestration.failures import clear_errors
    from orchestration.rebuild import rebuild

    os.environ.update(endpoints.environment())
    home = Home.resolve(os.environ)
    write_instance(home)
    with clear_errors(), dg.DagsterInstance.get() as instance:
        done = rebuild(found, instance, lambda line: click.echo(line, err=as_json), home.logs / "rebuild.log")
    if not as_json:
        click.echo("\n".join(done.lines()))
    return done.to_dict()
