"""What a feed missed, bars and trades, asked of the vendor's pages: the same port, the same batches, the same warehouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trading.adapters.fetching import fetch
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.vendor import Vendor
from trading.errors import InputError
from trading.feed.missed import Missed
from trading.ingestion.ports import Ask, PayloadStore


@dataclass(frozen=True)
class Backfill:
    """Asks the vendor of a feed for what did not come by its stream.

    Args:
        trades: Who gives trades by pages (`Stream.trades`).
    """

    vendor: Vendor
    interval: str
    calls: Calls
    clock: Callable[[], datetime]
    database_url: str
    object_store: PayloadStore
    trades: Vendor | None = None

    def __call__(self, missed: Missed) -> int:
        """Ingest what was missed; return how many rows were new.

        Raises:
            VendorUnavailableError: no answer; ask again later.
            InputError: the vendor has no such bars or trades.
            QualityError: a page had too many bad rows.
        """
        vendor = self.vendor if missed.kind == "prices" else self.trades
        if vendor is None:
            raise InputError(
                f"expected a vendor that gives trades by pages, found {self.vendor.name}; they stay a hole"
            )
        ask = Ask(missed.kind, missed.symbols, self.interval, missed.start, missed.end, calendar=vendor.calendar)
        report = fetch(
            vendor,
            ask,
            self.calls,
            clock=self.clock,
            database_url=self.database_url,
            object_store=self.object_store,
            mode="live",
        )
        return report.rows_published
