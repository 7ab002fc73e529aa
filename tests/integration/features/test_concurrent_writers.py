"""Writers that overlap and commit in another order than they began: no answer once given ever changes."""

from __future__ import annotations

import random
import secrets
import threading
import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from feature_store import definitions

pytestmark = pytest.mark.engines
FIRST = date(2020, 1, 1)
DAYS, WRITERS, BATCHES = 8, 4, 5


def write_slowly(url: str, seed: int) -> None:
    """Publish bars in transactions that begin early, dawdle before and after they take their watermark, or give up."""
    pick = random.Random(seed)
    with psycopg.connect(url, options="-c timezone=UTC") as conn:
        for _ in range(BATCHES):
            conn.execute("select count(*) from raw.price_bars")  # the transaction has begun
            time.sleep(pick.random() / 50)
            row = conn.execute("select raw.take_watermark('slow writer')").fetchone()
            assert row is not None
            _insert(conn, pick, row[0])
            time.sleep(pick.random() / 50)
            if pick.random() < 0.2:
                conn.rollback()
            else:
                conn.commit()


def _insert(conn: psycopg.Connection, pick: random.Random, watermark: int) -> None:
    batch = conn.execute(
        "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name,"
        " rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id) values"
        " ('prices', 'vendor', 'live', now(), 'k', %s, 'n', 2, 2, 0, 0, 0, 'published', %s, 't') returning batch_id",
        (secrets.token_hex(32), watermark),
    ).fetchone()
    assert batch is not None
    conn.execute("select raw.make_partitions('prices', array[%s::timestamptz])", (FIRST,))
    for place in pick.sample(range(DAYS), 2):
        day, close = FIRST + timedelta(days=place), Decimal(pick.randrange(1000, 2000)) / 100
        timestamp = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        nominal = timestamp + timedelta(hours=21)
        known = nominal + timedelta(days=pick.choice([0, 0, 1, 3]))
        conn.execute(
            "insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment,"
            " nominal_at, known_at, watermark, batch_id, row_hash) values ('vendor', %s, '1d', %s, 15, 50, 5, %s, 1,"
            " 'raw', %s, %s, %s, %s, %s)",
            (
                pick.choice(["AAA", "BBB"]),
                timestamp,
                close,
                nominal,
                known,
                watermark,
                batch[0],
                secrets.token_bytes(32),
            ),
        )


def test_no_answer_changes_while_writers_overlap_and_advance_runs_beside_them(warehouse: Any) -> None:
    w, failures = warehouse, []
    definition = w.active("marts.indicators")
    moments = [datetime.fromisoformat(f"{FIRST + timedelta(days=n)}T22:00:00+00:00") for n in range(0, DAYS + 4, 3)]

    def work(*what: Any) -> None:
        try:
            what[0](*what[1:])
        except Exception as error:  # noqa: BLE001 - a thread's failure must fail the test
            failures.append(error)

    def answer(as_of: datetime, watermark: int) -> tuple[Any, ...]:
        bars = w.all(
            "select symbol, timestamp, close, known_at from raw.bars_as_of(%s, %s) order by 1, 2", as_of, watermark
        )
        rows = w.all(
            "select symbol, timestamp, row_hash from features.indicators_as_of(%s, %s, %s) order by 1, 2",
            definition, as_of, watermark,
        )  # fmt: skip
        return bars, rows

    writers = [threading.Thread(target=work, args=(write_slowly, w.url, seed)) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    remembered = []
    while any(writer.is_alive() for writer in writers):
        work(definitions.advance, w.url)
        watermark = w.one("select raw.newest_watermark()")
        remembered += [(as_of, watermark, answer(as_of, watermark)) for as_of in moments]
    for writer in writers:
        writer.join(timeout=60)
    w.advance()
    assert failures == []
    assert len({watermark for _, watermark, _ in remembered}) > 3
    for as_of, watermark, told in remembered:
        assert answer(as_of, watermark) == told

    newest = w.one("select raw.newest_watermark()")
    for as_of in moments:
        bars, rows = answer(as_of, newest)
        assert [row[:2] for row in rows] == [bar[:2] for bar in bars]
        for symbol, timestamp, row_hash in rows:
            again = w.one(
                "select row_hash from features.recompute(%s, 'vendor', %s, '1d', %s, %s, %s)",
                definition, symbol, timestamp, as_of, newest,
            )  # fmt: skip
            assert again == row_hash
