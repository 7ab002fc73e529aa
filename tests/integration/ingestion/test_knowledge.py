"""When a version is known: history, live, corrections, late and equal deliveries; and what a headline's date means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.errors import InputError, NaiveTimeError

pytestmark = pytest.mark.engines
Deliver = Callable[..., Any]

CLOSE = datetime(2024, 5, 30, 20, 15, tzinfo=UTC)  # 16:00 in New York and the source's quarter of an hour


def _bar(close: str) -> str:
    return f"IBM,2024-05-30,165,170,160,{close},100"


def _versions(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    return conn.execute("select close::text, known_at from raw.price_bars order by watermark").fetchall()


def test_history_is_known_at_its_nominal_time_and_a_correction_only_when_received(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    corrected_at = datetime(2024, 6, 1, 9, 0, tzinfo=UTC)
    deliver(_bar("166"))
    deliver(_bar("167"), now=corrected_at)
    assert _versions(conn) == [("166.000000", CLOSE), ("167.000000", corrected_at)]


def test_a_live_bar_is_known_when_received_and_not_before_its_nominal_time(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    late, prompt = CLOSE + timedelta(hours=3), CLOSE - timedelta(minutes=10)
    deliver(_bar("166"), mode="live", delivered_at=late)
    deliver("MSFT,2024-05-30,165,170,160,166,100", mode="live", delivered_at=prompt)
    assert [known_at for _, known_at in _versions(conn)] == [late, CLOSE]


def test_what_is_already_known_adds_no_row_whatever_the_mode(
    deliver: Deliver, conn: psycopg.Connection, store: ObjectStore
) -> None:
    deliver(_bar("166"))
    report = deliver(_bar("166.0"), mode="live")
    assert (report.status, report.rows_published, report.rows_unchanged) == ("published", 0, 1)
    assert len(_versions(conn)) == 1
    assert rows_of_payload(conn, store, report.batch_ids[0]) == []


def test_a_correction_that_is_taken_back_is_a_version_of_its_own(deliver: Deliver, conn: psycopg.Connection) -> None:
    days = [datetime(2024, 6, day, tzinfo=UTC) for day in (1, 2, 3)]
    for close, now in zip(("166", "167", "166"), days, strict=True):
        deliver(_bar(close), now=now, delivered_at=now)
    assert [close for close, _ in _versions(conn)] == ["166.000000", "167.000000", "166.000000"]


def test_a_delivery_out_of_order_is_compared_with_what_was_in_force_at_its_time(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    first, second = datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 2, tzinfo=UTC)
    deliver(_bar("166"))
    deliver(_bar("167"), delivered_at=second)
    assert deliver(_bar("166.00"), delivered_at=first).rows_published == 0  # 166 was in force on the first of June
    assert deliver(_bar("167.00"), delivered_at=first).rows_published == 1  # 167 was known a day earlier than thought
    found = conn.execute("select close from raw.bars_as_of(%s, raw.newest_watermark())", (first,)).fetchone()
    assert found is not None
    assert found[0] == 167


def test_the_same_payload_delivered_at_another_time_is_another_batch(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    reports = [deliver(_bar("166"), delivered_at=datetime(2024, 6, day, tzinfo=UTC)).status for day in (1, 2, 1)]
    assert reports == ["published", "published", "already ingested"]
    assert len(_versions(conn)) == 1


def test_a_delivery_time_has_a_zone_and_has_passed(deliver: Deliver) -> None:
    with pytest.raises(NaiveTimeError, match="a delivery time with a zone"):
        deliver(_bar("166"), delivered_at=datetime(2024, 6, 1))  # noqa: DTZ001 - the point
    with pytest.raises(InputError, match="a delivery time that has passed"):
        deliver(_bar("166"), delivered_at=datetime(2025, 6, 1, tzinfo=UTC))


def test_a_dated_headline_is_known_at_the_end_of_that_day_in_new_york(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    lines = [
        "summer,2012-07-02,IBM,One,,",
        "winter,2012-12-03,IBM,Two,,",
        "exact,2012-12-03T09:00:00-05:00,IBM,Three,,",
    ]
    deliver(*lines, header="id,published_at,symbols,headline,url,body", kind="news")
    found = conn.execute("select news_id, known_at, is_date_only from raw.news_items order by known_at").fetchall()
    assert found == [
        ("summer", datetime(2012, 7, 3, 4, 0, tzinfo=UTC), True),
        ("exact", datetime(2012, 12, 3, 14, 0, tzinfo=UTC), False),
        ("winter", datetime(2012, 12, 4, 5, 0, tzinfo=UTC), True),
    ]


def test_an_intraday_bar_is_labelled_by_its_start_and_known_at_its_end(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    header = "symbol,timestamp,open,high,low,close,volume,interval"
    lines = ["IBM,2024-05-30T09:00:00-04:00,1,1,1,1,1,1h", "IBM,2024-05-30T16:00:00-04:00,1,1,1,1,1,1h"]
    report = deliver(*lines, header=header)
    assert report.quarantine == {"unknown_session": 1}  # the exchange has closed
    assert conn.execute("select timestamp, known_at from raw.price_bars").fetchall() == [
        (datetime(2024, 5, 30, 13, tzinfo=UTC), datetime(2024, 5, 30, 14, 15, tzinfo=UTC))
    ]


def test_a_session_is_incomplete_while_a_symbol_is_missing_and_complete_when_it_comes(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    deliver("IBM,2024-05-29,1,1,1,1,1", "MSFT,2024-05-29,1,1,1,1,1", "IBM,2024-05-30,1,1,1,1,1")
    newest = (
        "select distinct on (session_date) session_date::text, missing_symbols from raw.session_quality "
        "order by session_date, watermark desc"
    )
    assert conn.execute(newest).fetchall() == [("2024-05-29", []), ("2024-05-30", ["MSFT"])]
    deliver("MSFT,2024-05-31,1,1,1,1,1")
    assert conn.execute(newest).fetchall() == [
        ("2024-05-29", []),
        ("2024-05-30", ["MSFT"]),
        ("2024-05-31", ["IBM"]),
    ]
    deliver("MSFT,2024-05-30,1,1,1,1,1", "IBM,2024-05-31,1,1,1,1,1")
    assert [missing for _, missing in conn.execute(newest)] == [[], [], []]
