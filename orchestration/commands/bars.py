"""`tradeloom features bars`: bars as known at a time, adjusted for splits, as of a day, or for total return."""

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

_SHOWN = 10


@click.command()
@click.option("--symbols", required=True, help="Comma-separated, such as AAPL,MSFT.")
@click.option(
    "--adjustment",
    type=click.Choice(["forward", "back", "total_return"]),
    default="forward",
    show_default=True,
    help="By splits up to each bar; the same with the newest prices as traded; or dividends reinvested too.",
)
@click.option("--as-of", "as_of", help="A time with its zone, such as 2012-06-01T20:15:00Z. Default: now.")
@click.option("--watermark", type=NUMBER, help="Only what was published up to this number. Default: everything.")
@click.option("--interval", default="1d", show_default=True, help="The length of a bar, such as 1h.")
@click.option("--source", help="Whose prices. Default: the source of best precedence that has the symbol.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def bars(
    symbols: str,
    adjustment: Any,
    as_of: str | None,
    watermark: int | None,
    interval: str,
    source: str | None,
    as_json: bool,
) -> None:
    """Show the bars of SYMBOLS as they were known at a time, adjusted. Prices and factors are exact decimals, as text."""
    from infra.local.endpoints import Endpoints
    from trading.adapters.adjusted_bars import adjusted_bars
    from trading.adapters.known_names import refuse_unknown_interval, refuse_unknown_source, refuse_unknown_symbols
    from trading.adapters.postgres import connection
    from trading.adapters.warehouse import newest_watermark

    names = [name.strip() for name in symbols.split(",") if name.strip()]
    if not names:
        raise InputError(f"expected symbols such as AAPL,MSFT, found {symbols!r}")
    moment = moment_of(as_of) if as_of else datetime.now(UTC)
    with connection(Endpoints.resolve(os.environ).postgres_url) as conn:
        refuse_unknown_source(conn, source)
        refuse_unknown_symbols(conn, names)
        refuse_unknown_interval(conn, interval, names)
        up_to = newest_watermark(conn) if watermark is None else watermark
        found = [
            adjusted_bars(conn, name, moment, up_to, adjustment=adjustment, interval=interval, source=source)
            for name in names
        ]
    if as_json:
        click.echo(
            json.dumps({"as_of": moment.isoformat(), "watermark": up_to, "series": [_plain(one) for one in found]})
        )
    else:
        for series in found:
            _print(series)


def _plain(series: AdjustedSeries) -> dict[str, Any]:
    told = {name: getattr(series, name) for name in ("source", "symbol", "interval", "adjustment")}
    rows = [{name: _text(value) for name, value in asdict(bar).items()} for bar in series.bars]
    return {**told, "notes": list(series.notes), "bars": rows}


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
