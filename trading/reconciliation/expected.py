"""Which bars a calendar's sessions should have: half days have fewer, and the clock change moves them with the opening.

Weeks and months have one each. Pure arrays of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from trading.calendar import Session, bar_label
from trading.intervals import Interval
from trading.reconciliation.findings import microseconds

if TYPE_CHECKING:
    from trading.reconciliation.findings import Moments


class Rhythm(NamedTuple):
    """How a series cuts the day: how far after a whole number of intervals from the opening (microseconds), and whether
    it begins anew after a break."""

    phase: int
    is_anew: bool


@dataclass(frozen=True)
class Grid:
    """The sessions of a calendar, ready for comparison with bars of one interval; all in microseconds, shape (n,).

    Of `1w` and `1mo` each entry is a week or a month, from its first opening to its last close. Without a break, it is
    as if it began and ended with the close.
    """

    sessions: Sequence[Session]
    labels: Moments
    opens: Moments
    breaks: Moments
    resumes: Moments
    closes: Moments
    length: int
    is_labelled: bool

    @classmethod
    def of(cls, sessions: Sequence[Session], interval: str) -> Grid:
        """Return the grid of sessions in their order; of weeks and months all their sessions must be there."""
        import numpy as np

        def column(values: list[int]) -> Moments:
            return np.array(values, dtype=np.int64)

        wanted = Interval.stored(interval)
        if wanted.unit in ("w", "mo"):
            sessions = _merged(sessions, wanted)
        return cls(
            sessions,
            column([microseconds(bar_label(session.session_date)) for session in sessions]),
            column([microseconds(session.opens_at) for session in sessions]),
            column([microseconds(session.break_starts_at or session.closes_at) for session in sessions]),
            column([microseconds(session.break_ends_at or session.closes_at) for session in sessions]),
            column([microseconds(session.closes_at) for session in sessions]),
            int(wanted.length.total_seconds()) * 1_000_000,
            not wanted.is_intraday,
        )

    def session_of(self, starts: Moments) -> Moments:
        """Return the index of the session that each bar lies in, -1 before the first."""
        import numpy as np

        if self.is_labelled:
            return np.searchsorted(self.labels, starts, side="right") - 1
        return np.searchsorted(self.opens, starts + self.length, side="left") - 1

    def rhythm_of(self, starts: Moments) -> Rhythm:
        """Return the rhythm of most bars of a series.

        An hourly file that begins at 09:00 for an opening at 09:30 has a phase of half an hour. One that has bars at
        12:30 and 13:30 for a break from 11:30 to 12:30 begins anew.
        """
        import numpy as np

        inside = np.maximum(self.session_of(starts), 0)
        offsets = (starts - self.opens[inside]) % self.length
        is_before = starts < self.breaks[inside]
        values, counts = np.unique(offsets[is_before] if is_before.any() else offsets, return_counts=True)
        phase = int(values[np.argmax(counts)])
        after = starts[~is_before]
        since_break = (after - self.resumes[inside[~is_before]]) % self.length
        anew, through = (since_break == phase).sum(), (offsets[~is_before] == phase).sum()
        return Rhythm(phase, bool(anew >= through))

    def starts(self, rhythm: Rhythm, first: int, last: int) -> Moments:
        """Return the starts of the bars that the sessions `first`..`last` (both included) should have, in order."""
        import numpy as np

        if self.is_labelled:
            return self.labels[first : last + 1]
        each = [self._of_session(rhythm, at) for at in range(first, last + 1)]
        return np.concatenate(each) if each else np.array([], dtype=np.int64)

    def _of_session(self, rhythm: Rhythm, at: int) -> Moments:
        import numpy as np

        before = rhythm.phase - (self.length if rhythm.phase else 0)
        breaks, resumes, closes = int(self.breaks[at]), int(self.resumes[at]), int(self.closes[at])
        if rhythm.is_anew and resumes < closes:
            morning = np.arange(self.opens[at] + before, breaks, self.length)
            return np.concatenate([morning, np.arange(resumes + before, closes, self.length)])
        through = np.arange(self.opens[at] + before, closes, self.length)
        return through[(through < breaks) | (through + self.length > resumes)]


def _merged(sessions: Sequence[Session], interval: Interval) -> list[Session]:
    """Return one entry per week or month, dated by its label."""
    found = []
    for label, group in groupby(sessions, key=lambda session: interval.label(session.session_date)):
        inside = list(group)
        found.append(Session(label.date(), inside[0].opens_at, inside[-1].closes_at))
    return found
