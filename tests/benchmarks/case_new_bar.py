"""One new bar for each of 200 symbols, from the raw rows to committed indicators."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from time import perf_counter

from bar_table import SYMBOLS, BarTable
from harness import Bench, Case, Sides

from feature_store.definitions import advance

BARS = int(os.environ.get("BENCH_ROWS", "1000000")) // SYMBOLS
SIZE = f"{SYMBOLS} symbols, {SYMBOLS * BARS:,} bars before"


@contextmanager
def against_the_last_300(bench: Bench, raw: bool) -> Iterator[Sides]:
    """The peer reads and computes after our own bars came in; with `raw`, both clocks count what that takes."""
    came_in: list[float] = []
    with bench.database() as url, closing(BarTable(url, BARS)) as table, bench.peer("talib_indicators", url) as peer:
        table.advance()
        table.conn.execute("vacuum analyze marts.indicators")

        def ours() -> float:
            in_, advanced = one_day(table)
            came_in.append(in_)
            return in_ + advanced if raw else advanced

        def theirs() -> float:
            if not came_in:
                ours()
            return peer.seconds(do="new_bar") + (came_in[-1] if raw else 0.0)

        told = (
            "What it takes to bring the raw rows in, and to commit them, counts for both. Both keep their connection."
            if raw
            else "The raw rows are there. Both keep their connection."
        )
        yield Sides(ours, theirs, notes=[told])


@contextmanager
def in_new_sessions(bench: Bench) -> Iterator[Sides]:
    """Each side connects anew for every round, as `ingest` does, which is a process that ends."""
    came_in: list[float] = []
    with bench.database() as url, closing(BarTable(url, BARS)) as table, bench.peer("talib_indicators", url) as peer:
        table.advance()
        table.conn.execute("vacuum analyze marts.indicators")

        def ours() -> float:
            publish = table.next_day()
            begun = perf_counter()
            with table.conn.transaction():
                publish()
            came_in.append(perf_counter() - begun)
            advance(url)
            return perf_counter() - begun

        def theirs() -> float:
            if not came_in:
                ours()
            return peer.seconds(do="new_bar_in_a_new_session") + came_in[-1]

        told = "As `new bar`, but both connect anew and plan anew each time, as one `ingest` after the other does."
        yield Sides(ours, theirs, notes=[told])


@contextmanager
def against_less_history(bench: Bench) -> Iterator[Sides]:
    with (
        bench.database() as long_url,
        bench.database() as short_url,
        closing(BarTable(long_url, BARS)) as long,
        closing(BarTable(short_url, BARS // 10)) as short,
    ):
        for table in (long, short):
            table.advance()
            table.conn.execute("vacuum analyze marts.indicators")
        yield Sides(ours=partial(_day, long), peer=partial(_day, short))


@contextmanager
def with_daily(bench: Bench) -> Iterator[Sides]:
    with bench.database() as url, closing(BarTable(url, BARS // 10, daily=True)) as table:
        table.advance()
        table.conn.execute("vacuum analyze marts.indicators, features.daily")
        yield Sides(ours=partial(_day, table), peer=None)


def _day(table: BarTable) -> float:
    return sum(one_day(table))


def one_day(table: BarTable) -> tuple[float, float]:
    """Publish a day, then take it into the derived rows, in two transactions as `ingest` does; return their seconds."""
    publish = table.next_day()
    begun = perf_counter()
    with table.conn.transaction():
        publish()
    came_in = perf_counter()
    table.advance()
    return came_in - begun, perf_counter() - came_in


CASES = [
    Case(
        "new bar",
        SIZE,
        "ADBC + TA-Lib over the last 300 bars",
        partial(against_the_last_300, raw=True),
        0.1,
        "ms",
        15,
        6,
    ),
    Case("new bar, advance alone", SIZE, "the same", partial(against_the_last_300, raw=False), 0.1, "ms", 15, 6),
    Case("new bar, ten times the history", SIZE, "ours with a tenth of it", against_less_history, 1.2, "ms", 15, 6),
    Case("new bar with its daily row", f"{SYMBOLS} symbols, a tenth of the bars", "-", with_daily, None, "ms", 15, 6),
    Case("new bar, new sessions", SIZE, "the same, which connects anew too", in_new_sessions, None, "ms", 15, 3),
]
