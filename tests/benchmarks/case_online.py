"""The online read: the newest features of 100 symbols as of a moment, beside a primary-key read of the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
from case_asof import SESSIONS, SIZE
from case_feast import READS, median, timed
from feature_table import filled
from harness import Bench, Case, Sides

from feature_store import FeatureStore

READ = ("row_id", "row_hash", "source", "symbol", "interval", "timestamp", "known_at", "watermark", "decision_at")


@contextmanager
def by_primary_key(bench: Bench) -> Iterator[Sides]:
    """A table that holds just the newest row of each symbol, read by its key: prepared, binary, the same connection kind."""
    with filled(bench, SESSIONS) as (url, table):
        symbols, as_of = table.symbols[:100], table.last_at + timedelta(hours=1)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("drop table if exists newest")
            conn.execute(
                "create table newest as select distinct on (symbol) * from features.daily"
                " order by symbol, timestamp desc, known_at desc, watermark desc"
            )
            conn.execute("alter table newest add primary key (symbol)")
            conn.execute("vacuum analyze newest")
            query = f"select {', '.join((*READ, *table.service.columns))} from newest where symbol = any(%s)"
            cursor = conn.cursor(binary=True)
            store = FeatureStore(url)
            assert len(store.latest(table.service, symbols, as_of)) == 100

            def read() -> None:
                assert len(cursor.execute(query, (symbols,), prepare=True).fetchall()) == 100

            yield Sides(
                ours=lambda: median(READS, lambda: timed(lambda: store.latest(table.service, symbols, as_of))),
                peer=lambda: median(READS, lambda: timed(read)),
                notes=[
                    "p50 of 50 reads a round; ours answers as of any moment and any watermark, with each row's age."
                ],
            )


CASES = [
    Case("online read", f"100 symbols of {SIZE}", "primary-key read of the same rows, p50", by_primary_key, 3, "ms"),
]
