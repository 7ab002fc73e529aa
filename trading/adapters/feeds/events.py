"""What befalls a feed, as rows of raw.feed_events and as one line each for whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from trading.adapters.postgres import connection
from trading.telemetry import current_trace_id

Name = Literal["connected", "disconnected", "stalled", "backfilled", "hole", "refused", "stopped"]

_INSERT = """
insert into raw.feed_events (source, event, detail, trace_id, happened_at) values (%s, %s, %s, %s, %s)
"""


@dataclass(frozen=True)
class FeedEvent:
    """One thing that befell a feed."""

    source: str
    event: Name
    at: datetime
    detail: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the event as JSON values."""
        return {"event": self.event, "source": self.source, "at": self.at.isoformat(), **self.detail}

    def sentence(self) -> str:
        """Return the event in one line."""
        told = ", ".join(f"{name} {value}" for name, value in self.detail.items())
        return f"{self.at:%Y-%m-%d %H:%M:%S} UTC {self.source} {self.event}" + (f": {told}" if told else "")


@dataclass(frozen=True)
class FeedEvents:
    """Writes events down, then tells them."""

    url: str
    source: str
    clock: Callable[[], datetime]
    tell: Callable[[FeedEvent], None] = lambda event: None

    def happened(self, event: Name, **detail: Any) -> None:
        """Record an event now; `detail` as JSON values."""
        found = FeedEvent(self.source, event, self.clock(), detail)
        with connection(self.url, application="tradeloom-feed-events") as conn:
            conn.execute(_INSERT, (found.source, event, Jsonb(detail), current_trace_id(), found.at))
        self.tell(found)
