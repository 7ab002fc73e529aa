"""What a feed missed, asked of the vendor's pages: the same port, the same batches, the same warehouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trading.adapters.fetching import fetch
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.vendor import Vendor
from trading.feed.missed import Missed
from trading.ingestion.ports import Ask, PayloadStore


@dataclass(frozen=True)
class Backfill:
    """Asks the vendor of a feed for bars that did not come by its stream."""

    vendor: Vendor
    interval: str
    calls: Calls
    clock: Callable[[], datetime]
    database_url: str
    object_store: PayloadStore

    def __call__(self, missed: Missed) -> int:
        """Ingest what was missed; return how many rows were new.

        Raises:
            VendorUnavailableError: no answer; ask again later.
            InputError: the vendor has no such bars.
            QualityError: a page had too many bad rows.
        """
        ask = Ask("prices", missed.symbols, self.interval, missed.start, missed.end, calendar=self.vendor.calendar)
        report = fetch(
            self.vendor,
            ask,
            self.calls,
            clock=self.clock,
            database_url=self.database_url,
            object_store=self.object_store,
            mode="live",
        )
        return report.rows_published
