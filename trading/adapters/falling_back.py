"""Fetching by a symbol's list: the first source that answers and has it serves; those before it are told, with why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from trading.adapters.fetching import FetchReport, fetch
from trading.adapters.postgres import connection
from trading.adapters.source_orders import PassedOver, order_of, record_served, unserved
from trading.adapters.sources.registry import vendor_named
from trading.adapters.sources.vendor import Vendor
from trading.adapters.warehouse import newest_watermark
from trading.errors import AlreadyRunningError, InputError, QualityError, VendorUnavailableError
from trading.ingestion.ports import Ask, Hole, PayloadStore
from trading.ingestion.reader import Mode


@dataclass(frozen=True)
class Served:
    """What became of one symbol: `source` is None where nobody of its list had it; `holes` are what it did not give."""

    symbol: str
    source: str | None
    rows_published: int
    passed_over: tuple[PassedOver, ...]
    holes: tuple[Hole, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        told = {"passed_over": self.passed_over, "holes": self.holes}
        return {**vars(self), **{name: [vars(one) for one in several] for name, several in told.items()}}

    def sentence(self) -> str:
        """Return the outcome in one line."""
        instead = "; ".join(f"not {one.source}: {one.why}" for one in self.passed_over)
        served = f"{self.rows_published} rows of {self.source}" if self.source else "nobody had it"
        missing = "".join(f"; not given: {hole.sentence()}" for hole in self.holes)
        return f"{self.symbol}: {served}" + (f" ({instead})" if instead else "") + missing


def fetch_in_order(
    ask: Ask,
    *,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    database_url: str,
    object_store: PayloadStore,
    calendar: str | None = None,
    mode: Mode | None = None,
    run_id: str | None = None,
    any_end: bool = False,
    each_vendor: Callable[[Vendor], Vendor] = lambda vendor: vendor,
    after_symbol: Callable[[int, Served], None] = lambda done, served: None,
) -> list[Served]:
    """Fetch each symbol from the first source of its list that has it; return who served which.

    A source is passed over if it does not answer, refuses, does not offer what is asked, sends what cannot be read, or
    has no row of it. Who served is in `raw.served`; each bar has its source anyway. Stopped, the same call goes on with
    the symbols that are missing.

    Args:
        ask: All the symbols; each source is asked for them one by one.
        calendar: The exchange calendar of symbols that are not known yet; each source's own where None.
        mode: `history` or `live`; each source's own where None.
        any_end: Go on with a call that was stopped up to an earlier end too: where the caller named none.
        each_vendor: What to put around each vendor that is asked.
        after_symbol: Told of each symbol: how many of all are done, and what became of it.

    Raises:
        InputError: a symbol has no list, or its list names a source that is no vendor; nothing was fetched.
        AlreadyRunningError: another process fetches one of the symbols; its source is not passed over for that.
        EngineUnavailableError, DiskFullError: an engine of ours failed; run it again.
    """
    vendors = _vendors(ask, clock(), database_url)
    options: dict[str, Any] = {"clock": clock, "database_url": database_url, "object_store": object_store}
    options |= {"mode": mode, "run_id": run_id}
    with connection(database_url) as conn:
        end, missing = unserved(conn, ask, any_end=any_end)
    ask, outcomes = replace(ask, end=end), []
    for done, symbol in enumerate(missing, len(ask.symbols) - len(missing) + 1):
        order = [each_vendor(vendor) for vendor in vendors[symbol]]
        served = _served(replace(ask, symbols=(symbol,)), order, calendar, environ, options)
        with connection(database_url) as conn:
            record_served(conn, ask, symbol, served.source, served.passed_over)
        outcomes.append(served)
        after_symbol(done, served)
    return outcomes


def _vendors(ask: Ask, now: datetime, url: str) -> dict[str, list[Vendor]]:
    with connection(url) as conn:
        newest = newest_watermark(conn)
        orders = {symbol: order_of(conn, ask.kind, symbol, now, newest) for symbol in ask.symbols}
    if unlisted := [symbol for symbol, order in orders.items() if not order]:
        raise InputError(
            f"expected --source, or a list of sources of {', '.join(unlisted)}, found neither; write one with "
            "`tradeloom sources order`"
        )
    return {symbol: [vendor_named(name) for name in order] for symbol, order in orders.items()}


def _served(
    ask: Ask, order: list[Vendor], calendar: str | None, environ: Mapping[str, str], options: dict[str, Any]
) -> Served:
    passed: list[PassedOver] = []
    for vendor in order:
        found = _tried(vendor, replace(ask, calendar=calendar or vendor.calendar), environ, options)
        if isinstance(found, FetchReport):
            return Served(ask.symbols[0], vendor.name, found.rows_published, tuple(passed), found.holes)
        passed.append(PassedOver(vendor.name, found))
    return Served(ask.symbols[0], None, 0, tuple(passed))


def _tried(vendor: Vendor, ask: Ask, environ: Mapping[str, str], options: dict[str, Any]) -> FetchReport | str:
    """Return what the vendor served, or why it did not."""
    try:
        with vendor.calls(environ) as calls:
            report = fetch(vendor, ask, calls, **options)
    except AlreadyRunningError:
        raise
    except (InputError, QualityError, VendorUnavailableError) as error:
        return str(error)
    has_rows = report.pages_before or report.rows_in > report.rows_quarantined
    if has_rows:
        return report
    return "; ".join(hole.sentence() for hole in report.holes) or "it has no rows of it"
