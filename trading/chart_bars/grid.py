"""The periods of a chart over time, asked in microseconds; sessions come in, nothing is read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.calendar import Sessions
from trading.chart_bars.prints import Column
from trading.identity import epoch_micros
from trading.intervals import Interval, period_at, period_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


class Span(NamedTuple):
    """A period: the timestamp of its bar, and the moment before which its prints lie."""

    label: int
    ends_at: int


class Grid:
    """The periods of one interval on one exchange. What comes while it does not trade belongs to none.

    A finer bar belongs to the period in which it begins to trade: the 09:00 bar of an hourly file at 09:30.
    """

    def __init__(self, interval: Interval, sessions: Sessions, fed: Interval | None = None) -> None:
        """Take the sessions around all prints, and `fed`, the interval of finer bars (None: trades)."""
        self._interval, self._sessions = interval, sessions
        self._is_by_day = fed is not None and not fed.is_intraday
        self._reach = 1 if fed is None else fed.length // _MICRO
        stretches = [
            stretch
            for session in sessions.ordered
            for stretch in (session.stretches if interval.is_intraday else ((session.opens_at, session.closes_at),))
        ]
        if self._is_by_day:  # a daily bar is named by its date, wherever on the clock its session lies
            labels = [Interval(1, "d").label(session.session_date) for session in sessions.ordered]
            stretches, self._reach = [(label, label + _MICRO) for label in labels], 1
        self._opens = np.array([epoch_micros(opens) for opens, _ in stretches], dtype=np.int64)
        self._closes = np.array([epoch_micros(closes) for _, closes in stretches], dtype=np.int64)

    def span(self, at: int) -> Span | None:
        """Return the period that a print at a moment belongs to, or None."""
        place = int(np.searchsorted(self._opens, at + self._reach)) - 1
        if place < 0 or at >= int(self._closes[place]):
            return None
        moment = _moment(max(at, int(self._opens[place])))
        if self._is_by_day:
            return self._by_day(moment.date())
        period = period_at(self._interval, moment, self._sessions)
        return Span(epoch_micros(period.timestamp), epoch_micros(period.ends_at)) if period else None

    def _by_day(self, day: date) -> Span:
        label = self._interval.label(day)
        return Span(epoch_micros(label), epoch_micros(self._interval.label_end(label)))

    def end_of(self, label: int) -> int:
        """Return the end of the period of a bar: of a week or month the close of its last session.

        Asked when a later print closes the bar, so that all of its sessions are on record.
        """
        find = period_at if self._interval.is_intraday else period_of
        period = find(self._interval, _moment(label), self._sessions)
        assert period is not None, "a bar has a period"
        return epoch_micros(period.ends_at)

    def first_after(self, at: Column, span: Span) -> int:
        """Return the place of the first of these moments, in order, that lies after the period."""
        return int(np.searchsorted(at, span.ends_at))

    def trading(self, at: Column) -> NDArray[np.bool_]:
        """Mark the moments that have a period."""
        if not len(self._opens):
            return np.zeros(len(at), dtype=np.bool_)
        place = np.searchsorted(self._opens, at + self._reach) - 1
        marked: NDArray[np.bool_] = (place >= 0) & (at < self._closes[np.maximum(place, 0)])
        return marked


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)
