"""Fetching: what a vendor is asked for, page by page, each page one batch; stopped anywhere, it goes on there.

A page's cursor is written by the transaction that publishes the page, so the two are there together or not at all. The
same ask goes on after the last page published; once it has ended it begins anew, and finds what is there unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from trading.adapters import fetch_log
from trading.adapters.fetch_log import Progress
from trading.adapters.ingest import ingest
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.vendor import Vendor
from trading.errors import InputError, VendorRefusedError
from trading.ingestion.ports import Ask, Delivery, Hole, Page, PayloadStore
from trading.ingestion.reader import Kind, Mode
from trading.ingestion.report import BatchReport

_COUNTS = ("rows_in", "rows_published", "rows_unchanged", "rows_merged", "rows_quarantined")
_SHOWN = 10


@dataclass(frozen=True)
class FetchReport:
    """What a run fetched, up to `end`, excluded.

    Attributes:
        pages_before: Those of earlier runs that it went on after.
        empty_pages: The names of pages without a row: a symbol that the vendor does not have, a range of nothing.
        holes: What the vendor did not give of the ask, and why; of earlier runs of the same fetch too.
    """

    source: str
    kind: Kind
    end: datetime
    pages: int = 0
    pages_before: int = 0
    rows_in: int = 0
    rows_published: int = 0
    rows_unchanged: int = 0
    rows_merged: int = 0
    rows_quarantined: int = 0
    batch_ids: tuple[int, ...] = ()
    empty_pages: tuple[str, ...] = ()
    holes: tuple[Hole, ...] = ()
    watermark: int = 0
    is_complete: bool = False

    def with_page(self, page: Page, batch: BatchReport) -> FetchReport:
        """Return the report with one page more."""
        if batch.status == "already ingested":  # its numbers are those of then
            batch = replace(batch, rows_published=0, rows_unchanged=batch.rows_published + batch.rows_unchanged)
        sums = {name: getattr(self, name) + getattr(batch, name) for name in _COUNTS}
        ids = (*self.batch_ids, *batch.batch_ids)
        empty = self.empty_pages if batch.rows_in else (*self.empty_pages, page.name)
        return replace(self, pages=self.pages + 1, batch_ids=ids, empty_pages=empty, watermark=batch.watermark, **sums)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            **vars(self),
            "end": self.end.isoformat(),
            "batch_ids": list(self.batch_ids),
            "empty_pages": list(self.empty_pages),
            "holes": [vars(hole) for hole in self.holes],
        }

    def sentence(self) -> str:
        """Return the report in one line."""
        before = f", after the {self.pages_before} that were there" if self.pages_before else ""
        return (
            f"{self.kind} of {self.source}: {self.pages} pages{before}, {self.rows_in} rows in, "
            f"{self.rows_published} published, {self.rows_unchanged} unchanged, {self.rows_merged} merged, "
            f"{self.rows_quarantined} quarantined; up to {self.end:%Y-%m-%d %H:%M} UTC{self._nothing()}{self._missing()}"
        )

    def _missing(self) -> str:
        return "".join(f"; not given: {hole.sentence()}" for hole in self.holes)

    def _nothing(self) -> str:
        shown, more = self.empty_pages[:_SHOWN], len(self.empty_pages) - _SHOWN
        return f"; nothing in {', '.join(shown)}" + (f" and {more} more" if more > 0 else "") if shown else ""


AfterPage = Callable[[FetchReport, Page], None]


@dataclass(frozen=True)
class _PageSource:
    """A page as the source of one batch."""

    name: str
    page: Page
    default_mode: Mode = "history"

    def deliver(self, kind: Kind, partition: str | None) -> Delivery:
        """Return the page, untouched."""
        return Delivery(self.page.payload, self.page.name, self.page.reader)


def fetch(
    vendor: Vendor,
    ask: Ask,
    calls: Calls,
    *,
    clock: Callable[[], datetime],
    database_url: str,
    object_store: PayloadStore,
    mode: Mode | None = None,
    any_end: bool = False,
    run_id: str | None = None,
    max_bad_share: float | None = None,
    after_page: AfterPage | None = None,
) -> FetchReport:
    """Fetch what is asked and ingest it page by page; return what this run did.

    Args:
        vendor: Such as `vendor_named("yfinance")`.
        ask: What is asked for.
        calls: The way to ask, such as `vendor.calls(os.environ)`.
        clock: Each page counts as received when it came.
        database_url: The warehouse (libpq form).
        object_store: Where the pages stay.
        mode: `history` or `live`, as of any batch; the vendor's default where None.
        any_end: Go on with an unfinished fetch of the same ask up to an earlier end too: where the caller named none.
        run_id: The Dagster run, for the record.
        max_bad_share: As of `ingest`, per page.
        after_page: Told of each page once it is published.

    Raises:
        VendorUnavailableError: no answer; what was fetched stays, and the same call goes on after it.
        InputError: the vendor has no such data, or refuses it, or its answer is of another form than it was.
        AlreadyRunningError: another process fetches the same.
        QualityError: a page had too many bad rows; the pages before it stay.
    """
    mode = mode or vendor.default_mode
    vendor.refuse_unless_offered(ask.kind, ask.interval)
    _refuse_too_early(vendor, ask, clock())
    fetch_log.declare(database_url, vendor)
    with fetch_log.alone(database_url, vendor, ask):
        progress = fetch_log.unfinished(database_url, vendor, mode, ask, any_end=any_end)
        if progress is None:
            progress = fetch_log.begin(database_url, vendor, mode, ask, clock(), run_id)
        asked = possible(vendor, replace(ask, end=progress.end), mode, clock())
        report = FetchReport(vendor.name, ask.kind, progress.end, pages_before=progress.pages)
        for page in vendor.pages(asked, progress.cursor, calls) if asked.start < asked.end else ():
            if isinstance(page, Hole):
                fetch_log.record_hole(database_url, progress.fetch_id, page)
                continue
            _refuse_secrets(vendor, page, calls)
            batch = ingest(
                _PageSource(vendor.name, page),
                ask.kind,
                now=clock(),
                database_url=database_url,
                object_store=object_store,
                mode=mode,
                run_id=run_id,
                max_bad_share=max_bad_share,
                beside=_recording(progress, report, page),
            )
            report = report.with_page(page, batch)
            if after_page:
                after_page(report, page)
        fetch_log.record_end(database_url, progress.fetch_id, progress.pages + report.pages + 1)
    found = fetch_log.holes(database_url, progress.fetch_id)
    return replace(report, holes=found, is_complete=not found)


def _recording(progress: Progress, report: FetchReport, page: Page) -> Callable[[Any, int], None]:
    number = progress.pages + report.pages + 1
    return lambda conn, batch_id: fetch_log.record_page(conn, progress.fetch_id, number, page.cursor, batch_id)


def possible(vendor: Vendor, ask: Ask, mode: Mode, now: datetime) -> Ask:
    """Return what the vendor can have of an ask: no bar before its lag is over, which some refuse to be asked for.

    A live poll begins earlier by the lag: what happened before the last poll may have come only since.
    """
    start = ask.start - vendor.lag if mode == "live" else ask.start
    end = min(ask.end, now - vendor.lag) if ask.kind == "prices" else ask.end
    return replace(ask, start=start, end=end)


def _refuse_too_early(vendor: Vendor, ask: Ask, now: datetime) -> None:
    reach = vendor.reaches_back.get(ask.interval) if ask.kind == "prices" else None
    if reach is not None and ask.start < now - reach:
        raise InputError(
            f"expected {ask.interval} bars of {vendor.name} from {now - reach:%Y-%m-%d} on, which is as far back as it "
            f"has them, found {ask.start:%Y-%m-%d}; ask for later ones or a longer interval"
        )


def _refuse_secrets(vendor: Vendor, page: Page, calls: Calls) -> None:
    """A page is kept for ever, so a credential in it would be too."""
    said = (page.name + page.cursor + json.dumps(page.reader.as_dict())).encode() + page.payload
    if any(secret.encode() in said for secret in calls.secrets.values()):
        raise VendorRefusedError(f"expected an answer of {vendor.name} without our credentials, found them in it")
