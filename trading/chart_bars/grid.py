"""The periods of a chart over time, asked in microseconds; sessions come in, nothing is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.calendar import Sessions
from trading.chart_bars.prints import Column
from trading.identity import epoch_micros
from trading.intervals import Interval, period_at

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """A period: the timestamp of its bar, and the moment at which it is over."""

    label: int
    ends_at: int


class Grid:
    """The periods of one interval on one exchange. A moment at which it does not trade belongs to none."""

    def __init__(self, interval: Interval, sessions: Sessions) -> None:
        """Take the sessions around all prints; of weeks and months those of the whole week or month."""
        self._interval, self._sessions = interval, sessions
        stretches = [
            stretch
            for session in sessions.ordered
            for stretch in (session.stretches if interval.is_intraday else ((session.opens_at, session.closes_at),))
        ]
        self._opens = np.array([epoch_micros(opens) for opens, _ in stretches], dtype=np.int64)
        self._closes = np.array([epoch_micros(closes) for _, closes in stretches], dtype=np.int64)

    def span(self, at: int) -> Span | None:
        """Return the period that trades at a moment, or None."""
        period = period_at(self._interval, _EPOCH + timedelta(microseconds=at), self._sessions)
        return Span(epoch_micros(period.timestamp), epoch_micros(period.ends_at)) if period else None

    def trading(self, at: Column) -> NDArray[np.bool_]:
        """Mark the moments that have a period."""
        if not len(self._opens):
            return np.zeros(len(at), dtype=np.bool_)
        place = np.searchsorted(self._opens, at, side="right") - 1
        marked: NDArray[np.bool_] = (place >= 0) & (at < self._closes[np.maximum(place, 0)])
        return marked
