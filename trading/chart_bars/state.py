"""Where a chart stands between two prints: the bar that is open, and what the style remembers of closed ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trading.chart_bars.prints import Print

BEFORE_ALL = -(2**62)  # earlier than any moment, in microseconds


@dataclass(slots=True)
class State:
    """The state of a chart over one series; whole numbers as in `Print`.

    Attributes:
        count: Prints in the open bar; 0: no bar is open, and start to measure mean nothing.
        start: Timestamp of the open bar: of its first print, or the label of its period.
        ends_at: Of a chart over time: the end of the open bar's period.
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
    ends_at: int = 0
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
        self.count = self.start = self.ends_at = self.open = self.high = self.low = self.close = 0
        self.volume = self.measure = 0

    def numbered(self, start: int) -> int:
        """Return the number of a bar that closes now among those that start at `start`, and remember it."""
        self.last_sequence = self.last_sequence + 1 if start == self.last_start else 0
        self.last_start = start
        return self.last_sequence

    def memory(self) -> dict[str, Any]:
        """Return what the next bar starts from when none is open: the place in the series and the style's memory."""
        kept: dict[str, Any] = {"at": self.at, "trade_id": self.trade_id}
        if self.level is not None:
            kept |= {"level": self.level, "direction": self.direction}
        if self.smooth_open is not None:
            kept |= {"smooth_open": self.smooth_open, "smooth_close": self.smooth_close}
        return kept

    def as_dict(self) -> dict[str, Any]:
        """Return the whole state as JSON values."""
        return asdict(self)

    @classmethod
    def after_bar(cls, memory: dict[str, Any], start: int, sequence: int, known_at: int) -> State:
        """Return the state right after a closed bar, from its `memory`, timestamp, number and known_at."""
        return cls(last_start=start, last_sequence=sequence, known_at=known_at, **memory)
