"""How patient a feed is, and what it did so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from trading.adapters.feeds.connection import Timeouts
from trading.feed.backoff import Backoff


@dataclass(frozen=True)
class FeedTerms:
    """How patient a feed is.

    Attributes:
        lateness: How long a message is waited for before one that came first goes on.
        stall_after: Silence in trading hours that is a stall: the connection is given up and made anew.
        most_stalls: So many stalls or failed connections in a row end the feed.
        holes_every: How often the vendor is asked for what was left out, at most.
        trades_back: So far back trades are asked for that came while nobody listened; what lies before stays a hole.
    """

    lateness: timedelta = timedelta(seconds=2)
    stall_after: timedelta = timedelta(minutes=3)
    most_stalls: int = 10
    holes_every: timedelta = timedelta(minutes=1)
    trades_back: timedelta = timedelta(hours=1)
    backoff: Backoff = field(default_factory=Backoff)
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass
class FeedReport:
    """What a feed did so far."""

    source: str
    rows_published: int = 0
    rows_unchanged: int = 0
    rows_quarantined: int = 0
    rows_backfilled: int = 0
    repeated: int = 0
    late: int = 0
    connections: int = 0
    stalls: int = 0
    holes: int = 0

    def sentence(self) -> str:
        """Return the report in one line."""
        return (
            f"{self.source}: {self.rows_published} rows published, {self.rows_unchanged} unchanged, "
            f"{self.rows_quarantined} quarantined, {self.rows_backfilled} backfilled; {self.repeated} repeats and "
            f"{self.late} late ones in {self.connections} connections, {self.holes} holes, {self.stalls} stalls"
        )
