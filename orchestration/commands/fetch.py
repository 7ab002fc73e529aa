"""What `tradeloom ingest` does where the source is a vendor behind a network: fetch it page by page, and say how far."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import click

from trading.errors import InputError
from trading.ingestion.reader import Gap, Kind, Mode


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line; days are whole days of UTC, both included."""

    kind: Kind
    source: str
    symbols: str
    first: date | None
    last: date | None
    interval: str
    calendar: str | None
    gap: Gap
    mode: Mode | None
    max_bad_share: float | None


def is_vendor(name: str) -> bool:
    """Tell whether a source is behind a network."""
    from trading.adapters.sources.registry import VENDORS

    return name.partition(":")[0] in VENDORS


def fetch_from_vendor(wanted: Wanted, *, as_json: bool) -> None:
    """Fetch and ingest what is wanted; each page is told on stderr as it is published.

    Raises:
        TradeloomError: as `trading.adapters.fetching.fetch`; run the same command again to go on.
    """
    from feature_store.build import ensure_definitions
    from infra.local.endpoints import Endpoints
    from trading.adapters.asking import ask_of, symbols_of
    from trading.adapters.fetching import fetch
    from trading.adapters.object_store import ObjectStore
    from trading.adapters.sources.registry import vendor_named

    vendor, mode = vendor_named(wanted.source), wanted.mode or "history"
    ask = ask_of(
        vendor,
        wanted.kind,
        symbols_of(wanted.symbols),
        now=datetime.now(UTC),
        mode=mode,
        first=wanted.first,
        last=wanted.last,
        interval=wanted.interval,
        calendar=wanted.calendar,
        gap=wanted.gap,
    )
    endpoints = Endpoints.resolve(os.environ)
    store = ObjectStore(endpoints.s3_endpoint, endpoints.s3_access_key, endpoints.s3_secret_key, endpoints.s3_bucket)
    with vendor.calls(os.environ) as calls:
        report = fetch(
            vendor,
            ask,
            calls,
            clock=lambda: datetime.now(UTC),
            database_url=endpoints.postgres_url,
            object_store=store,
            mode=mode,
            any_end=mode == "history" and wanted.last is None,
            max_bad_share=wanted.max_bad_share,
            after_page=lambda so_far, page: click.echo(f"{page.name}: {so_far.rows_published} rows so far", err=True),
        )
    ensure_definitions(endpoints.postgres_url)
    click.echo(json.dumps(report.as_dict()) if as_json else report.sentence())


def refuse_options(given: dict[str, Any], why: str) -> None:
    """Raise InputError where an option was given that the source has no use for."""
    if unused := [f"--{name}" for name, value in given.items() if value]:
        raise InputError(f"expected no {', '.join(unused)} {why}")
