"""Ingestion of a million bars: beside `pandas.to_sql`, beside a bare COPY, and its memory at ten times the rows.

Ours is all of `ingest`: payload hashed and stored, exact decimals, the gate, known versions, identities, completeness of
sessions, one publishing transaction; each round in a fresh warehouse. No definitions are installed there, so deriving
features from the bars is not in it (the case `indicator build` measures that).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import price_files
import psycopg
from harness import CHECKOUT, HERE, Bench, Case, Sides

ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
NOW = datetime(2026, 1, 2, tzinfo=UTC)
_COLUMNS = (
    "source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, watermark,"
    " batch_id, row_hash"
)
_SIZE = f"{ROWS:,} rows"


@contextmanager
def beside_to_sql(bench: Bench, format_: str) -> Iterator[Sides]:
    """The peer reads the same file into a data frame and writes that into a table without any key, index or check."""
    import pandas as pd
    from sqlalchemy import create_engine

    file = _files(bench)[format_]

    def to_sql(url: str) -> None:
        engine = create_engine(urlunsplit(urlsplit(url)._replace(scheme="postgresql+psycopg2")))
        frame = pd.read_parquet(file) if format_ == "parquet" else pd.read_csv(file, parse_dates=["date"])
        frame.to_sql("bars", engine, index=False)
        engine.dispose()

    with bench.object_store() as server:
        yield Sides(
            ours=lambda: _in_fresh(bench, partial(_ingested, server=server, file=file)),
            peer=lambda: _in_fresh(bench, to_sql),
            notes=[
                f"Payload ({format_}) to committed raw rows with every check, beside reading and `to_sql` with none."
            ],
        )


@contextmanager
def beside_copy(bench: Bench) -> Iterator[Sides]:
    """The peer copies the very rows that we wrote into a table with the same keys, indexes and constraints."""
    file, text = _files(bench)["parquet"], bench.scratch() / "rows"
    with bench.object_store() as server, bench.database() as whole:
        _ingested(whole, server=server, file=file)
        with (
            psycopg.connect(whole) as conn,
            conn.cursor().copy(f"copy (select {_COLUMNS} from raw.price_bars) to stdout") as out,
        ):
            text.write_bytes(b"".join(bytes(part) for part in out))

        def copied(url: str) -> None:
            statement = f"copy bare_bars ({_COLUMNS}) from stdin"
            with psycopg.connect(url) as conn, conn.cursor().copy(statement) as into, text.open("rb") as held:
                while part := held.read(1 << 20):
                    into.write(part)

        yield Sides(
            ours=lambda: _in_fresh(bench, partial(_ingested, server=server, file=file)),
            peer=lambda: _in_fresh(bench, copied, "create table bare_bars (like raw.price_bars including all)"),
            notes=["The bare COPY writes the same rows, made before, into a table with the keys and indexes of ours."],
        )


@contextmanager
def memory(bench: Bench) -> Iterator[Sides]:
    """Both sides are ours: the greatest resident memory for the file beside that for a tenth of it, a process each."""
    large, small = _files(bench)["parquet"], price_files.write(bench.scratch(), ROWS // 10)["parquet"]
    with bench.object_store() as server:
        settings = json.dumps(_settings(server))
        yield Sides(
            ours=lambda: _peak_mb(bench, settings, large),
            peer=lambda: _peak_mb(bench, settings, small),
            notes=[f"Peak resident memory of a process that ingests {ROWS:,} rows beside one of {ROWS // 10:,}."],
        )


def _files(bench: Bench) -> dict[str, Path]:
    @contextmanager
    def made() -> Iterator[dict[str, Path]]:
        yield price_files.write(bench.scratch(), ROWS)

    found: dict[str, Path] = bench.shared("files of prices", made)
    return found


def _in_fresh(bench: Bench, work, before: str | None = None) -> float:
    """Return the seconds of `work` alone in a fresh warehouse."""
    with bench.database() as url:
        with psycopg.connect(url, autocommit=True) as conn:
            if before:
                conn.execute(before)
            conn.execute("checkpoint")
        begun = time.perf_counter()
        work(url)
        return time.perf_counter() - begun


def _ingested(url: str, *, server, file: Path) -> None:
    from trading.adapters.ingest import ingest
    from trading.adapters.object_store import ObjectStore
    from trading.adapters.sources.files import Files

    store = ObjectStore(**_settings(server))
    report = ingest(Files(file), "prices", now=NOW, database_url=url, object_store=store)
    assert report.rows_published == ROWS, report.sentence()


def _settings(server) -> dict[str, str]:
    names = ("endpoint", "access_key", "secret_key", "bucket")
    return {name: getattr(server.settings, name) for name in names}


def _peak_mb(bench: Bench, settings: str, file: Path) -> float:
    with bench.database() as url:
        done = subprocess.run(
            [sys.executable, str(HERE / "ingest_once.py"), url, settings, str(file)],
            cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return float(json.loads(done.stdout)["peak_mb"])


CASES = [
    Case("ingest", f"{_SIZE}, Parquet", "`pandas.to_sql`, no checks", partial(beside_to_sql, format_="parquet"), goal=0.667),
    Case("ingest", f"{_SIZE}, CSV", "`pandas.to_sql`, no checks", partial(beside_to_sql, format_="csv"), goal=0.667),
    Case("ingest", f"{_SIZE}, Parquet", "bare COPY of the same rows", beside_copy, goal=3.0),
    Case("ingest, peak memory", _SIZE, "ours at a tenth of the rows", memory, goal=1.2, unit="MB"),
]  # fmt: skip
