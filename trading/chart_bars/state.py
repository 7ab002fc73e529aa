"""Where a chart stands between two prints: the bar that is open, and what the style remembers of closed ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trading.chart_bars.chart import Style
from trading.chart_bars.closed import ClosedBar
from trading.chart_bars.prints import Print

BEFORE_ALL = -(2**62)  # earlier than any moment, in microseconds


@dataclass(slots=True)
class State:
    """The state of a chart over one series; whole numbers as in `Print`.

    Attributes:
        count: Prints in the open bar; 0: no bar is open, and start to measure mean nothing.
        start: Timestamp of the open bar: of its first print, or the label of its period.
        measure: What a dollar chart counts: close x size, at scale 14.
        at, trade_id: The last print of the open bar, else of the bar before it: where to go on reading.
        level, direction: Renko: the close of the last brick (before any: the grid level at or below the first price), and
            1 up, -1 down, 0 before any.
        smooth_open, smooth_close: Heikin-Ashi: those of the bar before; None before any.
        last_start, last_sequence: Of the last closed bar: several may start in one moment.
        known_at: The latest known_at of all prints so far.
    """

    count: int = 0
    start: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    volume: int = 0
    measure: int = 0
    at: int = BEFORE_ALL
    trade_id: str = ""
    level: int | None = None
    direction: int = 0
    smooth_open: int | None = None
    smooth_close: int | None = None
    last_start: int = BEFORE_ALL
    last_sequence: int = 0
    known_at: int = BEFORE_ALL

    def add(self, one: Print) -> None:
        """Take a print into the open bar, or begin a bar with it."""
        if self.count == 0:
            self.start, self.open, self.high, self.low = one.at, one.open, one.high, one.low
        self.count += 1
        self.high, self.low, self.close = max(self.high, one.high), min(self.low, one.low), one.close
        self.volume += one.size
        self.at, self.trade_id = one.at, one.trade_id

    def clear(self) -> None:
        """Leave no bar open; what the style remembers and the place in the series stay."""
        self.count = self.start = self.open = self.high = self.low = self.close = 0
        self.volume = self.measure = 0

    def numbered(self, start: int) -> int:
        """Return the number of a bar that closes now among those that start at `start`, and remember it."""
        self.last_sequence = self.last_sequence + 1 if start == self.last_start else 0
        self.last_start = start
        return self.last_sequence

    def as_dict(self) -> dict[str, Any]:
        """Return the whole state as JSON values."""
        return asdict(self)

    @classmethod
    def after_bar(cls, style: Style, bar: ClosedBar) -> State:
        """Return the state right after a closed bar: all that a style remembers stands in the bar itself.

        Raises:
            ValueError: the print that closed it closed further bars.
        """
        if bar.last_at is None or bar.last_id is None:
            raise ValueError("expected the last bar that its print closed, found one before it")
        state = cls(
            at=bar.last_at,
            trade_id=bar.last_id,
            last_start=bar.timestamp,
            last_sequence=bar.sequence,
            known_at=bar.known_at,
        )
        if style == "renko":
            state.level, state.direction = bar.close, 1 if bar.close > bar.open else -1
        elif style == "heikin_ashi":
            state.smooth_open, state.smooth_close = bar.open, bar.close
        return state
