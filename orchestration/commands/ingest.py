"""`tradeloom ingest`: one batch of prices, corporate actions, news or members of a universe, with its report."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from trading.errors import InputError, NaiveTimeError


@click.command()
@click.argument("kind", type=click.Choice(["prices", "actions", "news", "universe", "trades"]))
@click.option(
    "--source",
    "source_name",
    help="Who delivers: sample, files, or a vendor such as yfinance. Default: by each symbol's list of sources.",
)
@click.option(
    "--symbols",
    default="",
    help="What a vendor is asked for: AAPL,MSFT; @NAME is whoever belonged to the universe NAME from --from to --to.",
)
@click.option(
    "--from",
    "first",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The first day that a vendor is asked for. Default with --live: where what is here ends.",
)
@click.option(
    "--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="The last day, included. Default: yesterday; --live: now."
)
@click.option(
    "--interval",
    default=None,
    help="The bars of a vendor, or of a file without such a column: 1m to 4h, 1d, 1w, 1mo. Default: 1d.",
)
@click.option("--file", type=click.Path(path_type=Path), help="What `files` reads: .csv, .csv.gz or .parquet.")
@click.option(
    "--map",
    "mappings",
    multiple=True,
    metavar="OURS=THEIRS",
    help="A column of the file by its own name, such as symbol=instrument. Usual names are recognised.",
)
@click.option(
    "--adjustment",
    type=click.Choice(["raw", "split", "all"]),
    help="What the file's prices are: as traded (raw, the default), split-adjusted, or for dividends too (all).",
)
@click.option("--calendar", help="The exchange calendar of symbols not known yet. Default: XNYS, or the vendor's own.")
@click.option(
    "--gap",
    type=click.Choice(["refuse", "split", "join"]),
    default="refuse",
    show_default=True,
    help="Bars after more than 250 sessions without any: refused, an instrument of their own, or the same company.",
)
@click.option(
    "--history", "mode", flag_value="history", help="Rows were known at their own time: a backfill. The default."
)
@click.option("--live", "mode", flag_value="live", help="Rows are known from now on, or from --delivered-at.")
@click.option("--delivered-at", help="When the drop was delivered, with a zone: 2024-06-03T21:05:00Z. Default: now.")
@click.option("--partition", help="Only a month (2004-05) or months (2004-05..2004-08) of it.")
@click.option(
    "--max-bad-share",
    type=click.FloatRange(0, 1),
    help="Publish nothing if more of the rows than this break a rule. Default: 0.2; of a live drop from 10 bad rows on.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def ingest(
    kind: Any,
    source_name: str | None,
    symbols: str,
    first: datetime | None,
    last: datetime | None,
    interval: str | None,
    file: Path | None,
    mappings: tuple[str, ...],
    adjustment: Any,
    calendar: str | None,
    gap: Any,
    mode: Any,
    delivered_at: str | None,
    partition: str | None,
    max_bad_share: float | None,
    as_json: bool,
) -> None:
    """Take in one batch: store the payload, check the rows, publish the good ones.

    The same payload again adds nothing. Rows that break a rule are kept in raw.quarantined_rows with the rule.

    A vendor is asked page by page, and each page is a batch. Stopped anywhere (Ctrl-C), the same command goes on from
    there.
    """
    from orchestration.commands.fetch import Wanted, fetch_by_lists, fetch_from_vendor, is_vendor, refuse_options

    if source_name is None or is_vendor(source_name):
        its_own = {"file": file, "map": mappings, "adjustment": adjustment, "partition": partition}
        refuse_options(
            its_own | {"delivered-at": delivered_at}, f"with {source_name or 'a vendor'}, which says all of that itself"
        )
        wanted = Wanted(
            kind=kind,
            source=source_name,
            symbols=symbols,
            first=first.date() if first else None,
            last=last.date() if last else None,
            interval=interval or "1d",
            calendar=calendar,
            gap=gap,
            mode=mode,
            max_bad_share=max_bad_share,
        )
        (fetch_from_vendor if source_name else fetch_by_lists)(wanted, as_json=as_json)
        return
    asked = {"symbols": symbols, "from": first, "to": last}
    refuse_options(asked, f"with {source_name}, which delivers whole files")
    from feature_store.build import ensure_definitions
    from infra.local.endpoints import Endpoints
    from trading.adapters.ingest import ingest as ingest_batch
    from trading.adapters.object_store import ObjectStore
    from trading.adapters.sources import source_named

    source = source_named(
        source_name,
        file=file,
        columns=_columns(mappings),
        adjustment=adjustment,
        calendar=calendar or "XNYS",
        interval=interval,
        gap=gap,
    )
    delivered = _moment(delivered_at) if delivered_at else None
    endpoints = Endpoints.resolve(os.environ)
    store = ObjectStore(endpoints.s3_endpoint, endpoints.s3_access_key, endpoints.s3_secret_key, endpoints.s3_bucket)
    report = ingest_batch(
        source,
        kind,
        now=datetime.now(UTC),
        database_url=endpoints.postgres_url,
        object_store=store,
        mode=mode,
        delivered_at=delivered,
        partition=partition,
        max_bad_share=max_bad_share,
    )
    ensure_definitions(endpoints.postgres_url)  # after: a bad file is refused without waiting for a build
    click.echo(json.dumps(report.as_dict()) if as_json else report.sentence())
    if calendar and (warning := report.calendar_warning(calendar)):
        click.echo(f"tradeloom: {warning}", err=True)


def _columns(mappings: tuple[str, ...]) -> dict[str, str]:
    columns = {}
    for mapping in mappings:
        ours, equals, theirs = mapping.partition("=")
        if not (ours and equals and theirs):
            raise InputError(f"expected --map OURS=THEIRS such as symbol=instrument, found {mapping!r}")
        columns[ours] = theirs
    return columns


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"expected a delivery time such as 2024-06-03T21:05:00Z, found {text!r}") from error
    if moment.tzinfo is None:
        raise NaiveTimeError(f"expected a delivery time with a zone, found {text}; add Z or its offset")
    return moment
