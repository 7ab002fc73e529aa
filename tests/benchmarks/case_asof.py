"""The as-of join: random (symbol, moment) questions to a million feature rows of twenty features, versions included.

Before a round is timed, ours and the peer must have found the same rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas
import polars
import psycopg
from feature_table import FeatureTable, filled
from harness import Bench, Case, Peer, Sides, facts

from feature_store import FeatureStore
from feature_store.fixed_rows import read_rows

SESSIONS = int(os.environ.get("BENCH_ROWS", "1000000")) // 200
SIZE = f"{SESSIONS * 200:,} rows x 20 features"


def questions(table: FeatureTable, count: int) -> pandas.DataFrame:
    """Return random questions between the first row and a few days after the last; some come before a symbol's first."""
    dice = np.random.default_rng(7)
    first, last = (int(moment.timestamp() * 1e6) for moment in (table.first_at, table.last_at + timedelta(days=5)))
    return pandas.DataFrame({
        "symbol": dice.choice(table.symbols, count),
        "as_of": pandas.to_datetime(dice.integers(first - 86_400_000_000, last, count), unit="us", utc=True),
    })  # fmt: skip


def against_merge_asof(bench: Bench) -> Iterator[Sides]:
    """100,000 questions: ADBC and pandas fetch everything each time; our copy is there, its first time is in the note."""
    with filled(bench, SESSIONS) as (url, table):
        asked, folder = questions(table, 100_000), bench.scratch()
        asked.to_parquet(folder / "questions.parquet")
        columns = ",".join(table.service.columns)
        arguments = (url, str(folder / "questions.parquet"), table.service.definition, columns)
        with bench.peer("adbc_asof", *arguments) as peer:
            yield _sides(url, table, asked, folder, peer)


def against_duckdb(bench: Bench) -> Iterator[Sides]:
    """1,000,000 questions: both read Parquet files of the same rows."""
    with filled(bench, SESSIONS) as (url, table):
        asked, folder = questions(table, 1_000_000), bench.scratch()
        asked.to_parquet(folder / "questions.parquet")
        _export(url, table, folder / "rows.parquet")
        arguments = (str(folder / "rows.parquet"), str(folder / "questions.parquet"), ",".join(table.service.columns))
        with bench.peer("duckdb_asof", *arguments) as peer:
            yield _sides(url, table, asked, folder, peer)


def _sides(url: str, table: FeatureTable, asked: pandas.DataFrame, folder: Path, peer: Peer) -> Sides:
    store = FeatureStore(url, folder / "copies")
    begun = time.perf_counter()
    first = store.as_of_join(table.service, asked, table.watermark)
    once = time.perf_counter() - begun
    expected = peer.ask(do="check", watermark=table.watermark)
    known = first["row_id"].dropna()
    assert expected == {"row_ids": int(known.sum()), "rows": len(first), "known": len(known)}, expected
    size = sum(path.stat().st_size for path in (folder / "copies").rglob("*.parquet")) / 2**20
    note = facts(
        {"the first join, which makes the local copy, takes": f"{once:.1f} s", "the copy is": f"{size:.0f} MB"}
    )
    return Sides(
        ours=lambda: _timed(lambda: store.as_of_join(table.service, asked, table.watermark)),
        peer=lambda: peer.seconds(do="join", watermark=table.watermark),
        notes=[f"{note}; {table.rows:,} versions, both find the same rows."],
    )


def _export(url: str, table: FeatureTable, path: Path) -> None:
    with psycopg.connect(url) as conn:
        names, rows = read_rows(
            conn, table.service.view, table.service.definition, "1d", table.service.columns, 0, table.watermark
        )
    symbols = polars.Series([symbol for _, symbol in names])
    sources = polars.Series([source for source, _ in names])
    rows = rows.with_columns(symbol=symbols.gather(rows["series"]), source=sources.gather(rows["series"]))
    times = [
        polars.from_epoch(name, "us").dt.replace_time_zone("UTC") for name in ("timestamp", "known_at", "decision_at")
    ]
    rows.drop("series").with_columns(times).write_parquet(path, compression="zstd", compression_level=1)


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


CASES = [
    Case(
        "as-of join, 100,000 questions", SIZE, "ADBC + pandas.merge_asof from PostgreSQL",
        contextmanager(against_merge_asof), goal=0.6,
    ),
    Case(
        "as-of join, 1,000,000 questions", SIZE, "DuckDB ASOF JOIN over Parquet",
        contextmanager(against_duckdb), goal=1.2,
    ),
]  # fmt: skip
