"""When a silence is a stall: only time in which the exchange trades counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trading.calendar import Sessions

ALWAYS_OPEN = "24/7"


@dataclass(frozen=True)
class Schedule:
    """When a feed's symbols trade: the sessions of each calendar; without breaks for 24/7, which needs none."""

    sessions: Mapping[str, Sessions] = field(default_factory=dict)
    is_always_open: bool = False

    @classmethod
    def of(cls, sessions: Mapping[str, Sessions]) -> Schedule:
        """Return the schedule of these calendars."""
        return cls(sessions, ALWAYS_OPEN in sessions)

    def trading_between(self, start: datetime, end: datetime) -> timedelta:
        """Return how much of [start, end) some exchange of the feed trades; at least that of the busiest calendar."""
        if end <= start:
            return timedelta(0)
        if self.is_always_open:
            return end - start
        return max((_trading(one, start, end) for one in self.sessions.values()), default=timedelta(0))


def is_stalled(last_heard: datetime, now: datetime, limit: timedelta, schedule: Schedule) -> bool:
    """Tell whether a feed has been silent for longer than `limit` while its exchanges traded."""
    return schedule.trading_between(last_heard, now) > limit


def _trading(sessions: Sessions, start: datetime, end: datetime) -> timedelta:
    day = timedelta(days=1)
    stretches = (
        (max(opens_at, start), min(closes_at, end))
        for session in sessions.between(start.date() - day, end.date() + day)
        for opens_at, closes_at in session.stretches
    )
    return sum((closes_at - opens_at for opens_at, closes_at in stretches if closes_at > opens_at), timedelta(0))
