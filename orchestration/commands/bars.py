"""`tradeloom features bars`: bars as known at a time, adjusted for splits, as of a day, or for total return.

With `--of` they are made of a stored series of shorter bars.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from orchestration.asked_times import NUMBER, moment_of
from trading.errors import InputError

if TYPE_CHECKING:
    from trading.adapters.adjusted_bars import AdjustedSeries
    from trading.adapters.resampled_bars import ResampledSeries

_SHOWN = 10
_ASKED = ("symbol", "interval", "of", "adjustment")


@click.command()
@click.option("--symbols", required=True, help="Comma-separated, such as AAPL,MSFT.")
@click.option(
    "--adjustment",
    type=click.Choice(["forward", "back", "total_return", "none"]),
    default="forward",
    show_default=True,
    help="By splits up to each bar; the same with the newest prices as traded; dividends reinvested too; with --of, none.",
)
@click.option("--as-of", "as_of", help="A time with its zone, such as 2012-06-01T20:15:00Z. Default: now.")
@click.option("--watermark", type=NUMBER, help="Only what was published up to this number. Default: everything.")
@click.option("--interval", default="1d", show_default=True, help="The length of a bar, such as 1h.")
@click.option("--of", help="Make the bars of a stored series of shorter ones, such as 1d for --interval 1w.")
@click.option("--source", help="Whose prices. Default: the source of best precedence that has the symbol.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def bars(
    symbols: str,
    adjustment: Any,
    as_of: str | None,
    watermark: int | None,
    interval: str,
    of: str | None,
    source: str | None,
    as_json: bool,
) -> None:
    """Show the bars of SYMBOLS as they were known at a time, adjusted. Prices and factors are exact decimals, as text."""
    from infra.local.endpoints import Endpoints
    from trading.adapters.adjusted_bars import adjusted_bars
    from trading.adapters.known_names import refuse_unknown_interval, refuse_unknown_source, refuse_unknown_symbols
    from trading.adapters.postgres import connection
    from trading.adapters.replicas import hold
    from trading.adapters.resampled_bars import Resampling, resampled_bars
    from trading.adapters.warehouse import newest_watermark

    names = [name.strip() for name in symbols.split(",") if name.strip()]
    if not names:
        raise InputError(f"expected symbols such as AAPL,MSFT, found {symbols!r}")
    moment = moment_of(as_of) if as_of else datetime.now(UTC)
    with connection(Endpoints.resolve(os.environ).read_url) as conn:
        hold(conn, watermark)
        refuse_unknown_source(conn, source)
        refuse_unknown_symbols(conn, names)
        refuse_unknown_interval(conn, of or interval, names)
        up_to = newest_watermark(conn) if watermark is None else watermark
        if of is None:
            stored = [
                adjusted_bars(conn, name, moment, up_to, adjustment=adjustment, interval=interval, source=source)
                for name in names
            ]
        else:
            asked = [Resampling(name, interval, of, adjustment, source) for name in names]
            made = [resampled_bars(conn, one, moment, up_to) for one in asked]
    if as_json:
        series = [_plain(one) for one in stored] if of is None else [_plain_made(one) for one in made]
        click.echo(json.dumps({"as_of": moment.isoformat(), "watermark": up_to, "series": series}))
    elif of is None:
        for one in stored:
            _print(one)
    else:
        for one_made in made:
            _print_made(one_made)


def _plain(series: AdjustedSeries) -> dict[str, Any]:
    told = {name: getattr(series, name) for name in ("source", "symbol", "interval", "adjustment")}
    rows = [{name: _text(value) for name, value in asdict(bar).items()} for bar in series.bars]
    return {**told, "notes": list(series.notes), "bars": rows}


def _plain_made(series: ResampledSeries) -> dict[str, Any]:
    told = {"source": series.source, **{name: getattr(series.asked, name) for name in _ASKED}}
    kept = (bool, int)  # whether it is over, and how many bars went in
    return {
        **told,
        "bars": [
            {name: value if isinstance(value, kept) else _text(value) for name, value in asdict(bar).items()}
            for bar in series.bars
        ],
    }


def _text(value: datetime | Decimal) -> str:
    """A factor carries the zeros of each multiplication: they say nothing."""
    return value.isoformat() if isinstance(value, datetime) else format(value.normalize(), "f")


def _print(series: AdjustedSeries) -> None:
    if not series.bars:
        click.echo(f"no {series.interval} bars of {series.symbol} were known at {series.as_of.isoformat()}")
    for bar in series.bars[-_SHOWN:]:
        click.echo(
            f"{series.symbol:8} {bar.timestamp:%Y-%m-%d %H:%M}  close {bar.close:f}  adjusted {bar.adjusted_close:f}  "
            f"factor {bar.factor:.10f}"
        )
    if len(series.bars) > _SHOWN:
        click.echo(f"{len(series.bars)} bars, the newest {_SHOWN} are shown; --json gives all")
    for note in series.notes:
        click.echo(f"note: {note}")


def _print_made(series: ResampledSeries) -> None:
    asked = series.asked
    if not series.bars:
        click.echo(f"no {asked.of} bars of {asked.symbol} were known at {series.as_of.isoformat()}")
    for bar in series.bars[-_SHOWN:]:
        click.echo(
            f"{asked.symbol:8} {bar.timestamp:%Y-%m-%d %H:%M}  open {_text(bar.open)}  high {_text(bar.high)}  low {_text(bar.low)}  "
            f"close {_text(bar.close)}  volume {_text(bar.volume)}  of {bar.bars} bars{'' if bar.is_over else ', not over yet'}"
        )
    if len(series.bars) > _SHOWN:
        click.echo(f"{len(series.bars)} bars, the newest {_SHOWN} are shown; --json gives all")
