"""The leak gate over one indicator definition of 40 features, against one full build of the same rows.

Ours: what the gate does before training, both futures, compared with the stored rows. The build: a definition that has
no rows yet is advanced over all bars, hashes, table and indexes included, and rolled back; the commit is left out, to
the build's advantage.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from harness import Bench, Case, Sides

from feature_store import definitions
from feature_store.build import dbt_build
from feature_store.leaks.definitions import judge_definition, rolled_back
from feature_store.leaks.subjects import registered
from feature_store.views import INDICATORS

ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
SYMBOLS = 200
FEATURES = 40

_BATCH = """
insert into raw.ingestion_batches (
    kind, source, mode, received_at, payload_key, payload_sha256, payload_name, rows_in, rows_published, rows_unchanged,
    rows_merged, rows_quarantined, status, watermark, trace_id)
values ('prices', 'files', 'history', now(), 'k', repeat('0', 64), 'n', %(rows)s, %(rows)s, 0, 0, 0, 'published',
    raw.take_watermark('bench'), 't')
returning batch_id, watermark
"""

# A walk without end: the price swings with the sum of two waves, so that no number repeats and none runs away.
_BARS = """
insert into raw.price_bars (
    source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, watermark, batch_id,
    row_hash)
select
    'files', b.symbol, '1d', b.at, b.price, b.price * 1.01, b.price * 0.99, b.price * (1 + 0.005 * sin(b.n * 1.7 + b.s)), 1000 + b.n % 977,
    'raw', b.at + interval '21 hours 15 minutes', b.at + interval '21 hours 15 minutes', %(watermark)s, %(batch)s,
    sha256(int8send(b.s * 1000000 + b.n))
from (
    select
        'S' || lpad(s::text, 4, '0') as symbol, s, n, timestamptz '2000-01-03 00:00+00' + n * interval '1 day' as at,
        (50 + 20 * sin(n / 37.0 + s) + 5 * sin(n / 3.1 + s * 2))::numeric(15, 6) as price
    from generate_series(1, %(symbols)s) as s cross join generate_series(0, %(bars)s - 1) as n
) as b
order by b.s, b.n
"""

_PARTITIONS = """
select raw.make_partitions('prices', array(
    select timestamptz '2000-01-03 00:00+00' + n * interval '1 day' from generate_series(0, %s) as n))
"""


@contextmanager
def prepare(bench: Bench) -> Iterator[Sides]:
    """Fill the bars, build 40 features of them once, and yield the gate and a build."""
    with bench.database() as url:
        name = _definition(url)
        _fill(url)
        definitions.advance(url)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("vacuum analyze")
        notes = [
            f"{FEATURES} features, {SYMBOLS} series, cut in the middle; the future behind it is up to 250 bars a series"
        ]
        rounds = iter(range(1000))
        yield Sides(ours=lambda: _gate(url, name), peer=lambda: _build(url, name, next(rounds)), notes=notes)


def _definition(url: str) -> str:
    """Register the project's indicators with as many more columns as 40 features need."""
    dbt_build(url, arguments=("run", "--select", "indicators"))
    found = definitions.definition(url, definitions.active(url, INDICATORS))
    more = [
        f"(close - close_{back}) / nullif(close_{back}, 0) * {factor} as momentum_{back}_{factor}"
        for factor in range(1, 6)
        for back in (5, 20, 21, 50)
    ][: FEATURES - len(found.columns)]
    text = found.sql.replace("state[11] as obv,", "state[11] as obv, " + ", ".join(more) + ",")
    return definitions.register(url, INDICATORS, text, dict(found.parameters))


def _fill(url: str) -> None:
    with psycopg.connect(url, options="-c timezone=UTC") as conn:
        row = conn.execute(_BATCH, {"rows": ROWS}).fetchone()
        assert row is not None
        conn.execute(_PARTITIONS, (ROWS // SYMBOLS,))
        asked = {"batch": row[0], "watermark": row[1], "symbols": SYMBOLS, "bars": ROWS // SYMBOLS}
        conn.execute(_BARS.replace("b.n % 977", "b.n %% 977"), asked)


def _gate(url: str, name: str) -> float:
    started = time.perf_counter()
    with rolled_back(url) as conn:
        report = judge_definition(conn, registered(conn, name))
    seconds = time.perf_counter() - started
    assert report.passed, report.sentences()
    assert len(report.columns) == FEATURES
    return seconds


def _build(url: str, name: str, number: int) -> float:
    """Build a definition that differs in a comment only, and undo it outside the clock."""
    whole = definitions.definition(url, name)
    with psycopg.connect(url, options="-c timezone=UTC") as conn:
        conn.execute(
            "select features.register(%s, %s, %s::jsonb)",
            (INDICATORS, f"/* {number} */ {whole.sql}", psycopg.types.json.Jsonb(dict(whole.parameters))),
        )
        started = time.perf_counter()
        conn.execute("call features.advance()")
        seconds = time.perf_counter() - started
        conn.rollback()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("vacuum marts.indicators")
    return seconds


CASES = [Case("leak gate", f"{FEATURES} features x {ROWS:,} rows", "one full build of them", prepare, goal=3.0)]
