"""`tradeloom sources`: the vendors and what they declare, each symbol's list of sources, and where sources disagree."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from orchestration.asked_times import moment_of
from orchestration.doors import Door, Doors
from trading.errors import InputError

_HERE = "orchestration.commands.sources"
SUBCOMMANDS = {
    "list": Door(_HERE, "list_sources", "The vendors: what each has, how far back, its limits, its credentials."),
    "order": Door(_HERE, "order", "Which source is asked first for a symbol, and which after it."),
    "compare": Door(_HERE, "compare", "Bars that two sources price differently."),
}
_SHOWN = 40


@click.group(cls=Doors, doors=SUBCOMMANDS)
def sources() -> None:
    """The vendors, their order, and their disagreements."""


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def list_sources(as_json: bool) -> None:
    """Show every vendor and what it declares; of a credential only whether it is in the environment."""
    from trading.adapters.sources.registry import VENDORS, vendor_named

    told = [_declared(vendor_named(name)) for name in sorted(VENDORS)]
    click.echo(json.dumps(told) if as_json else "\n".join(map(_in_words, told)))


def _declared(vendor: Any) -> dict[str, Any]:
    return {
        "source": vendor.name,
        "kinds": list(vendor.kinds),
        "intervals": list(vendor.intervals),
        "adjustment": vendor.adjustment,
        "lag_minutes": vendor.lag.total_seconds() / 60,
        "calendar": vendor.calendar,
        "requests_per_minute": vendor.requests_per_minute,
        "page_size": vendor.page_size,
        "reaches_back_days": {interval: reach.days for interval, reach in vendor.reaches_back.items()},
        "credentials": {name: bool(os.environ.get(name)) for name in vendor.credentials},
    }


def _in_words(told: dict[str, Any]) -> str:
    secrets = ", ".join(f"{name} ({'set' if there else 'missing'})" for name, there in told["credentials"].items())
    parts = [", ".join(told["kinds"])]
    if "prices" in told["kinds"]:
        reach = ", ".join(f"{interval} {days} days" for interval, days in told["reaches_back_days"].items())
        parts += [", ".join(told["intervals"]) or "bars as its variants have them"]
        parts += [f"prices {told['adjustment'] or 'as each page says'}", f"back {reach or 'without limit'}"]
    parts += [f"lag {told['lag_minutes']:g} min", f"{told['requests_per_minute']} requests a minute"]
    return f"{told['source']:10} {'; '.join(parts)}; credentials {secrets or 'none'}"


@click.command()
@click.argument("names", nargs=-1, metavar="[SOURCE]...")
@click.option("--symbols", default="", help="Comma-separated. Default: every symbol without a list of its own.")
@click.option("--kind", type=click.Choice(["prices", "actions", "news"]), default="prices", show_default=True)
@click.option("--none", "withdraw", is_flag=True, help="Withdraw the list.")
@click.option("--as-of", "as_of", help="The lists as known at a time with its zone. Default: now.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def order(names: tuple[str, ...], symbols: str, kind: Any, withdraw: bool, as_of: str | None, as_json: bool) -> None:
    """Write the list of sources, the first asked first: `tradeloom sources order alpaca yfinance --symbols AAPL`.

    Without sources the lists are shown. A list is known from now on; what was fetched before stays as it was served.
    """
    from infra.local.endpoints import Endpoints
    from trading.adapters.asking import symbols_of
    from trading.adapters.postgres import connection
    from trading.adapters.source_orders import lists, put_order
    from trading.adapters.sources.registry import vendor_named
    from trading.adapters.warehouse import newest_watermark

    if names and (withdraw or as_of):
        raise InputError("expected sources, or --none, or --as-of, found several of them")
    for name in names:
        if kind not in (vendor := vendor_named(name)).kinds:
            raise InputError(f"expected sources of {kind}, found {name}, which has {', '.join(vendor.kinds)}")
    now = datetime.now(UTC)
    with connection(Endpoints.resolve(os.environ).postgres_url) as conn:
        if names or withdraw:
            put_order(conn, kind, symbols_of(symbols) or [None], names, now)
        found = lists(conn, kind, moment_of(as_of) if as_of else now, newest_watermark(conn))
    told = [{"symbol": symbol, "sources": list(listed)} for symbol, listed in found.items()]
    words = [f"{one['symbol'] or 'every other symbol'}: {', '.join(one['sources'] or ())}" for one in told]
    click.echo(json.dumps(told) if as_json else "\n".join(words) or f"no lists of sources of {kind}")


@click.command()
@click.option("--symbols", default="", help="Comma-separated. Default: all.")
@click.option("--tolerance", default="0.001", show_default=True, help="Fraction of the price up to which they agree.")
@click.option("--as-of", "as_of", help="As known at a time with its zone. Default: now.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def compare(symbols: str, tolerance: str, as_of: str | None, as_json: bool) -> None:
    """Show the prices that two sources tell differently of the same bar. Nothing is changed."""
    from infra.local.endpoints import Endpoints
    from trading.adapters.asking import symbols_of
    from trading.adapters.postgres import connection
    from trading.adapters.source_orders import disagreements
    from trading.adapters.warehouse import newest_watermark

    moment = moment_of(as_of) if as_of else datetime.now(UTC)
    with connection(Endpoints.resolve(os.environ).postgres_url) as conn:
        found = disagreements(
            conn, moment, newest_watermark(conn), tolerance=_fraction(tolerance), symbols=symbols_of(symbols) or None
        )
    if as_json:
        click.echo(json.dumps([vars(one) for one in found], default=str))
        return
    lines = [
        f"{one.symbol} {one.interval} {one.timestamp:%Y-%m-%d %H:%M} {one.field}: {one.source} {one.price.normalize():f}, "
        f"{one.other_source} {one.other_price.normalize():f} ({one.difference:.4%} apart)"
        for one in found[:_SHOWN]
    ]
    if (more := len(found) - _SHOWN) > 0:
        lines.append(f"... and {more} more; --json has them all")
    click.echo("\n".join(lines) or "no two sources disagree")


def _fraction(text: str) -> Decimal:
    if not text.replace(".", "", 1).isdecimal():
        raise InputError(f"expected a tolerance such as 0.001, found {text!r}")
    return Decimal(text)
