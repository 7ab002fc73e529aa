"""A ticker that changed its company is refused or becomes two instruments; it is never joined in silence.

The days are literal; XNYS has 251 sessions between 2019-01-02 and 2020-01-02 (both left out).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.errors import QualityError
from trading.ingestion.report import BatchReport

pytestmark = [pytest.mark.engines]

Deliver = Callable[..., BatchReport]


def _bar(symbol: str, day: str, price: str = "100") -> str:
    return f"{symbol},{day},{price},{price},{price},{price},1000"


OLD = [_bar("QQQ", "2017-12-29"), _bar("QQQ", "2018-01-02")]
NEW = [_bar("QQQ", "2020-01-02", "142"), _bar("QQQ", "2020-01-03", "143")]
SPY_INSIDE = [_bar("SPY", day) for day in ("2018-01-02", "2018-12-03", "2019-07-01", "2020-01-03")]


def _days(conn: psycopg.Connection) -> list[tuple[str, str]]:
    rows = conn.execute("select symbol, (timestamp)::date::text from raw.price_bars order by 1, 2").fetchall()
    return [(str(symbol), str(day)) for symbol, day in rows]


def _complaints(conn: psycopg.Connection) -> list[tuple[int, str, str]]:
    rows = conn.execute("select row_number, rule, detail from raw.quarantined_rows order by 1").fetchall()
    return [(int(number), str(rule), str(detail)) for number, rule, detail in rows]


def test_bars_after_a_gap_of_more_than_250_sessions_are_refused_with_what_to_do(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    report = deliver("prices", *OLD, *NEW)
    assert _days(conn) == [("QQQ", "2017-12-29"), ("QQQ", "2018-01-02")]
    assert report.quarantine == {"identity_gap": 2}
    told = (
        "no bar of QQQ between 2018-01-02 and 2020-01-02, 502 sessions of XNYS: the ticker may be another company's "
        "since; deliver again with --gap split (the later bars become QQQ.2) or --gap join (it is one company)"
    )
    assert _complaints(conn) == [(3, "identity_gap", told), (4, "identity_gap", told)]
    assert [check["broken"] for check in report.checks if check["rule"] == "identity_gap"] == [2]


def test_a_gap_of_250_sessions_is_no_gap_and_one_of_251_is(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver(
        "prices", _bar("A", "2019-01-03"), _bar("A", "2020-01-02"), _bar("B", "2019-01-02"), _bar("B", "2020-01-02")
    )
    assert _days(conn) == [("A", "2019-01-03"), ("A", "2020-01-02"), ("B", "2019-01-02")]


def test_a_file_of_mostly_refused_bars_is_refused_in_one_line_that_names_the_gap(deliver: Deliver) -> None:
    with pytest.raises(QualityError, match=r"no bar of QQQ between 2018-01-02 and 2020-01-02.*--gap split"):
        deliver("prices", *OLD, *NEW, max_bad_share=0.2)


def test_months_taken_one_by_one_are_judged_by_the_whole_payload(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", *OLD, *NEW, *SPY_INSIDE, partition="2020-01")
    deliver("prices", *OLD, *NEW, *SPY_INSIDE, partition="2018-01")
    assert _days(conn) == [("QQQ", "2018-01-02"), ("SPY", "2018-01-02"), ("SPY", "2020-01-03")]


def test_against_stored_bars_a_gap_counts_only_if_the_source_has_others_inside(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    deliver("prices", *OLD, _bar("SPY", "2018-01-02"))
    deliver("prices", _bar("SPY", "2020-01-02"))  # the whole feed was switched off
    assert ("SPY", "2020-01-02") in _days(conn)
    deliver("prices", _bar("SPY", "2018-12-03"), _bar("SPY", "2019-07-01"))
    report = deliver("prices", NEW[0])
    assert report.quarantine == {"identity_gap": 1}


def test_older_bars_put_in_front_of_stored_ones_are_judged_as_well(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", *NEW, *SPY_INSIDE)
    report = deliver("prices", *OLD)
    assert report.quarantine == {"identity_gap": 2}
    assert "or these older bars under a symbol of their own" in _complaints(conn)[0][2]
    assert deliver("prices", *OLD, gap="join").rows_published == 2


def test_split_makes_an_instrument_of_its_own_and_later_deliveries_follow(
    deliver: Deliver, conn: psycopg.Connection, store: ObjectStore
) -> None:
    report = deliver("prices", *OLD, *NEW, *SPY_INSIDE, gap="split")
    assert report.parts == {"QQQ.2": "QQQ from 2020-01-02"}
    assert "QQQ from 2020-01-02 is published as QQQ.2" in report.sentence()
    assert report.drafts == {"QQQ": "XNYS", "QQQ.2": "XNYS", "SPY": "XNYS"}
    deliver("prices", _bar("QQQ", "2020-01-06", "144"), _bar("SPY", "2020-01-06"))  # the feed still calls it QQQ
    deliver("actions", "QQQ,split,2020-01-06,2,,,")
    assert [day for symbol, day in _days(conn) if symbol == "QQQ.2"] == ["2020-01-02", "2020-01-03", "2020-01-06"]
    assert conn.execute("select symbol from raw.corporate_actions").fetchall() == [("QQQ.2",)]
    # Replay makes the same rows from the payloads again.
    for table in ("raw.price_bars", "raw.corporate_actions"):
        for batch_id, hashes in conn.execute(
            f"select batch_id, array_agg(row_hash order by row_hash) from {table} group by 1"
        ).fetchall():
            assert sorted(row.row_hash for row in rows_of_payload(conn, store, batch_id)) == [bytes(h) for h in hashes]


def test_the_company_before_a_split_is_no_longer_expected(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", *OLD, *NEW, *SPY_INSIDE, gap="split")
    expected = conn.execute(
        "select distinct on (session_date) expected_symbols from raw.session_quality where session_date = '2019-06-03' "
        "order by session_date, watermark desc"
    ).fetchone()
    assert expected == (["SPY"],)
    ended = conn.execute(
        "select delisted_on::text, known_at from trading.instruments where symbol = 'QQQ' order by watermark desc limit 1"
    ).fetchone()
    assert ended == ("2018-01-02", datetime(2020, 1, 2, 21, 15, tzinfo=UTC))


def test_join_says_that_it_is_one_company_and_need_not_be_said_again(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    assert deliver("prices", *OLD, *NEW, *SPY_INSIDE, gap="join").rows_quarantined == 0
    again = deliver("prices", *OLD, *NEW, _bar("QQQ", "2020-01-06"), *SPY_INSIDE)  # the whole history, and a day more
    assert (again.rows_published, again.rows_quarantined) == (1, 0)


@pytest.mark.parametrize("nothing", ["NaN", ""])
def test_rows_without_prices_do_not_bridge_a_gap(deliver: Deliver, nothing: str) -> None:
    empty = [f"QQQ,2018-12-{day:02},{nothing},{nothing},{nothing},{nothing},0" for day in (3, 4)]
    report = deliver("prices", *OLD, *empty, *NEW)
    assert (report.quarantine["identity_gap"], report.quarantine["missing_value"]) == (2, 2)


def test_the_default_leaves_the_identity_of_earlier_batches_alone(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", *OLD)
    request: Any = conn.execute("select reader -> 'request' from raw.ingestion_batches").fetchone()
    assert "gap" not in request[0]
    assert request[0]["parser"] == 2
    assert deliver("prices", *OLD).status == "already ingested"
    assert deliver("prices", *OLD, gap="join").status == "published"
