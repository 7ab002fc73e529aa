"""Real files of other people's making, by nothing but their usual column names. Skipped where they are not at hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.sources import source_named

DATA = Path(__file__).parents[4] / "shared" / "data"
NOW = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs the development data in ../shared/data"),
]


def test_split_adjusted_prices_of_44_symbols_go_in_whole(
    database_url: str, store: ObjectStore, conn: psycopg.Connection
) -> None:
    source = source_named("files", file=DATA / "prices_daily.parquet", adjustment="split")
    report = ingest(source, "prices", now=NOW, database_url=database_url, object_store=store)
    assert (report.rows_in, report.rows_published, report.quarantine) == (55_352, 55_352, {})
    assert (len(report.symbols), len(report.drafts)) == (44, 41)  # AAPL, GOOG and MSFT are instruments already
    first = conn.execute(
        "select close, volume, adjustment from raw.price_bars where symbol = 'AAPL' order by timestamp"
    )
    assert first.fetchone() == (Decimal("96.424286"), 91_973_000, "split")
    assert conn.execute("select bool_and(is_complete), count(*) from raw.session_quality").fetchone() == (True, 1_258)


def test_posts_that_name_several_tickers_become_one_item_each(
    database_url: str, store: ObjectStore, conn: psycopg.Connection
) -> None:
    source = source_named("files", file=DATA / "posts.parquet")
    report = ingest(source, "news", now=NOW, database_url=database_url, object_store=store, partition="2014-01")
    ids, symbols = conn.execute(
        "select count(distinct news_id), max(cardinality(symbols)) from raw.news_items"
    ).fetchone() or (
        0,
        0,
    )
    assert report.rows_published == ids == report.rows_in - report.rows_merged > 500
    assert symbols > 3
    stored = {row[0] for row in conn.execute("select row_hash from raw.news_items")}
    assert stored == {version.row_hash for version in rows_of_payload(conn, store, report.batch_ids[0])}
