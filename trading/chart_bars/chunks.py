"""The styles over arrays: the bars that `Machine.feed` gives print by print, and the state that it leaves, faster.

Where a bar closes is found in one of three ways: by arithmetic (tick), by a search in running sums (volume, dollar), or
by one pass over the prices (range, Renko) or the periods (over time). All else of the bars are reductions. What might
not fit 64 bits is fed print by print.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from trading.chart_bars.chart import BY_PRICE
from trading.chart_bars.closed import ClosedBars
from trading.chart_bars.machine import Machine, brick_limits, bricks
from trading.chart_bars.prints import Column, Prints

FEW = 16  # below it a loop is faster than a dozen calls of numpy
_SAFE = 2**62
_NEVER = 2**63 - 1


def feed_many(machine: Machine, prints: Prints) -> ClosedBars:
    """Feed all prints, in their order; return the bars that they close.

    Raises:
        InputError: as `Machine.feed`.
    """
    closed = ClosedBars()
    if len(prints) and machine.chart.style in BY_PRICE and prints.open is not prints.close:
        close = prints.close
        prints = Prints(prints.at, prints.trade_ids, close, close, close, close, prints.size, prints.known_at)
    _feed(machine, prints, closed)
    return closed


def _feed(machine: Machine, prints: Prints, closed: ClosedBars) -> None:
    if len(prints) < FEW:
        _feed_each(machine, prints, closed)
    elif not _fits(machine, prints):
        middle = len(prints) // 2
        _feed(machine, prints.cut(0, middle), closed)
        _feed(machine, prints.cut(middle, len(prints)), closed)
    elif machine.is_over_time:
        _feed_over_time(machine, prints, closed)
    elif machine.chart.style == "renko":
        _feed_renko(machine, prints, closed)
    else:
        ends = _ENDS[machine.chart.style](machine, prints)
        _close_at(machine, prints, ends, closed)


def _feed_each(machine: Machine, prints: Prints, closed: ClosedBars) -> None:
    for one in prints:
        for bar in machine.feed(one):
            closed.add(bar)


def _fits(machine: Machine, prints: Prints) -> bool:
    """Tell whether no sum over these prints and the open bar can pass 64 bits."""
    largest = int(prints.size.max()) * len(prints)
    if machine.chart.style == "dollar":
        price, size, _ = _money_units(prints)
        if int(price.max()) * int(size.max()) * len(prints) >= _SAFE:
            return False
    return largest + machine.state.volume < _SAFE


def _money_units(prints: Prints) -> tuple[Column, Column, int]:
    """Return prices and sizes in units as large as they all allow, and what one product of units is worth.

    Cents and whole shares are the rule: a product of millionths and hundred-millionths would hardly fit.
    """
    price, price_unit = _coarsest(prints.close, (10_000, 100))
    size, size_unit = _coarsest(prints.size, (100_000_000, 10_000))
    return price, size, price_unit * size_unit


def _coarsest(values: Column, units: tuple[int, ...]) -> tuple[Column, int]:
    for unit in units:
        whole = values // unit
        if np.array_equal(whole * unit, values):
            return whole, unit
    return values, 1


def _tick_ends(machine: Machine, prints: Prints) -> list[int]:
    return list(range(machine.threshold - machine.state.count - 1, len(prints), machine.threshold))


def _volume_ends(machine: Machine, prints: Prints) -> list[int]:
    return _sum_ends(prints.size, machine.threshold - machine.state.volume, machine.threshold)


def _dollar_ends(machine: Machine, prints: Prints) -> list[int]:
    price, size, unit = _money_units(prints)
    first, each = -((machine.state.measure - machine.threshold) // unit), -(-machine.threshold // unit)
    return _sum_ends(price * size, first, each)


def _sum_ends(amounts: Column, first: int, each: int) -> list[int]:
    """Return where the running sum first reaches `first`, and from there on again and again `each`."""
    totals, target = np.cumsum(amounts).tolist(), first
    ends: list[int] = []
    while target <= totals[-1]:
        place = bisect_left(totals, target, ends[-1] + 1 if ends else 0)
        ends.append(place)
        target = totals[place] + each
    return ends


def _range_ends(machine: Machine, prints: Prints) -> list[int]:
    state = machine.state
    ends: list[int] = []
    high, low = (state.high, state.low) if state.count else (0, _NEVER)
    threshold = machine.threshold
    for place, price in enumerate(prints.close.tolist()):
        if low <= price <= high:
            continue
        high, low = max(high, price), min(low, price)
        if high - low >= threshold:
            ends.append(place)
            high, low = 0, _NEVER
    return ends


_ENDS = {"tick": _tick_ends, "volume": _volume_ends, "dollar": _dollar_ends, "range": _range_ends}


def _close_at(machine: Machine, prints: Prints, ends: list[int], closed: ClosedBars) -> None:
    """Close a bar with each print of `ends`; what comes after the last stays open."""
    begin = 0
    if ends and (machine.state.count or len(ends) == 1):
        # The bar that is open already has a part before these prints; the reductions below know nothing of it.
        begin = ends[0] + 1
        _take(machine, prints.cut(0, begin))
        at = int(prints.at[begin - 1])
        closed.add(machine.close_bar(at, at))
        ends = ends[1:]
    if ends:
        _close_whole(machine, prints, begin, np.array(ends), closed)
        begin = ends[-1] + 1
    _take(machine, prints.cut(begin, len(prints)))


def _close_whole(machine: Machine, prints: Prints, begin: int, ends: Column, closed: ClosedBars) -> None:
    """Close bars that lie wholly inside these prints; one ends with each of `ends`, the first starts at `begin`."""
    state, stop = machine.state, int(ends[-1]) + 1
    starts = np.concatenate(([begin], ends[:-1] + 1))
    local = starts - begin
    known = np.maximum.accumulate(prints.known_at[begin:stop])[ends - begin]
    at, ids = prints.at[ends].tolist(), [prints.trade_ids[place] for place in ends.tolist()]
    timestamps = prints.at[starts].tolist()
    closed.timestamp += timestamps
    closed.sequence += map(state.numbered, timestamps)
    closed.ended_at += at
    closed.closed_at += at
    closed.open += prints.open[starts].tolist()
    closed.high += np.maximum.reduceat(prints.high[begin:stop], local).tolist()
    closed.low += np.minimum.reduceat(prints.low[begin:stop], local).tolist()
    closed.close += prints.close[ends].tolist()
    closed.volume += np.add.reduceat(prints.size[begin:stop], local).tolist()
    closed.prints += (ends - starts + 1).tolist()
    closed.known_at += np.maximum(known, state.known_at).tolist()
    closed.last_at += at
    closed.last_id += ids
    state.known_at = closed.known_at[-1]
    state.at, state.trade_id = at[-1], ids[-1]


def _take(machine: Machine, prints: Prints) -> None:
    """Take prints into the open bar that close nothing."""
    if not len(prints):
        return
    state = machine.state
    if state.count == 0:
        state.start, state.open = int(prints.at[0]), int(prints.open[0])
        state.high, state.low = int(prints.high[0]), int(prints.low[0])
    state.count += len(prints)
    state.high, state.low = max(state.high, int(prints.high.max())), min(state.low, int(prints.low.min()))
    state.close = int(prints.close[-1])
    state.volume += int(prints.size.sum())
    if machine.chart.style == "dollar":
        price, size, unit = _money_units(prints)
        state.measure += int(np.dot(price, size)) * unit
    state.at, state.trade_id = int(prints.at[-1]), prints.trade_ids[-1]
    state.known_at = max(state.known_at, int(prints.known_at.max()))


def _feed_renko(machine: Machine, prints: Prints, closed: ClosedBars) -> None:
    state, size, taken = machine.state, machine.threshold, 0
    prices = prints.close.tolist()
    if state.level is None:
        state.level = prices[0] // size * size
    upper, lower = brick_limits(state, size)
    for place, price in enumerate(prices):
        if lower < price < upper:
            continue
        _take(machine, prints.cut(taken, place + 1))
        taken = place + 1
        for bar in bricks(state, price, size):
            closed.add(bar)
        upper, lower = brick_limits(state, size)
    _take(machine, prints.cut(taken, len(prints)))


def _feed_over_time(machine: Machine, prints: Prints, closed: ClosedBars) -> None:
    state, begin = machine.state, 0
    known_at = max(state.known_at, int(prints.known_at.max()))
    kept = machine.grid.trading(prints.at)
    known = np.maximum(np.maximum.accumulate(prints.known_at), state.known_at)
    if not kept.all():
        prints, known = prints.where(kept), known[kept]
    while begin < len(prints):
        at = int(prints.at[begin])
        span = machine.grid.span(at)
        assert span is not None, "what the grid marked has a period"
        if state.count and state.start != span.label:
            state.known_at = int(known[begin])
            closed.add(machine.close_bar(machine.grid.end_of(state.start), at))
        stop = max(int(machine.grid.first_after(prints.at, span)), begin + 1)
        _take(machine, prints.cut(begin, stop))
        state.start = span.label
        begin = stop
    state.known_at = known_at
