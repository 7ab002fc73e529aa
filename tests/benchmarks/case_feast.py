"""Feast on the same PostgreSQL and the same rows: the as-of join at the sizes it finishes, and the online read."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

from case_asof import SESSIONS, SIZE, questions
from feature_table import filled
from harness import Bench, Case, Sides

from feature_store import FeatureStore

READS = 50
JOINS = [int(size) for size in os.environ.get("BENCH_FEAST", "1000,10000").split(",")]


def join(count: int) -> Callable[[Bench], AbstractContextManager[Sides]]:
    """Return the preparation of a join of `count` questions."""

    @contextmanager
    def prepared(bench: Bench) -> Iterator[Sides]:
        with filled(bench, SESSIONS) as (url, table):
            asked, folder = questions(table, count), bench.scratch()
            asked.to_parquet(folder / "questions.parquet")
            store = FeatureStore(url, folder / "copies")
            with bench.peer("feast_store", url, ",".join(table.service.columns), venv="feast") as peer:
                yield Sides(
                    ours=lambda: timed(lambda: store.as_of_join(table.service, asked)),
                    peer=lambda: peer.seconds(do="historical", questions=str(folder / "questions.parquet")),
                )

    return prepared


@contextmanager
def online(bench: Bench) -> Iterator[Sides]:
    """The newest features of 100 symbols; a round is the median of 50 reads on our side, of 10 on Feast's."""
    with filled(bench, SESSIONS) as (url, table):
        symbols, as_of = table.symbols[:100], table.last_at + timedelta(hours=1)
        store = FeatureStore(url)
        with bench.peer("feast_store", url, ",".join(table.service.columns), venv="feast") as peer:
            peer.ask(do="fill_online")
            yield Sides(
                ours=lambda: median(READS, lambda: timed(lambda: store.latest(table.service, symbols, as_of))),
                peer=lambda: median(10, lambda: peer.seconds(do="online", symbols=symbols)),
            )


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def median(count: int, one: Callable[[], float]) -> float:
    """Return the median of so many measurements."""
    return statistics.median(one() for _ in range(count))


CASES = [
    Case("online read", f"100 symbols of {SIZE}", "Feast on PostgreSQL, p50", online, goal=0.1, unit="ms"),
    *(Case(f"as-of join, {count:,} questions", SIZE, "Feast from PostgreSQL", join(count)) for count in JOINS),
]
