"""The styles over arrays: the bars that `Machine.feed` gives print by print, and the state that it leaves, faster.

Where a bar closes is found in one of three ways: by arithmetic (tick), by a search in running sums (volume, dollar), or
by one pass over the prices (range, Renko) or the periods (over time). All else of the bars are reductions. What might
not fit 64 bits is halved, and at last fed print by print.
"""

from __future__ import annotations

import numpy as np

from trading.chart_bars.chart import BY_PRICE
from trading.chart_bars.closed import ClosedBar
from trading.chart_bars.machine import Machine, brick_limits, bricks
from trading.chart_bars.prints import Column, Prints
from trading.chart_bars.state import State

FEW = 16  # prints below which a loop is faster than a dozen calls of numpy
MANY = 12  # bars above which their columns are made at once
_SAFE = 2**62
_NEVER = 2**63 - 1


def feed_many(machine: Machine, prints: Prints) -> list[ClosedBar]:
    """Feed all prints, in their order; return the bars that they close.

    Raises:
        InputError: as `Machine.feed`.
    """
    closed: list[ClosedBar] = []
    if len(prints) and machine.chart.style in BY_PRICE and prints.open is not prints.close:
        close = prints.close
        prints = Prints(prints.at, prints.trade_ids, close, close, close, close, prints.size, prints.known_at)
    _feed(machine, prints, closed)
    return closed


def _feed(machine: Machine, prints: Prints, closed: list[ClosedBar]) -> None:
    if len(prints) < FEW:
        for one in prints:
            closed += machine.feed(one)
    elif not _feed_whole(machine, prints, closed):
        middle = len(prints) // 2
        _feed(machine, prints.cut(0, middle), closed)
        _feed(machine, prints.cut(middle, len(prints)), closed)


def _feed_whole(machine: Machine, prints: Prints, closed: list[ClosedBar]) -> bool:
    """Feed the prints at once; False, with nothing done, where a sum over them might not fit 64 bits."""
    style, state = machine.chart.style, machine.state
    if int(prints.size.max()) * len(prints) + state.volume >= _SAFE:
        return False
    if style == "dollar":
        return _feed_dollar(machine, prints, closed)
    if machine.is_over_time:
        _feed_over_time(machine, prints, closed)
    elif style == "renko":
        _feed_renko(machine, prints, closed)
    elif style == "range":
        _close_at(machine, prints, _range_ends(machine, prints), closed)
    elif style == "tick":
        ends = list(range(machine.threshold - state.count - 1, len(prints), machine.threshold))
        _close_at(machine, prints, ends, closed)
    else:
        totals = np.cumsum(prints.size)
        ends = _sum_ends(totals, machine.threshold - state.volume, machine.threshold)
        _close_at(machine, prints, ends, closed)
    return True


