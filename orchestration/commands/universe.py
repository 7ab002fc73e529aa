"""`tradeloom universe`: which symbols belonged to a universe on a date, as it was known at a time."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import click

from orchestration.asked_times import NUMBER, day_of, moment_of
from trading.errors import InputError


@click.command()
@click.argument("name")
@click.option(
    "--on", "on_date", help="The date of membership, such as 2012-06-01. Default: the date of --as-of in UTC."
)
@click.option("--as-of", "as_of", help="A time with its zone, such as 2012-06-01T20:15:00Z. Default: now.")
@click.option("--watermark", type=NUMBER, help="Only what was published up to this number. Default: everything.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def universe(name: str, on_date: str | None, as_of: str | None, watermark: int | None, as_json: bool) -> None:
    """Show the members of the universe NAME, as `tradeloom ingest universe` delivered them."""
    from infra.local.endpoints import Endpoints
    from trading.adapters.postgres import connection
    from trading.adapters.universes import members, universe_names
    from trading.adapters.warehouse import newest_watermark

    moment = moment_of(as_of) if as_of else datetime.now(UTC)
    day = day_of(on_date) if on_date else moment.astimezone(UTC).date()
    with connection(Endpoints.resolve(os.environ).postgres_url) as conn:
        up_to = newest_watermark(conn) if watermark is None else watermark
        names = universe_names(conn)
        found = members(conn, name, day, moment, up_to)
    if name not in names:
        known = f"found {', '.join(names)}" if names else "found none; `tradeloom ingest universe` delivers one"
        raise InputError(f"expected the name of a universe, not {name!r}: {known}")
    told = {"universe": name, "on": day.isoformat(), "as_of": moment.isoformat(), "watermark": up_to, "symbols": found}
    click.echo(json.dumps(told) if as_json else f"{name} on {day}: {len(found)} members: {', '.join(found)}")
