"""The second view of indicators: built beside TA-Lib, and what it adds to a new bar of the first."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from time import perf_counter

from bar_table import SYMBOLS, BarTable
from case_new_bar import one_day
from harness import Bench, Case, Peer, Sides

BARS = int(os.environ.get("BENCH_ROWS", "1000000")) // SYMBOLS
VIEW = "marts.indicators_extended"
_COMPARED = (
    "adx_14",
    "stochastic_d_14",
    "mfi_14",
    "vwap_20",
    "keltner_upper_20",
    "aroon_up_25",
    "trix_15",
    "parabolic_sar",
)
_SUMS = f"select count(*), {', '.join(f'sum({name})' for name in _COMPARED)} from "


@contextmanager
def build(bench: Bench) -> Iterator[Sides]:
    with (
        bench.database() as url,
        closing(BarTable(url, BARS, views=("indicators_extended",))) as table,
        bench.peer("talib_indicators", url, VIEW) as peer,
    ):
        notes = ["27 columns. Ours: versions, definition and row hash. The peer: same columns and indexes, no hash."]
        yield Sides(ours=partial(_ours, table), peer=partial(_theirs, table, peer), notes=notes)


def _ours(table: BarTable) -> float:
    table.forget_rows()
    begun = perf_counter()
    table.advance()
    return perf_counter() - begun


def _theirs(table: BarTable, peer: Peer) -> float:
    """Return the peer's seconds; both must have made the same numbers."""
    answer = peer.ask(do="build_by_adbc")
    ours, theirs = (table.conn.execute(_SUMS + name).fetchone() for name in (VIEW, "bench_indicators"))
    if ours[0]:  # nothing is built yet where the peer goes first
        assert ours[0] == theirs[0]
        assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-3) for a, b in zip(ours, theirs, strict=True))
    return float(answer["seconds"])


@contextmanager
def beside_the_first(bench: Bench) -> Iterator[Sides]:
    with (
        bench.database() as both_url,
        bench.database() as first_url,
        closing(BarTable(both_url, BARS // 10, views=("indicators", "indicators_extended"))) as both,
        closing(BarTable(first_url, BARS // 10)) as first,
    ):
        for table in (both, first):
            table.advance()
            table.conn.execute("vacuum analyze marts.indicators, marts.indicators_extended")
        yield Sides(ours=lambda: sum(one_day(both)), peer=lambda: sum(one_day(first)))


CASES = [
    Case("second view, build", f"{SYMBOLS * BARS:,} bars", "ADBC + TA-Lib + ADBC", build),
    Case(
        "new bar into both views",
        f"{SYMBOLS} symbols, a tenth of the bars",
        "into the first alone",
        beside_the_first,
        None,
        "ms",
        15,
        6,
    ),
]
