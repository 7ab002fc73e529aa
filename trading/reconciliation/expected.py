"""Which bars a calendar's sessions should have: half days have fewer, and the clock change moves them with the opening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trading.calendar import Session, bar_label
from trading.intervals import Interval
from trading.reconciliation.findings import microseconds

if TYPE_CHECKING:
    from trading.reconciliation.findings import Moments

_DAY = 86_400_000_000


@dataclass(frozen=True)
class Grid:
    """The sessions of a calendar, ready for comparison with bars of one interval; all in microseconds, shape (n,)."""

    sessions: Sequence[Session]
    labels: Moments
    opens: Moments
    closes: Moments
    length: int

    @classmethod
    def of(cls, sessions: Sequence[Session], interval: str) -> Grid:
        """Return the grid of sessions in their order."""
        import numpy as np

        def column(values: list[int]) -> Moments:
            return np.array(values, dtype=np.int64)

        return cls(
            sessions,
            column([microseconds(bar_label(session.session_date)) for session in sessions]),
            column([microseconds(session.opens_at) for session in sessions]),
            column([microseconds(session.closes_at) for session in sessions]),
            int(Interval.stored(interval).length.total_seconds()) * 1_000_000,
        )

    @property
    def is_daily(self) -> bool:
        """Whether a bar is a session."""
        return self.length == _DAY

    def session_of(self, starts: Moments) -> Moments:
        """Return the index of the session that each bar lies in, -1 before the first."""
        import numpy as np

        if self.is_daily:
            return np.searchsorted(self.labels, starts, side="right") - 1
        return np.searchsorted(self.opens, starts + self.length, side="left") - 1

    def phase_of(self, starts: Moments) -> int:
        """Return how far the bars of a series begin after a whole number of intervals from the opening.

        An hourly file that begins at 09:00 for an opening at 09:30 has a phase of half an hour.
        """
        import numpy as np

        inside = self.session_of(starts)
        offsets = (starts - self.opens[np.maximum(inside, 0)]) % self.length
        values, counts = np.unique(offsets, return_counts=True)
        return int(values[np.argmax(counts)])

    def starts(self, phase: int, first: int, last: int) -> Moments:
        """Return the starts of the bars that the sessions `first`..`last` (both included) should have, in order."""
        import numpy as np

        if self.is_daily:
            return self.labels[first : last + 1]
        if self.length > _DAY:
            return np.array([], dtype=np.int64)  # a bar of several sessions has no place that we could expect
        begin = self.opens + phase - (self.length if phase else 0)
        each = [np.arange(begin[at], self.closes[at], self.length) for at in range(first, last + 1)]
        return np.concatenate(each) if each else np.array([], dtype=np.int64)
