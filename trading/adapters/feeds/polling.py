"""A feed of a vendor that is not listened to: its pages are asked for whenever a bar can newly be there.

The same port and the same batches as a fetch; what an earlier poll missed is asked for by the next one, which begins with
the newest bar that is here.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading.adapters.feeds.backfill import Backfill
from trading.adapters.feeds.events import FeedEvents
from trading.adapters.feeds.terms import FeedReport, FeedTerms
from trading.calendar import Sessions, bar_label
from trading.errors import VendorUnavailableError
from trading.feed.missed import Missed, floored
from trading.feed.polling import next_poll
from trading.intervals import Interval

_DAY = timedelta(days=1)
_LONGEST_REST = timedelta(hours=1)  # sessions to come are looked up again then


@dataclass
class PollingFeed:
    """Bars of some symbols, asked for by the schedule of their exchanges.

    Args:
        newest: Tells the start of the newest bar that is here, by symbol.
        sessions: The sessions by calendar around a moment, and some days to come.
        backfill: Asks the vendor; `backfill.vendor` says its lag.
        stop: Set from anywhere, the feed ends after the poll in hand.
    """

    symbols: tuple[str, ...]
    interval: Interval
    newest: Callable[[], Mapping[str, datetime]]
    sessions: Callable[[datetime], Mapping[str, Sessions]]
    backfill: Backfill
    events: FeedEvents
    clock: Callable[[], datetime]
    stop: threading.Event
    terms: FeedTerms = field(default_factory=FeedTerms)
    jitter: Callable[[float, float], float] = random.uniform
    on_poll: Callable[[int], None] = lambda rows: None
    report: FeedReport = field(init=False)

    def __post_init__(self) -> None:
        """Prepare; nothing is asked yet."""
        self.report = FeedReport(self.backfill.vendor.name)

    def run(self) -> FeedReport:
        """Poll until `stop` is set; return what was done.

        Raises:
            VendorUnavailableError: too many polls in a row brought no bar that was due, or no answer.
            InputError: the vendor has no such data, or refuses it.
            EngineError: an engine failed; run again, what was missed is asked for.
        """
        why = "asked to"
        try:
            self._poll()
            while self._rests_until(self._due()):
                self._poll_until_there()
        except BaseException as error:
            why = type(error).__name__
            raise
        finally:
            self.events.happened("stopped", why=why)
        return self.report

    def _due(self) -> datetime:
        now = self.clock()
        at = next_poll(now, self.interval, self.backfill.vendor.lag, self.sessions(now))
        return now + _LONGEST_REST if at is None else at

    def _rests_until(self, at: datetime) -> bool:
        """Wait; tell whether to go on."""
        while not self.stop.is_set() and (left := at - self.clock()) > timedelta(0):
            self.stop.wait(min(left.total_seconds(), 1.0))
        return not self.stop.is_set()

    def _poll_until_there(self) -> None:
        """Ask for the bar that is due until it comes; silence that lasts is a stall."""
        began_at, failures = self.clock(), 0
        while not self.stop.is_set():
            failures += 1
            if self._poll():
                return
            now = self.clock()
            if now - began_at > self.terms.stall_after:
                self.report.stalls += 1
                self.events.happened("stalled", silent_since=began_at.isoformat())
                began_at = now
            if failures >= self.terms.most_stalls:
                raise VendorUnavailableError(
                    f"expected {self.backfill.vendor.name} to have the bar that was due, found none in {failures} polls; "
                    "run again"
                )
            self.stop.wait(self.terms.backoff.wait(failures, self.jitter))

    def _poll(self) -> int:
        """Ask for what is newer than what is here; return how many rows were new."""
        now, newest = self.clock(), self.newest()
        start = min(newest.get(symbol, now - _DAY) for symbol in self.symbols)
        start = start if self.interval.is_intraday else bar_label(start.date())
        end = floored(now - self.backfill.vendor.lag, self.interval.length) if self.interval.is_intraday else now
        if start >= end:
            return 0
        self.report.connections += 1
        try:
            rows = self.backfill(Missed(self.symbols, start, end))
        except VendorUnavailableError as error:
            self.events.happened("refused", why=str(error))
            return 0
        self.report.rows_published += rows
        self.on_poll(rows)
        return rows
