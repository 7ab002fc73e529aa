"""`tradeloom charts`: declare charts, see which are kept, and read their bars as known at a time."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import click

from orchestration.asked_times import NUMBER, moment_of
from trading.chart_bars.chart import STYLES, TRADES, Chart


@click.group()
def charts() -> None:
    """Bars by trades, volume, money, range, Renko bricks, Heikin-Ashi or time, from trades or finer bars."""


@charts.command(short_help="Keep a chart from now on.")
@click.argument("style", type=click.Choice(STYLES))
@click.argument("parameter")
@click.option("--symbols", required=True, help="Such as AAPL,MSFT.")
@click.option("--source", required=True, help="Whose trades or bars: files, or a vendor's name.")
@click.option("--from", "fed", default=TRADES, show_default=True, help="trades, or the interval of finer bars: 1m.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def add(style: str, parameter: str, symbols: str, source: str, fed: str, as_json: bool) -> None:
    """Keep the chart STYLE PARAMETER of each symbol: its bars of all there is, and of all that comes.

    PARAMETER: prints (tick), size (volume), money (dollar), price (range, renko), or an interval (time, heikin_ashi).
    """
    from trading.adapters.charts import declare

    made = declare(_url(), Chart.of(style, parameter, fed), source, _names(symbols))
    told = {"charts": [one.as_dict() for one in made]}
    click.echo(json.dumps(told) if as_json else "\n".join(one.sentence() for one in made))


@charts.command(short_help="Keep a chart no longer.")
@click.argument("style", type=click.Choice(STYLES))
@click.argument("parameter")
@click.option("--symbols", required=True, help="Such as AAPL,MSFT.")
@click.option("--source", required=True, help="Whose trades or bars.")
@click.option("--from", "fed", default=TRADES, show_default=True, help="trades, or the interval of finer bars: 1m.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def stop(style: str, parameter: str, symbols: str, source: str, fed: str, as_json: bool) -> None:
    """Keep the chart STYLE PARAMETER no longer; the bars that it has stay."""
    from trading.adapters.charts import stop as stop_charts

    stopped = stop_charts(_url(), Chart.of(style, parameter, fed), source, _names(symbols))
    click.echo(json.dumps({"stopped": stopped}) if as_json else f"stopped: {', '.join(stopped)}")


@charts.command(name="list", short_help="The charts that are kept.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def list_(as_json: bool) -> None:
    """Show the charts that are kept, with the number of their bars and the newest one."""
    from trading.adapters.charts import kept

    found = kept(_url())
    lines = [one.sentence() for one in found] or ["no chart is kept; `tradeloom charts add` declares one"]
    click.echo(json.dumps({"charts": [one.as_dict() for one in found]}) if as_json else "\n".join(lines))


@charts.command(short_help="Bars of one chart, as known at a time.")
@click.argument("style", type=click.Choice(STYLES))
@click.argument("parameter")
@click.option("--symbol", required=True, help="Such as AAPL.")
@click.option("--source", required=True, help="Whose trades or bars.")
@click.option("--from", "fed", default=TRADES, show_default=True, help="trades, or the interval of finer bars: 1m.")
@click.option("--as-of", "as_of", help="A time with its zone, such as 2012-06-01T20:15:00Z. Default: now.")
@click.option("--watermark", type=NUMBER, help="Only what was published up to this number. Default: everything.")
@click.option(
    "--last", "how_many", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="The newest N."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def bars(
    style: str,
    parameter: str,
    symbol: str,
    source: str,
    fed: str,
    as_of: str | None,
    watermark: int | None,
    how_many: int,
    as_json: bool,
) -> None:
    """Show the newest closed bars of the chart STYLE PARAMETER of a symbol, oldest first."""
    from trading.adapters.charts import read_bars

    moment = moment_of(as_of) if as_of else datetime.now(UTC)
    found = read_bars(_read_url(), Chart.of(style, parameter, fed), source, symbol, moment, watermark, how_many)
    lines = [one.sentence() for one in found] or [f"no closed bar of {symbol} was known at {moment.isoformat()}"]
    click.echo(json.dumps({"bars": [one.as_dict() for one in found]}) if as_json else "\n".join(lines))


def _names(symbols: str) -> list[str]:
    return sorted({name for name in symbols.replace(" ", "").split(",") if name})


def _url() -> str:
    from infra.local.endpoints import Endpoints

    return Endpoints.resolve(os.environ).postgres_url


def _read_url() -> str:
    from infra.local.endpoints import Endpoints

    return Endpoints.resolve(os.environ).read_url
