"""What `tradeloom ingest` does where the source is a vendor behind a network: fetch it page by page, and say how far."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from orchestration.fetch_progress import FetchProgress, Stop, stoppable
from trading.errors import InputError
from trading.ingestion.reader import Gap, Kind, Mode

if TYPE_CHECKING:
    from trading.adapters.fetching import FetchReport
    from trading.ingestion.ports import Ask


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line; days are whole days of UTC, both included."""

    kind: Kind
    source: str | None
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
    """Fetch and ingest what is wanted, and say what came of it; features are defined where they were not.

    Exits 1 where the vendor did not give a part of it, which the report names.

    Raises:
        TradeloomError: as `fetched`.
    """
    report = fetched(wanted, quiet=as_json)
    _define()
    click.echo(json.dumps(report.as_dict()) if as_json else report.sentence())
    if report.holes:
        sys.exit(1)


def fetched(wanted: Wanted, *, quiet: bool) -> FetchReport:
    """Fetch and ingest what is wanted, and say how far it is unless `quiet`; Ctrl-C ends it after the page in hand.

    Raises:
        TradeloomError: as `trading.adapters.fetching.fetch`; run the same command again to go on.
    """
    from trading.adapters.fetching import fetch
    from trading.adapters.sources.registry import vendor_named

    vendor = vendor_named(wanted.source or "")
    vendor.refuse_unless_offered(wanted.kind, wanted.interval)
    mode = wanted.mode or vendor.default_mode
    engines = _engines()
    ask = _ask(wanted, mode, wanted.calendar or vendor.calendar, engines["database_url"], quiet=quiet)
    with _told(ask, quiet) as (progress, stop), vendor.calls(os.environ) as calls:
        return fetch(
            stop.between_pages(vendor),
            ask,
            calls,
            **engines,
            mode=mode,
            any_end=_has_no_end(wanted, mode),
            max_bad_share=wanted.max_bad_share,
            after_page=progress.after_page,
        )


def fetch_by_lists(wanted: Wanted, *, as_json: bool) -> None:
    """Fetch each symbol from the first source of its list that has it. Exits 1 where nobody had one, or not all of it."""
    from trading.adapters.falling_back import fetch_in_order

    if wanted.max_bad_share is not None:
        raise InputError("expected --max-bad-share with a --source, found none; a list goes on to its next source")
    mode = wanted.mode or "history"
    engines = _engines()
    ask = _ask(wanted, mode, wanted.calendar or "XNYS", engines["database_url"], quiet=as_json)
    with _told(ask, as_json) as (progress, stop):
        served = fetch_in_order(
            ask,
            environ=os.environ,
            **engines,
            calendar=wanted.calendar,
            mode=wanted.mode,
            any_end=_has_no_end(wanted, mode),
            each_vendor=stop.between_pages,
            after_symbol=lambda done, one: progress.after_symbol(done, one.sentence()),
        )
    _define()
    click.echo(json.dumps([one.as_dict() for one in served]) if as_json else "\n".join(s.sentence() for s in served))
    if any(one.source is None or one.holes for one in served):
        sys.exit(1)


def _has_no_end(wanted: Wanted, mode: Mode) -> bool:
    """Tell whether the end is where the clock stands, so that a stopped run had an earlier one."""
    return mode == "history" and (wanted.last is None or wanted.last >= datetime.now(UTC).date())


@contextmanager
def _told(ask: Ask, as_json: bool) -> Iterator[tuple[FetchProgress, Stop]]:
    progress = FetchProgress(ask.symbols, quiet=as_json)
    with stoppable(lambda word: click.echo(f"tradeloom: {word}", err=True)) as stop:
        try:
            yield progress, stop
        finally:
            progress.end()


def _ask(wanted: Wanted, mode: Mode, calendar: str, url: str, *, quiet: bool) -> Ask:
    from trading.adapters.asked_symbols import asked_symbols, names_a_universe
    from trading.adapters.asking import ask_of, symbols_of
    from trading.adapters.postgres import connection

    now, names, first = datetime.now(UTC), symbols_of(wanted.symbols), wanted.first
    resumes = mode == "live" and first is None
    if names_a_universe(names) and (resumes or first is not None):
        with connection(url) as conn:
            names = asked_symbols(conn, names, first or now.date(), wanted.last or now.date(), now)
    if resumes and names:
        first = _resumed(wanted, names, url, now, quiet=quiet)
    return ask_of(
        wanted.kind,
        names,
        now=now,
        mode=mode,
        first=first,
        last=wanted.last,
        interval=wanted.interval,
        calendar=calendar,
        gap=wanted.gap,
    )


def _resumed(wanted: Wanted, names: list[str], url: str, now: datetime, *, quiet: bool) -> date:
    """Return the first day of a live fetch that names none, and say which it is."""
    from trading.adapters.postgres import connection
    from trading.adapters.resuming import resumption
    from trading.adapters.source_orders import order_of
    from trading.adapters.warehouse import newest_watermark

    with connection(url) as conn:
        newest = newest_watermark(conn)
        sources = {
            name: (wanted.source,) if wanted.source else order_of(conn, wanted.kind, name, now, newest)
            for name in names
        }
        found = resumption(conn, wanted.kind, wanted.interval, sources, now)
    if not quiet:
        click.echo(f"tradeloom: {found.sentence()}", err=True)
    return found.first


def _engines() -> dict[str, Any]:
    from infra.local.endpoints import Endpoints
    from trading.adapters.object_store import ObjectStore

    found = Endpoints.resolve(os.environ)
    store = ObjectStore(found.s3_endpoint, found.s3_access_key, found.s3_secret_key, found.s3_bucket)
    return {"clock": lambda: datetime.now(UTC), "database_url": found.postgres_url, "object_store": store}


def _define() -> None:
    from feature_store.build import ensure_definitions
    from infra.local.endpoints import Endpoints

    ensure_definitions(Endpoints.resolve(os.environ).postgres_url)


def refuse_options(given: dict[str, Any], why: str) -> None:
    """Raise InputError where an option was given that the source has no use for."""
    if unused := [f"--{name}" for name, value in given.items() if value]:
        raise InputError(f"expected no {', '.join(unused)} {why}")
