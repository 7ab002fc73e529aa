"""The sample, whole: real prices, splits and news into the raw tables, exact and only once."""

from __future__ import annotations

import csv
import gzip
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.sources.sample import Sample
from trading.ingestion.rows import TABLE

pytestmark = pytest.mark.engines
NOW = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)


def _ingest(kind: Any, database_url: str, store: ObjectStore, **options: Any) -> Any:
    return ingest(Sample(), kind, now=NOW, database_url=database_url, object_store=store, **options)


@pytest.mark.parametrize("kind", ["prices", "actions", "news"])
def test_sample_goes_in_once_whole_and_comes_out_of_the_payload_again(
    kind: Any, database_url: str, store: ObjectStore, conn: psycopg.Connection
) -> None:
    began = time.monotonic()
    report = _ingest(kind, database_url, store)
    assert time.monotonic() - began < 30
    assert report.status == "published"
    assert report.rows_in == report.rows_published > 0
    assert report.quarantine == {}

    again = _ingest(kind, database_url, store)
    assert (again.status, again.batch_ids) == ("already ingested", report.batch_ids)
    assert conn.execute("select count(*) from raw.ingestion_batches").fetchone() == (1,)

    stored = {row[0] for row in conn.execute(f"select row_hash from {TABLE[kind]}")}
    assert stored == {version.row_hash for version in rows_of_payload(conn, store, report.batch_ids[0])}
    assert len(stored) == report.rows_published


def test_prices_are_the_files_decimals_to_the_last_digit(
    database_url: str, store: ObjectStore, conn: psycopg.Connection
) -> None:
    report = _ingest("prices", database_url, store)
    assert report.rows_published == 12_154
    lines = csv.DictReader(gzip.decompress(Sample().deliver("prices", None).payload).decode().splitlines())
    names = ("Open", "High", "Low", "Close", "Volume")
    delivered = {(line["Ticker"], line["Date"]): [Decimal(line[name]) for name in names] for line in lines}
    recorded = conn.execute("select symbol, timestamp::date::text, open, high, low, close, volume from raw.price_bars")
    assert {(symbol, day): values for symbol, day, *values in recorded} == delivered


def test_each_split_shows_as_a_fall_of_the_raw_price_on_its_ex_date(
    database_url: str, store: ObjectStore, conn: psycopg.Connection
) -> None:
    _ingest("prices", database_url, store)
    _ingest("actions", database_url, store)
    found = conn.execute(
        "select a.symbol, a.ex_date, round(a.ratio * b.open / previous.close, 1), a.known_at < b.known_at "
        "from raw.corporate_actions as a "
        "join raw.price_bars as b on b.symbol = a.symbol and b.timestamp::date = a.ex_date "
        "cross join lateral (select p.close from raw.price_bars as p where p.symbol = a.symbol "
        "and p.timestamp < b.timestamp order by p.timestamp desc limit 1) as previous order by a.symbol, a.ex_date"
    ).fetchall()
    assert [(symbol, day) for symbol, day, _, _ in found] == [
        ("AAPL", date(2000, 6, 21)),
        ("AAPL", date(2005, 2, 28)),
        ("MSFT", date(2003, 2, 18)),
    ]
    assert all(known_first and Decimal("0.9") <= ratio <= Decimal("1.1") for _, _, ratio, known_first in found)


def test_a_bar_is_known_at_its_sessions_close_and_the_lag_half_days_included(
    database_url: str, store: ObjectStore, conn: psycopg.Connection
) -> None:
    _ingest("prices", database_url, store, partition="2012-11")
    closes = conn.execute(
        "select timestamp::date, known_at from raw.price_bars where symbol = 'IBM' "
        "and timestamp::date in ('2012-11-21', '2012-11-23') order by timestamp"
    ).fetchall()
    assert closes == [
        (date(2012, 11, 21), datetime(2012, 11, 21, 21, 15, tzinfo=UTC)),
        (date(2012, 11, 23), datetime(2012, 11, 23, 18, 15, tzinfo=UTC)),  # the day after Thanksgiving closes at 13:00
    ]


def test_months_one_by_one_give_the_same_rows_as_the_whole_range(
    database_url: str, store: ObjectStore, conn: psycopg.Connection
) -> None:
    months = [_ingest("prices", database_url, store, partition=month) for month in ("2012-06", "2012-04", "2012-05")]
    assert [report.drafts for report in months] == [{}, {}, {}]
    before = {row[0] for row in conn.execute("select row_hash from raw.price_bars")}
    whole = _ingest("prices", database_url, store, partition="2012-04..2012-06")
    assert (whole.rows_published, whole.rows_unchanged) == (0, len(before))
    assert {
        version.row_hash for report in months for version in rows_of_payload(conn, store, report.batch_ids[0])
    } == before
    assert rows_of_payload(conn, store, whole.batch_ids[0]) == []


def test_every_session_of_the_sample_is_complete_and_fb_is_expected_from_its_first_bar_only(
    database_url: str, store: ObjectStore, conn: psycopg.Connection
) -> None:
    _ingest("prices", database_url, store)
    incomplete = conn.execute(
        "select session_date, missing_symbols from raw.session_quality where not is_complete order by session_date"
    ).fetchall()
    assert incomplete == []
    expecting_fb = "select min(session_date), count(*) from raw.session_quality where 'FB' = any(expected_symbols)"
    assert conn.execute(expecting_fb).fetchone() == (date(2012, 5, 18), 196)
    assert conn.execute("select count(*) from raw.session_quality").fetchone() == (3_270,)
