"""What a feed did not hear: found at a connection and in the order of what comes, asked for by pages, or told as a hole."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading.adapters.feeds.events import FeedEvents
from trading.adapters.feeds.publishing import FeedPublisher
from trading.adapters.feeds.stream import Stream
from trading.adapters.feeds.terms import FeedReport, FeedTerms
from trading.errors import InputError, QualityError, VendorUnavailableError
from trading.feed.messages import FeedKind, Hole
from trading.feed.missed import Missed, missed_in, missed_since, trades_missed_in, trades_missed_since
from trading.feed.sequencer import Sequencer
from trading.feed.silence import Schedule


@dataclass
class CatchingUp:
    """Asks for what was missed; knows afterwards where every series stands.

    Args:
        backfill: Asks the vendor's pages; returns how many rows were new.
        schedule: When the symbols trade, around a moment.
        report: Counts what was done.
    """

    stream: Stream
    kinds: Collection[FeedKind]
    step: timedelta
    publisher: FeedPublisher
    sequencer: Sequencer
    backfill: Callable[[Missed], int]
    events: FeedEvents
    clock: Callable[[], datetime]
    schedule: Callable[[datetime], Schedule]
    terms: FeedTerms
    report: FeedReport
    _holes: list[Hole] = field(default_factory=list)
    _asked_at: datetime | None = None

    def since_last_heard(self) -> None:
        """Ask for what came while nobody listened, and know where every series stands."""
        if "prices" in self.kinds:
            missed = missed_since(self.publisher.newest(), self._to(), self.step)
            if missed is not None:
                self._ask(missed, [])
            self.sequencer.bars_are_here(self.publisher.newest())
        if "trades" in self.kinds:
            self._trades_since()

    def holes(self, now: datetime) -> None:
        """Ask for what the sequencer found missing, now and then."""
        found = self.sequencer.holes()
        self.report.holes += len(found)
        self._holes += found
        is_time = self._asked_at is None or now - self._asked_at >= self.terms.holes_every
        if not self._holes or not is_time:
            return
        asked, self._holes, self._asked_at = self._holes, [], now
        bars = missed_in(asked, self.step)
        for missed in [*([] if bars is None else [bars]), *trades_missed_in(asked)]:
            about = [hole for hole in asked if hole.kind == missed.kind and hole.symbol in missed.symbols]
            self._ask(missed, about)

    def _to(self) -> datetime:
        return self.clock() - self.stream.vendor.lag

    def _trades_since(self) -> None:
        before = self.publisher.newest_trades()
        moments = {symbol: at for symbol, (at, _) in before.items()}
        is_numbered = all(name.isdecimal() for _, name in before.values())  # who numbers gives the newest, of any age
        missed, too_old = trades_missed_since(moments, self._to(), None if is_numbered else self.terms.trades_back)
        for hole in too_old:
            if self.schedule(self.clock()).trading_between(hole.after, hole.before):
                self._tell(hole)
        if missed is None:
            return
        is_asked = self._ask(missed, [])
        after = self.publisher.newest_trades()
        numbers = {symbol: (at, int(name)) for symbol, (at, name) in after.items() if name.isdecimal()}
        self.sequencer.trades_are_here(numbers)
        if is_asked and is_numbered:  # of what is numbered it is known whether everything came
            for symbol, (begun_at, begun) in before.items():
                at, number = numbers[symbol]
                self._tell_what_is_left(Hole("trades", symbol, begun_at, at, int(begun) + 1, number - 1))

    def _ask(self, missed: Missed, holes: list[Hole]) -> bool:
        """Ask for it; tell whether the vendor answered. What it did not give of these holes is told."""
        about = {"start": missed.start.isoformat(), "end": missed.end.isoformat(), "symbols": len(missed.symbols)}
        about |= {"kind": missed.kind} if missed.kind == "trades" else {}
        try:
            rows = self.backfill(missed)
        except VendorUnavailableError as error:
            self._holes += holes or _holes_of(missed, self.step)
            self.events.happened("refused", why=str(error), **about)
            return False
        except (InputError, QualityError) as error:  # it will not have them later either; the feed goes on
            self.events.happened("refused", why=str(error), **about)
            for hole in holes or _holes_of(missed, self.step):
                if hole.kind == "trades":
                    self._tell(hole)
            return False
        self.report.rows_backfilled += rows
        self.events.happened("backfilled", rows=rows, **about)
        for hole in holes:
            self._tell_what_is_left(hole)
        return True

    def _tell_what_is_left(self, hole: Hole) -> None:
        if hole.first is None or hole.last is None or hole.first > hole.last:
            return
        left = hole.last - hole.first + 1 - self.publisher.trades_between(hole)
        if left > 0:
            self._tell(hole, trades=left)

    def _tell(self, hole: Hole, **more: int) -> None:
        about = {"symbol": hole.symbol, "after": hole.after.isoformat(), "before": hole.before.isoformat()}
        self.events.happened("hole", **about, **more)


def _holes_of(missed: Missed, step: timedelta) -> list[Hole]:
    before = missed.start - step if missed.kind == "prices" else missed.start
    return [Hole(missed.kind, symbol, before, missed.end) for symbol in missed.symbols]
