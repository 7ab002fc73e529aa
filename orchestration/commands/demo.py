"""`tradeloom demo`: the main job, end to end, on the sample, the user's files or a vendor's bars, and what came of it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.summary import in_words
from trading.errors import InputError

if TYPE_CHECKING:
    from assets.scope import MarketScope

ENGINES = frozenset({"postgres", "s3", "mlflow", "oracle", "analyst"})
FILE = click.Path(path_type=Path)  # whether it can be read is said in one line, as every mistake


@click.command()
@click.option(
    "--prices", type=FILE, help="Your bars, CSV or Parquet: symbol, timestamp, open, high, low, close, volume."
)
@click.option("--source", default="", help="A vendor such as yfinance or ccxt:binance, with the bars that are there.")
@click.option(
    "--from",
    "first",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Fetch the vendor's bars of --symbols since this day first.",
)
@click.option("--news", type=FILE, help="Your headlines, CSV or Parquet: id, published_at, symbols, headline, url.")
@click.option("--symbols", default="", help="Comma-separated. Default: up to 12 of the file, the most complete first.")
@click.option("--universe", default="", help="A universe that was ingested: a symbol counts while it was a member.")
@click.option("--adjustment", type=click.Choice(["raw", "split", "all"]), help="What your prices are; default: raw.")
@click.option("--calendar", help="The exchange calendar of symbols that are not known yet; default: XNYS.")
@click.option("--map", "columns", multiple=True, help="OUR_COLUMN=YOUR_COLUMN, where the usual names do not find it.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON; progress goes to stderr.")
def demo(
    prices: Path | None,
    source: str,
    first: datetime | None,
    news: Path | None,
    symbols: str,
    universe: str,
    adjustment: str | None,
    calendar: str | None,
    columns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the main job: data, features, models, gate, two paper sessions, and the report."""
    started = time.monotonic()
    from infra.local.dagster import write_instance
    from infra.local.home import Home
    from infra.local.platform import running_platform
    from orchestration.failures import clear_errors
    from orchestration.preflight import days_there, examined

    told_to = sys.stderr if as_json else sys.stdout  # as it is now: the run sends what libraries print elsewhere

    def tell(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:6.1f} s] {line}", file=told_to)

    scope = _scope(prices, source, news, symbols, universe, adjustment, calendar, columns)
    fetch = _first_fetch(scope, first.date(), tell, as_json) if first else None
    days = None if scope.vendor else examined(scope)
    tell("starting the engines: PostgreSQL, S3, MLflow, oracle, analyst")
    with running_platform(ENGINES, os.environ, tell=tell) as endpoints:
        os.environ.update(endpoints.environment())
        write_instance(Home.resolve(os.environ))
        if fetch:
            fetch()
        with clear_errors():
            summary = _main_job(scope, days or days_there(scope, endpoints.postgres_url), tell)
    summary["seconds"] = round(time.monotonic() - started, 1)
    click.echo(json.dumps(summary, default=str) if as_json else in_words(summary))


def _first_fetch(scope: MarketScope, first: date, tell: Callable[[str], None], quiet: bool) -> Callable[[], None]:
    """Return what brings in the vendor's bars once the engines run; what is wrong with the question is said now."""
    from orchestration.commands.bring import bring_in, refuse_what_cannot_be_had

    if not scope.vendor:
        raise InputError("expected --source VENDOR beside --from, found none; files and the sample have their own days")
    refuse_what_cannot_be_had(scope.source, scope.symbols, first)
    return partial(bring_in, scope.source, scope.symbols, first, tell, quiet=quiet)


def _main_job(scope: MarketScope, days: tuple[date, date], tell: Callable[[str], None]) -> dict[str, Any]:
    tell("loading the definitions")
    import dagster as dg

    from orchestration.main_job import run_main_job
    from orchestration.summary import summary_of

    with dg.DagsterInstance.get() as instance:
        log = Path(os.environ["TRADELOOM_HOME"]) / "logs" / "main-job.log"
        try:
            result = run_main_job(scope, days, instance, tell, log)
        except dg.DagsterExecutionInterruptedError as error:  # Dagster turns Ctrl-C into this
            raise click.Abort from error
        summary = summary_of(result, scope.source)
        if scope.is_sample:
            from orchestration.revision_scene import revise_the_sample

            summary["revision"] = revise_the_sample(instance, tell, log.with_name("rebuild.log"))
        return summary


def _scope(
    prices: Path | None,
    source: str,
    news: Path | None,
    symbols: str,
    universe: str,
    adjustment: str | None,
    calendar: str | None,
    columns: tuple[str, ...],
) -> MarketScope:
    from assets.scope import MarketScope

    chosen = [name.strip() for name in symbols.split(",") if name.strip()]
    if prices is None:
        _refuse_without_prices({"--news": news, "--map": columns, "--adjustment": adjustment, "--calendar": calendar})
        return _of_vendor(source, chosen, universe) if source else MarketScope(symbols=chosen, universe=universe)
    if source:
        raise InputError("expected --prices FILE or --source VENDOR, found both")
    return MarketScope(
        source="files",
        prices_file=str(prices.resolve()),
        news_file=str(news.resolve()) if news else "",
        symbols=chosen,
        universe=universe,
        adjustment=adjustment or "raw",
        calendar=calendar or "XNYS",
        columns=_mapping(columns),
    )


def _of_vendor(source: str, symbols: list[str], universe: str) -> MarketScope:
    from assets.scope import MarketScope
    from trading.adapters.sources.registry import vendor_named

    scope = MarketScope(source=source, symbols=symbols, universe=universe)
    if not scope.vendor or "prices" not in vendor_named(source).kinds:
        raise InputError(f"expected a vendor of prices such as yfinance, found --source {source}; a file has --prices")
    return scope


def _refuse_without_prices(options: dict[str, object]) -> None:
    if given := [name for name, value in options.items() if value]:
        raise InputError(f"expected --prices FILE beside {given[0]}, found none; without prices nothing is traded")


def _mapping(pairs: tuple[str, ...]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    if wrong := [
        pair for pair, (ours, equals, theirs) in zip(pairs, split, strict=True) if not (ours and equals and theirs)
    ]:
        raise InputError(f"expected --map OUR_COLUMN=YOUR_COLUMN, found {wrong[0]!r}")
    return {ours: theirs for ours, _, theirs in split}
