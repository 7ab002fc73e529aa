"""The full indicator build of a million bars, against TA-Lib fed and emptied by ADBC, and by read_sql and COPY."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from time import perf_counter

from bar_table import SYMBOLS, BarTable
from harness import Bench, Case, Peer, Sides

BARS = int(os.environ.get("BENCH_ROWS", "1000000")) // SYMBOLS
_SUMS = (
    "select count(*), sum(sma_20), sum(sma_50), sum(ema_12), sum(ema_26), sum(rsi_14), sum(macd), sum(macd_signal),"
    " sum(macd_histogram), sum(bollinger_upper_20), sum(bollinger_middle_20), sum(bollinger_lower_20), sum(atr_14),"
    " sum(obv), sum(return_1d), sum(return_5d), sum(return_20d), sum(volatility_20d) from marts.indicators"
)


@contextmanager
def build(bench: Bench, how: str) -> Iterator[Sides]:
    with bench.database() as url, closing(BarTable(url, BARS)) as table, bench.peer("talib_indicators", url) as peer:
        notes = [
            "Ours: versions, definition and row hash, by features.advance. The peer: same columns and indexes, no hash."
        ]
        yield Sides(ours=partial(_ours, table), peer=partial(_theirs, table, peer, how), notes=notes)


def _ours(table: BarTable) -> float:
    table.forget_rows()
    begun = perf_counter()
    table.advance()
    return perf_counter() - begun


def _theirs(table: BarTable, peer: Peer, how: str) -> float:
    """Return the peer's seconds; both must have made the same numbers."""
    answer = peer.ask(do=how)
    ours = table.conn.execute(_SUMS).fetchone()
    if ours[0]:  # nothing is built yet where the peer goes first
        assert ours[0] == answer["sums"][0]
        assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-3) for a, b in zip(ours, answer["sums"], strict=True))
    return float(answer["seconds"])


def _case(against: str, how: str, goal: float) -> Case:
    return Case("indicator build", f"{SYMBOLS * BARS:,} bars", against, partial(build, how=how), goal)


CASES = [
    _case("ADBC + TA-Lib + ADBC", "build_by_adbc", 2.5),
    _case("read_sql + TA-Lib + COPY", "build_by_read_sql", 1.0),
]