def _feed_dollar(machine: Machine, prints: Prints, closed: list[ClosedBar]) -> bool:
    """Count in units as large as prices and sizes allow: a product of millionths and hundred-millionths hardly fits."""
    price, price_unit = _coarsest(prints.close, (10_000, 100))
    size, size_unit = _coarsest(prints.size, (100_000_000, 10_000))
    if int(price.max()) * int(size.max()) * len(prints) >= _SAFE:
        return False
    totals, unit, carried = np.cumsum(price * size), price_unit * size_unit, machine.state.measure
    ends = _sum_ends(totals, -((carried - machine.threshold) // unit), -(-machine.threshold // unit))
    _close_at(machine, prints, ends, closed)
    if machine.state.count:
        closed_with = int(totals[ends[-1]]) if ends else 0
        machine.state.measure = (int(totals[-1]) - closed_with) * unit + (0 if ends else carried)
    return True


def _coarsest(values: Column, units: tuple[int, ...]) -> tuple[Column, int]:
    for unit in units:
        whole = values // unit
        if not (whole * unit != values).any():
            return whole, unit
    return values, 1


def _sum_ends(totals: Column, first: int, each: int) -> list[int]:
    """Return where a running sum first reaches `first`, and from there on again and again `each`."""
    last, target = int(totals[-1]), first
    ends: list[int] = []
    while target <= last:
        ends.append(int(totals.searchsorted(target)))
        target = int(totals[ends[-1]]) + each
    return ends


def _range_ends(machine: Machine, prints: Prints) -> list[int]:
    state, threshold = machine.state, machine.threshold
    ends: list[int] = []
    high, low = (state.high, state.low) if state.count else (0, _NEVER)
    for place, price in enumerate(prints.close.tolist()):
        if low <= price <= high:
            continue
        high, low = max(high, price), min(low, price)
        if high - low >= threshold:
            ends.append(place)
            high, low = 0, _NEVER
    return ends


def _close_at(machine: Machine, prints: Prints, ends: list[int], closed: list[ClosedBar]) -> None:
    """Close a bar with each print of `ends`; what comes after the last stays open."""
    if len(ends) <= MANY:
        _close_each(machine, prints, ends, closed)
        return
    # The bar that is open may have a part before these prints; the columns know nothing of it.
    _close_each(machine, prints.cut(0, ends[0] + 1), ends[:1], closed)
    _close_together(machine.state, prints, ends[0] + 1, np.array(ends[1:]), closed)
    if ends[-1] + 1 < len(prints):
        _take(machine.state, prints, ends[-1] + 1, len(prints))


def _close_each(machine: Machine, prints: Prints, ends: list[int], closed: list[ClosedBar]) -> None:
    starts = [0, *(end + 1 for end in ends if end + 1 < len(prints))]
    stops = [*starts[1:], len(prints)]
    high = np.maximum.reduceat(prints.high, starts).tolist()
    low = np.minimum.reduceat(prints.low, starts).tolist()
    volume = np.add.reduceat(prints.size, starts).tolist()
    known = np.maximum.reduceat(prints.known_at, starts).tolist()
    for place, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        _merge(machine.state, prints, start, stop, (high[place], low[place], volume[place], known[place]))
        if place < len(ends):
            at = machine.state.at
            closed.append(machine.close_bar(at, at))


def _close_together(state: State, prints: Prints, begin: int, ends: Column, closed: list[ClosedBar]) -> None:
    """Close bars that lie wholly inside these prints; one ends with each of `ends`, the first starts at `begin`."""
    stop = int(ends[-1]) + 1
    starts = np.concatenate(([begin], ends[:-1] + 1))
    local = starts - begin
    known = np.maximum.accumulate(prints.known_at[begin:stop])[ends - begin]
    at, ids = prints.at[ends].tolist(), [prints.trade_ids[place] for place in ends.tolist()]
    timestamps = prints.at[starts].tolist()
    columns = (
        *(timestamps, map(state.numbered, timestamps), at, at, prints.open[starts].tolist()),
        np.maximum.reduceat(prints.high[begin:stop], local).tolist(),
        np.minimum.reduceat(prints.low[begin:stop], local).tolist(),
        prints.close[ends].tolist(),
        np.add.reduceat(prints.size[begin:stop], local).tolist(),
        (ends - starts + 1).tolist(),
        np.maximum(known, state.known_at).tolist(),
        *(at, ids),
    )
    closed += map(ClosedBar._make, zip(*columns, strict=True))
    state.known_at = closed[-1].known_at
    state.at, state.trade_id = at[-1], ids[-1]


def _take(state: State, prints: Prints, start: int, stop: int) -> None:
    """Take the prints from `start` to before `stop` into the open bar; they close nothing."""
    part = slice(start, stop)
    high, low = int(prints.high[part].max()), int(prints.low[part].min())
    _merge(state, prints, start, stop, (high, low, int(prints.size[part].sum()), int(prints.known_at[part].max())))


def _merge(state: State, prints: Prints, start: int, stop: int, found: tuple[int, int, int, int]) -> None:
    """Merge prints into the open bar, or begin one with them; `found`: their high, low, volume and latest known_at."""
    high, low, volume, known_at = found
    if state.count == 0:
        state.start, state.open, state.high, state.low = int(prints.at[start]), int(prints.open[start]), high, low
    else:
        state.high, state.low = max(state.high, high), min(state.low, low)
    state.count += stop - start
    state.close = int(prints.close[stop - 1])
    state.volume += volume
    state.at, state.trade_id = int(prints.at[stop - 1]), prints.trade_ids[stop - 1]
    state.known_at = max(state.known_at, known_at)


def _feed_renko(machine: Machine, prints: Prints, closed: list[ClosedBar]) -> None:
    state, size, taken = machine.state, machine.threshold, 0
    prices = prints.close.tolist()
    if state.level is None:
        state.level = prices[0] // size * size
    upper, lower = brick_limits(state, size)
    for place, price in enumerate(prices):
        if lower < price < upper:
            continue
        _take(state, prints, taken, place + 1)
        taken = place + 1
        closed += bricks(state, price, size)
        upper, lower = brick_limits(state, size)
    if taken < len(prints):
        _take(state, prints, taken, len(prints))


def _feed_over_time(machine: Machine, prints: Prints, closed: list[ClosedBar]) -> None:
    state, begin = machine.state, 0
    known = np.maximum(np.maximum.accumulate(prints.known_at), state.known_at)
    known_at, kept = int(known[-1]), machine.grid.trading(prints.at)
    if not kept.all():
        prints, known = prints.where(kept), known[kept]
    while begin < len(prints):
        at = int(prints.at[begin])
        span = machine.grid.span(at)
        assert span is not None, "what the grid marked has a period"
        if state.count and state.start != span.label:
            state.known_at = int(known[begin])
            closed.append(machine.close_bar(machine.grid.end_of(state.start), at))
        stop = max(machine.grid.first_after(prints.at, span), begin + 1)
        _take(state, prints, begin, stop)
        state.start = span.label
        begin = stop
    state.known_at = known_at
