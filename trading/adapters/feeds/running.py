"""A feed while it runs: connected, greeted, caught up, heard, published; and again from the start after every end.

One thread does it all, so that messages are published in the order in which they came; the websocket's own thread
hears ahead meanwhile. What was missed while nobody listened is asked for once the subscription stands, so nothing falls
between the two.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading.adapters.feeds.catching_up import CatchingUp
from trading.adapters.feeds.connection import Link, linked
from trading.adapters.feeds.events import FeedEvents
from trading.adapters.feeds.publishing import FeedPublisher, Published
from trading.adapters.feeds.stream import Stream, Subscription
from trading.adapters.feeds.terms import FeedReport, FeedTerms
from trading.adapters.sources.answers import ConnectionCut
from trading.errors import UnreadablePayloadError, VendorUnavailableError
from trading.feed.batching import batches
from trading.feed.messages import Message
from trading.feed.missed import Missed
from trading.feed.sequencer import Sequencer
from trading.feed.silence import Schedule, is_stalled
from trading.intervals import Interval

_LOOK_AROUND = 0.25  # seconds between two looks at the clock where nothing comes
_SETTLE_EVERY = timedelta(minutes=5)


@dataclass
class Feed:
    """One vendor's stream on its way into the warehouse.

    Args:
        publisher: Entered by the caller.
        schedule: When the symbols trade, around a moment.
        backfill: Asks the vendor's pages for bars and trades; returns how many rows were new.
        stop: Set from anywhere, the feed ends after the batch in hand.
    """

    stream: Stream
    wanted: Subscription
    publisher: FeedPublisher
    events: FeedEvents
    schedule: Callable[[datetime], Schedule]
    backfill: Callable[[Missed], int]
    address: str
    secrets: Mapping[str, str]
    clock: Callable[[], datetime]
    stop: threading.Event
    terms: FeedTerms = field(default_factory=FeedTerms)
    on_batch: Callable[[Published], None] = lambda published: None
    jitter: Callable[[float, float], float] = random.uniform
    report: FeedReport = field(init=False)

    def __post_init__(self) -> None:
        """Prepare; nothing is asked yet."""
        self.report = FeedReport(self.stream.source)
        step = Interval.parse(self.wanted.interval).length
        self._sequencer = Sequencer(step, self.terms.lateness)
        self._catching_up = CatchingUp(
            self.stream,
            self.wanted.kinds,
            step,
            self.publisher,
            self._sequencer,
            self.backfill,
            self.events,
            self.clock,
            self.schedule,
            self.terms,
            self.report,
        )
        self._failures = 0
        self._ready: list[Message] = []
        self._settled_at = self.clock()

    def run(self) -> FeedReport:
        """Feed until `stop` is set; return what was done.

        Raises:
            VendorUnavailableError: too many stalls or failed connections in a row.
            CredentialsError, VendorRefusedError: the vendor does not let us in, or has no such stream.
            EngineError: an engine failed; run again, what was missed is asked for.
        """
        why = "asked to"
        try:
            while not self.stop.is_set():
                try:
                    self._connect()
                except ConnectionCut as error:
                    self._cut(str(error))
            self._flush()
        except BaseException as error:
            why = type(error).__name__
            raise
        finally:
            self._count()
            self.events.happened("stopped", why=why)
        return self.report

    def _connect(self) -> None:
        with linked(self.address, self.terms.timeouts) as link:
            try:
                self.stream.greet(link, self.wanted, self.secrets)
            except UnreadablePayloadError as error:  # a proxy's word, or half a frame
                raise ConnectionCut(str(error)) from error
            self.report.connections += 1
            self.events.happened("connected", symbols=len(self.wanted.symbols))
            self._catching_up.since_last_heard()
            self._listen(link)

    def _cut(self, why: str) -> None:
        self._failures += 1
        self.events.happened("disconnected", why=why)
        if self._failures >= self.terms.most_stalls:
            raise VendorUnavailableError(
                f"expected {self.stream.source}'s stream to go on, found {why} after {self._failures} tries; run again"
            )
        self._publish(self._sequencer.due(self.clock()))
        self.publisher.settle()
        self.stop.wait(self.terms.backoff.wait(self._failures, self.jitter))

    def _listen(self, link: Link) -> None:
        heard_at = self.clock()
        while not self.stop.is_set():
            frames = link.frames(self._patience())
            now = self.clock()
            for frame in frames:
                self._take(frame, now)
            if frames:
                heard_at, self._failures = now, 0
            self._publish(self._sequencer.due(now))
            self._catching_up.holes(now)
            self._settle_after_sessions(now)
            if is_stalled(heard_at, now, self.terms.stall_after, self.schedule(now)):
                self.report.stalls += 1
                self.events.happened("stalled", silent_since=heard_at.isoformat())
                raise ConnectionCut(f"nothing for {self.terms.stall_after.total_seconds():g} s")

    def _settle_after_sessions(self, now: datetime) -> None:
        """Count what is complete once a day or a session has ended, and not with every bar."""
        touched = self.publisher.touched
        if touched is None or now - self._settled_at < _SETTLE_EVERY:
            return
        if touched != now.date() or not self.schedule(now).trading_between(now - _SETTLE_EVERY, now):
            self._settled_at = now
            self.publisher.settle()

    def _patience(self) -> float:
        until = self._sequencer.next_due()
        if until is None:
            return _LOOK_AROUND
        return min(max((until - self.clock()).total_seconds(), 0.0), _LOOK_AROUND)

    def _take(self, frame: str, now: datetime) -> None:
        """Put the messages of a frame in their order; what is ready outlives a cut in the next frame."""
        try:
            messages = self.stream.read(frame, self.wanted)
        except UnreadablePayloadError as error:  # one frame of another form does not end the feed
            self.events.happened("refused", why=str(error))
            return
        for message in messages:
            self._ready += self._sequencer.take(message, now)

    def _publish(self, due: list[Message]) -> None:
        messages, self._ready = [*self._ready, *due], []
        for batch in batches(messages):
            published = self.publisher.publish(batch, self.clock)
            self.report.rows_published += published.rows_published
            self.report.rows_quarantined += published.rows_quarantined
            unchanged = published.rows_in - published.rows_published - published.rows_quarantined
            self.report.rows_unchanged += unchanged if published.watermark is not None else 0
            if published.refusal:
                self.events.happened("refused", why=published.refusal)
            self.on_batch(published)

    def _flush(self) -> None:
        """Publish what still waits for something before it."""
        self._publish(self._sequencer.due(self.clock() + self.terms.lateness))
        self.publisher.settle()

    def _count(self) -> None:
        self.report.repeated, self.report.late = self._sequencer.counts.repeated, self._sequencer.counts.late
