"""The styles, one small state machine each, fed one print at a time. This is what a chart bar *is*.

Every print is in one bar whole, and every price of a bar was traded; only Renko bricks and Heikin-Ashi bars have prices
of their own, by their construction. The schools and the reasons: docs/chart-bars.md.
"""

from __future__ import annotations

from trading.chart_bars.chart import BY_PRICE, OVER_TIME, TRADES, Chart
from trading.chart_bars.closed import ClosedBar
from trading.chart_bars.grid import Grid
from trading.chart_bars.prints import Print
from trading.chart_bars.state import State
from trading.errors import InputError

MOST_BRICKS = 10_000  # of one print: a brick that small says nothing, and a wrong one must not fill the disk


class Machine:
    """A chart over one series: `state` says where it stands, `feed` takes a print and gives the bars that it closes."""

    def __init__(self, chart: Chart, state: State | None = None, grid: Grid | None = None) -> None:
        """Go on from `state`, or begin; a chart over time needs the grid of its interval."""
        self.chart, self.state = chart, state or State()
        self.is_over_time = chart.style in OVER_TIME
        self.threshold = 0 if self.is_over_time else chart.threshold
        self._grid = grid
        self._sees_close_only = chart.style in BY_PRICE and chart.fed != TRADES

    @property
    def grid(self) -> Grid:
        """The periods of a chart over time.

        Raises:
            ValueError: it was made without.
        """
        if self._grid is None:
            raise ValueError(f"expected a grid for a {self.chart.style} chart, found none")
        return self._grid

    def feed(self, one: Print) -> list[ClosedBar]:
        """Take a print; return the bars that it closes, mostly none.

        Raises:
            InputError: a Renko chart whose brick is far too small for its prices.
        """
        closed: list[ClosedBar] = []
        if self._sees_close_only:
            one = one._replace(open=one.close, high=one.close, low=one.close)
        self.state.known_at = max(self.state.known_at, one.known_at)
        if self.is_over_time:
            self._feed_over_time(one, closed)
        elif self.chart.style == "renko":
            self._feed_renko(one, closed)
        else:
            self.state.add(one)
            if self.chart.style == "dollar":
                self.state.measure += one.close * one.size
            if self._is_complete():
                closed.append(self.close_bar(one.at, one.at))
        return closed

    def _is_complete(self) -> bool:
        state = self.state
        if self.chart.style == "tick":
            return state.count >= self.threshold
        if self.chart.style == "volume":
            return state.volume >= self.threshold
        if self.chart.style == "dollar":
            return state.measure >= self.threshold
        return state.high - state.low >= self.threshold

    def close_bar(self, ended_at: int, closed_at: int) -> ClosedBar:
        """Close the open bar and return it."""
        state = self.state
        prices = (state.open, state.high, state.low, state.close)
        if self.chart.style == "heikin_ashi":
            prices = smoothed(state)
        bar = ClosedBar(
            *(state.start, state.numbered(state.start), ended_at, closed_at, *prices),
            *(state.volume, state.count, state.known_at, state.at, state.trade_id),
        )
        state.clear()
        return bar

    def _feed_over_time(self, one: Print, closed: list[ClosedBar]) -> None:
        state, span = self.state, self.grid.span(one.at)
        if span is None:
            return
        if state.count and state.start != span.label:
            closed.append(self.close_bar(self.grid.end_of(state.start), one.at))
        state.add(one)
        state.start = span.label

    def _feed_renko(self, one: Print, closed: list[ClosedBar]) -> None:
        self.state.add(one)
        closed += bricks(self.state, one.close, self.threshold)


def smoothed(state: State) -> tuple[int, int, int, int]:
    """Return the open bar as a Heikin-Ashi bar, and remember it for the next one.

    close = (O + H + L + C) / 4; open = (open + close of the Heikin-Ashi bar before) / 2, of the first (O + C) / 2; high
    and low are the extremes of these and the bar's. Each rounded half to even to a millionth, and so carried on.

    Source: D. Valcu, "Using the Heikin-Ashi technique", Stocks & Commodities, February 2004.
    """
    before_open = state.open if state.smooth_open is None else state.smooth_open
    before_close = state.close if state.smooth_close is None else state.smooth_close
    opened = _half_even(before_open + before_close, 2)
    closed = _half_even(state.open + state.high + state.low + state.close, 4)
    state.smooth_open, state.smooth_close = opened, closed
    return opened, max(state.high, opened, closed), min(state.low, opened, closed), closed


def _half_even(total: int, parts: int) -> int:
    whole, rest = divmod(total, parts)
    return whole + (2 * rest > parts or (2 * rest == parts and whole % 2 == 1))


def brick_limits(state: State, size: int) -> tuple[int, int]:
    """Return the prices at and above, and at and below, which the next brick closes; a reversal takes two bricks."""
    level = state.level
    assert level is not None, "a chart that has seen a price has a level"
    return level + size * (2 if state.direction < 0 else 1), level - size * (2 if state.direction > 0 else 1)


def bricks(state: State, price: int, size: int) -> list[ClosedBar]:
    """Close every brick that a price completes; the open bar holds the prints since the last one, this one included.

    Raises:
        InputError: more than `MOST_BRICKS` at once.
    """
    if state.level is None:
        state.level = price // size * size
    upper, lower = brick_limits(state, size)
    if lower < price < upper:
        return []
    if abs(price - state.level) // size > MOST_BRICKS:
        raise InputError(
            f"expected at most {MOST_BRICKS} bricks of one print, found a move of {abs(price - state.level) / 1e6:g} "
            f"with bricks of {size / 1e6:g}; stop this chart and declare one with larger bricks"
        )
    made = []
    while not lower < price < upper:
        made.append(_brick(state, price >= upper, size))
        upper, lower = brick_limits(state, size)
    # Only the last says where to go on: between two bricks of one print there is no place in the series.
    return [bar._replace(last_at=None, last_id=None) for bar in made[:-1]] + made[-1:]


def _brick(state: State, is_up: bool, size: int) -> ClosedBar:
    upper, lower = brick_limits(state, size)
    state.level, state.direction = (upper, 1) if is_up else (lower, -1)
    closed, opened = state.level, state.level - state.direction * size
    start = state.start if state.count else state.at
    bar = ClosedBar(
        timestamp=start,
        sequence=state.numbered(start),
        ended_at=state.at,
        closed_at=state.at,
        open=opened,
        high=max(opened, closed),
        low=min(opened, closed),
        close=closed,
        volume=state.volume,
        prints=state.count,
        known_at=state.known_at,
        last_at=state.at,
        last_id=state.trade_id,
    )
    state.clear()
    return bar
