"""Bad rows are quarantined with the rule they broke and good rows go on; with too many, nothing is published."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.errors import NaiveTimeError, QualityError

pytestmark = pytest.mark.engines
Deliver = Callable[..., Any]

GOOD = "IBM,2024-05-31,166.12,167.47,164.00,166.85,2700000"


def _quarantine(conn: psycopg.Connection) -> list[tuple[int, str]]:
    return conn.execute("select row_number, rule from raw.quarantined_rows order by row_number, rule").fetchall()


BAD_BARS = [
    ("IBM,2024-05-30,0,167.47,0,166.85,1", "non_positive_price"),
    ("IBM,2024-05-30,166.12,167.47,-1,166.85,1", "non_positive_price"),
    ("IBM,2024-05-30,NaN,167.47,164,166.85,1", "missing_value"),
    ("IBM,2024-05-30,,167.47,164,166.85,1", "missing_value"),
    (",2024-05-30,166.12,167.47,164,166.85,1", "missing_value"),
    ("IBM,,166.12,167.47,164,166.85,1", "missing_value"),
    ("IBM,2024-05-30,n.a.,167.47,164,166.85,1", "unreadable_number"),
    ("IBM,2024-05-30,Infinity,167.47,164,166.85,1", "number_too_large"),
    ("IBM,2024-05-30,166.1234567,167.47,164,166.85,1", "too_many_decimals"),
    ("IBM,2024-05-30,166.12,164,167.47,166.85,1", "ohlc_order"),
    ("IBM,2024-05-30,166.12,166,164,165,1", "ohlc_order"),
    ("IBM,2024-05-30,166.12,167.47,164,166.85,-1", "negative_volume"),
    ("IBM,2024-05-30 00:00:00,166.12,167.47,164,166.85,1", "naive_timestamp"),
    ("IBM,30/05/2024,166.12,167.47,164,166.85,1", "unreadable_timestamp"),
    ("IBM,2024-05-27,166.12,167.47,164,166.85,1", "unknown_session"),  # Memorial Day
    ("IBM,2024-06-01,166.12,167.47,164,166.85,1", "unknown_session"),  # a Saturday
    ("IBM,2024-06-03,166.12,167.47,164,166.85,1", "from_the_future"),  # the session of that day closes after noon
    ("IBM,2031-06-03,166.12,167.47,164,166.85,1", "from_the_future"),
    ("IBM,2024-05-30,166.12", "wrong_column_count"),
    ("IBM\x00,2024-05-30,166.12,167.47,164,166.85,1", "unreadable_text"),
]


def test_each_bad_bar_is_quarantined_by_its_rule_and_the_good_one_published(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    # Each bad bar has a symbol of its own, so that none is the duplicate of another.
    lines = [line.replace("IBM", f"S{number}") for number, (line, _) in enumerate(BAD_BARS)]
    report = deliver(*lines, GOOD)
    assert (report.rows_in, report.rows_published, report.rows_quarantined) == (len(BAD_BARS) + 1, 1, len(BAD_BARS))
    found = set(_quarantine(conn))
    assert [rule for number, (_, rule) in enumerate(BAD_BARS, start=1) if (number, rule) in found] == [
        rule for _, rule in BAD_BARS
    ]
    content = conn.execute("select content from raw.quarantined_rows where row_number = 7").fetchone()
    assert content == (
        {
            "symbol": "S6",
            "timestamp": "2024-05-30",
            "open": "n.a.",
            "high": "167.47",
            "low": "164",
            "close": "166.85",
            "volume": "1",
        },
    )
    assert conn.execute("select timestamp from raw.price_bars").fetchall() == [(datetime(2024, 5, 31, tzinfo=UTC),)]


def test_zero_volume_is_allowed(deliver: Deliver) -> None:
    assert deliver("IBM,2024-05-31,166.12,167.47,164.00,166.85,0").rows_published == 1


def test_an_equal_duplicate_is_kept_once_and_counted(deliver: Deliver, conn: psycopg.Connection) -> None:
    report = deliver(GOOD, "IBM,2024-05-31,166.120,167.470,164,166.850,2700000.0")
    assert (report.rows_published, report.rows_merged, report.rows_quarantined) == (1, 1, 0)


def test_two_differing_bars_of_one_key_are_both_quarantined(
    deliver: Deliver, conn: psycopg.Connection, store: ObjectStore
) -> None:
    other = "MSFT,2024-05-31,416.75,416.75,404.51,415.13,47995300"
    report = deliver(GOOD, "IBM,2024-05-31,166.12,167.47,164.00,166.99,2700000", other)
    assert (report.rows_published, report.quarantine) == (1, {"conflicting_duplicate": 2})
    assert _quarantine(conn) == [(1, "conflicting_duplicate"), (2, "conflicting_duplicate")]
    (again,) = rows_of_payload(conn, store, report.batch_ids[0])
    assert conn.execute("select symbol, row_hash from raw.price_bars").fetchall() == [("MSFT", again.row_hash)]


def test_an_unknown_symbol_makes_a_draft_instrument_with_the_stated_calendar(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    report = deliver("SHEL,2024-05-31,28.0,28.3,27.9,28.1,900", calendar="XLON")
    assert report.drafts == {"SHEL": "XLON"}
    found = conn.execute(
        "select i.calendar, i.is_draft, i.known_at = b.known_at, i.row_hash = trading.instrument_hash(i), b.known_at "
        "from trading.instruments as i join raw.price_bars as b using (symbol) where i.symbol = 'SHEL'"
    ).fetchall()
    assert found == [("XLON", True, True, True, datetime(2024, 5, 31, 15, 45, tzinfo=UTC))]


def test_one_series_never_mixes_adjustments(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver(GOOD, adjustment="raw")
    report = deliver(
        "IBM,2024-05-30,165.56,166.73,164.23,165.63,1", "AAPL,2024-05-30,190,192,190,191,1", adjustment="split"
    )
    assert (report.rows_published, report.quarantine) == (1, {"adjustment_mix": 1})


def test_history_names_only_what_is_older_than_the_first_live_batch(deliver: Deliver) -> None:
    deliver(GOOD, mode="live", delivered_at=datetime(2024, 5, 31, 21, 0, tzinfo=UTC))
    report = deliver(
        "IBM,2024-05-30,165.56,166.73,164.23,165.63,1", "MSFT,2024-05-31,416.75,416.75,404.51,415.13,4", mode="history"
    )
    assert report.rows_published == 2  # both sessions closed before 21:00 UTC of that day
    later = deliver("AAPL,2024-05-31,1,1,1,1,1", mode="live", delivered_at=datetime(2024, 5, 30, 9, 0, tzinfo=UTC))
    assert later.quarantine == {"from_the_future": 1}
    refused = deliver("AAPL,2024-05-31,2,2,2,2,2", mode="history")
    assert refused.quarantine == {"history_after_live": 1}


def test_above_the_share_of_bad_rows_nothing_is_published_and_the_refusal_is_recorded_once(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    lines = (GOOD, "IBM,2024-05-30,0,1,0,1,1", "MSFT,2024-05-31,1,1,1,1,1")
    for _ in range(2):
        with pytest.raises(
            QualityError, match=r"at most 20% bad rows in delivery.csv, found 33% \(1 of 3: non_positive"
        ):
            deliver(*lines, max_bad_share=0.2)
    assert conn.execute("select status, rows_published from raw.ingestion_batches").fetchall() == [("refused", 0)]
    assert conn.execute("select count(*) from raw.price_bars").fetchone() == (0,)
    assert {number for number, _ in _quarantine(conn)} == {2}
    assert deliver(*lines, max_bad_share=0.5).rows_published == 2


def test_a_file_of_naive_date_times_only_is_refused_as_a_whole(deliver: Deliver, conn: psycopg.Connection) -> None:
    with pytest.raises(NaiveTimeError, match="expected date-times with a zone"):
        deliver("IBM,2024-05-31T09:30:00,1,1,1,1,1", "IBM,2024-05-30T09:30:00,1,1,1,1,1")
    assert conn.execute("select count(*) from raw.ingestion_batches").fetchone() == (0,)


NEWS = "id,published_at,symbols,headline,url,body"


BAD_NEWS = [
    ("n1,,IBM,IBM opens a plant,,", "missing_value"),
    ("n1,2024-05-30,IBM, ,,", "missing_value"),
    (",2024-05-30,IBM,IBM opens a plant,,", "missing_value"),
    ("n1,2024-05-30,,Somebody opens a plant,,", "no_symbol"),
    ("n1,2024-05-30T09:00:00,IBM,IBM opens a plant,,", "naive_timestamp"),
    ("n1,2024-06-03T13:00:00Z,IBM,IBM opens a plant,,", "from_the_future"),
]


def test_each_bad_headline_is_quarantined_by_its_rule_and_the_good_one_published(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    lines = [line.replace("n1", f"n{number}") for number, (line, _) in enumerate(BAD_NEWS, start=1)]
    report = deliver(*lines, "good,2024-05-30,IBM|MSFT,Two firms agree,,", header=NEWS, kind="news")
    assert (report.rows_published, report.rows_quarantined) == (1, len(BAD_NEWS))
    assert _quarantine(conn) == [(number, rule) for number, (_, rule) in enumerate(BAD_NEWS, start=1)]


def test_rows_of_one_post_merge_their_symbols_and_differing_texts_of_one_id_are_refused(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    lines = [
        "a,2024-05-30T10:00:00Z,$IBM,Two firms agree,,",
        "a,2024-05-30T10:00:00Z,MSFT,Two firms agree,,",
        "b,2024-05-30,IBM,One text,,",
        "b,2024-05-30,IBM,Another text,,",
    ]
    report = deliver(*lines, header=NEWS, kind="news")
    assert (report.rows_published, report.rows_merged, report.quarantine) == (1, 1, {"conflicting_duplicate": 2})
    assert conn.execute("select symbols from raw.news_items").fetchall() == [(["IBM", "MSFT"],)]
