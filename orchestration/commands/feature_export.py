"""`tradeloom features export`: rows as of (t, w) as Parquet in the object store, a file per year, for DuckDB and others."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import click

from orchestration.asked_times import NUMBER, moment_of


@click.command()
@click.option(
    "--view",
    default="features.daily",
    show_default=True,
    help="A view of features, such as marts.indicators, or raw.price_bars: bars as they were delivered.",
)
@click.option("--interval", default="1d", show_default=True, help="The length of a bar, such as 1m.")
@click.option("--as-of", "as_of", help="A time with its zone, such as 2012-06-01T20:15:00Z. Default: now.")
@click.option("--watermark", type=NUMBER, help="Only what was published up to this number. Default: the newest.")
@click.option("--source", help="Whose prices. Default: every source's.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def export(
    view: str, interval: str, as_of: str | None, watermark: int | None, source: str | None, as_json: bool
) -> None:
    """Put every row of a view into the object store, each in its newest version as of a time.

    The same question again gives the same files. What is held in memory is a few thousand rows, however many there are.
    """
    from feature_store.exports import question_of, write_export
    from infra.local.endpoints import Endpoints
    from trading.adapters.known_names import refuse_unknown_source
    from trading.adapters.object_store import ObjectStore
    from trading.adapters.postgres import connection
    from trading.adapters.warehouse import newest_watermark

    found = Endpoints.resolve(os.environ)
    store = ObjectStore(found.s3_endpoint, found.s3_access_key, found.s3_secret_key, found.s3_bucket)
    moment = moment_of(as_of) if as_of else datetime.now(UTC)
    with connection(found.read_url) as conn:
        refuse_unknown_source(conn, source)
        up_to = newest_watermark(conn) if watermark is None else watermark
    made = write_export(found.read_url, store, question_of(found.read_url, view, moment, up_to, interval, source))
    if as_json:
        click.echo(json.dumps(made.as_dict()))
        return
    for file in made.files:
        click.echo(f"{file.year}  {file.rows:>12,} rows  {file.key}")
    click.echo(f"{made.rows:,} rows of {view} as of watermark {up_to}; their list: {made.key}")
