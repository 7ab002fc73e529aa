"""Chart bars of 1,000,000 trades: ours as they arrive, a thousand at a time through one state, against Polars at once.

Both begin with the same columns of whole numbers in memory and end with the same bars; that they are the same is checked
before a round is timed. Where a volume or dollar bar ends depends on where the one before it ended, which no expression
of Polars says: the peer finds the ends by a binary search per bar in the running sum and groups by them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars
from harness import Bench, Case, Sides, facts

from trading.chart_bars.chart import Chart
from trading.chart_bars.chunks import feed_many
from trading.chart_bars.closed import ClosedBar
from trading.chart_bars.machine import Machine
from trading.chart_bars.prints import Prints

TRADES = int(os.environ.get("BENCH_ROWS", "1000000"))
AT_ONCE = 1_000  # trades that arrive together
CENT, SHARE = 10_000, 100_000_000
FIRST = 1_700_000_000_000_000
Bars = list[tuple[int, ...]]


@dataclass(frozen=True)
class Market:
    """The trades, as they arrive and as one frame."""

    chunks: list[Prints]
    frame: polars.DataFrame


def market() -> Market:
    """Return a walk in cents with whole shares, several trades a second."""
    dice = np.random.default_rng(11)
    at = FIRST + np.cumsum(dice.integers(0, 400_000, TRADES))
    price = (20_000 + np.cumsum(dice.integers(-1, 2, TRADES))) * CENT
    size = dice.integers(1, 500, TRADES) * SHARE
    ids = [str(number) for number in range(TRADES)]
    whole = Prints.of_trades(at, ids, price, size, at + 1_000_000)
    chunks = [whole.cut(start, start + AT_ONCE) for start in range(0, TRADES, AT_ONCE)]
    return Market(chunks, polars.DataFrame({"at": at, "price": price, "size": size}))


def streamed(chart: Chart, chunks: list[Prints]) -> list[ClosedBar]:
    """Feed the chunks in their order to one machine."""
    machine = Machine(chart)
    return [bar for chunk in chunks for bar in feed_many(machine, chunk)]


def tick_ends(frame: polars.DataFrame, count: int) -> np.ndarray:
    """Return the place of the last trade of each bar."""
    return np.arange(count - 1, len(frame), count)


def sum_ends(amounts: polars.Series, threshold: int) -> np.ndarray:
    """Return the place of the last trade of each bar: where the sum since the bar before reaches the threshold."""
    totals, ends, target = amounts.cum_sum().to_numpy(), [], threshold
    while target <= totals[-1]:
        place = int(totals.searchsorted(target))
        ends.append(place)
        target = int(totals[place]) + threshold
    return np.array(ends)


def volume_ends(frame: polars.DataFrame, shares: int) -> np.ndarray:
    """Return the ends of bars of so many shares."""
    return sum_ends(frame["size"], shares * SHARE)


def dollar_ends(frame: polars.DataFrame, dollars: int) -> np.ndarray:
    """Return the ends of bars of so much money; cents times shares fit 64 bits, millionths would not."""
    return sum_ends((frame["price"] // CENT) * (frame["size"] // SHARE), dollars * 100)


def grouped(frame: polars.DataFrame, ends: np.ndarray) -> polars.DataFrame:
    """Return the bars that end at `ends`; what comes after the last is no bar yet."""
    lengths = np.diff(ends, prepend=-1)
    bar = polars.Series("bar", np.repeat(np.arange(len(ends), dtype=np.uint32), lengths))
    price = polars.col("price")
    return (
        frame.head(len(bar))
        .lazy()
        .with_columns(bar)
        .group_by("bar", maintain_order=True)
        .agg(
            polars.col("at").first().alias("start"),
            polars.col("at").last().alias("end"),
            price.first().alias("open"),
            price.max().alias("high"),
            price.min().alias("low"),
            price.last().alias("close"),
            polars.col("size").sum().alias("volume"),
            polars.len().alias("trades"),
        )
        .collect()
    )


def of_ours(found: list[ClosedBar]) -> Bars:
    """Return our bars as plain rows."""
    return [(bar.timestamp, bar.ended_at, *bar[4:8], bar.volume, bar.prints) for bar in found]


@contextmanager
def against_polars(bench: Bench, chart: Chart, ends: Callable[[polars.DataFrame, int], np.ndarray]) -> Iterator[Sides]:
    """Both sides on the same trades."""
    there: Market = bench.shared("trades of chart bars", _market)
    parameter = int(chart.parameter)
    theirs = [row[1:] for row in grouped(there.frame, ends(there.frame, parameter)).iter_rows()]
    assert of_ours(streamed(chart, there.chunks)) == theirs, f"the two make other {chart.style} bars"
    yield Sides(
        ours=lambda: streamed(chart, there.chunks) and None,
        peer=lambda: grouped(there.frame, ends(there.frame, parameter)) is None or None,
        notes=[facts({"bars": f"{len(theirs):,}", "trades that arrive together": f"{AT_ONCE:,}"})],
    )


@contextmanager
def _market() -> Iterator[Market]:
    yield market()


def _case(chart: Chart, ends: Callable[[polars.DataFrame, int], np.ndarray]) -> Case:
    name = f"Chart bars, streaming: {chart.style} {chart.parameter}"
    prepare = partial(against_polars, chart=chart, ends=ends)
    return Case(name, f"{TRADES:,} trades", "Polars, as one batch", prepare, goal=2.0)


CASES = [
    _case(Chart.of("tick", "400"), tick_ends),
    _case(Chart.of("volume", "100000"), volume_ends),
    _case(Chart.of("dollar", "20000000"), dollar_ends),
]
