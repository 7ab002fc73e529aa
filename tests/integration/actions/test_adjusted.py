"""Adjusted series, literal: what each action does to prices and volume, when it is known, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from trading.adapters.adjusted_bars import Method, adjusted_bars
from trading.errors import InputError
from trading.ingestion.report import BatchReport

pytestmark = [pytest.mark.engines]

Deliver = Callable[..., BatchReport]
LATER = datetime(2024, 6, 3, tzinfo=UTC)


def _bar(symbol: str, day: str, price: str) -> str:
    return f"{symbol},{day},{price},{price},{price},{price},1000"


def _closes(
    conn: psycopg.Connection, adjustment: Method, as_of: datetime = LATER, watermark: int = 10**9, interval: str = "1d"
) -> list[str]:
    found = adjusted_bars(conn, "A", as_of, watermark, adjustment=adjustment, interval=interval)
    return [f"{bar.adjusted_close.normalize():f}" for bar in found.bars]


def test_splits_go_forward_and_back_is_the_same_over_one_number(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", _bar("A", "2024-05-01", "100"), _bar("A", "2024-05-02", "51"), _bar("A", "2024-05-03", "13"))
    deliver("actions", "A,split,2024-05-02,2,,,", "A,split,2024-05-03,4,,,")
    assert _closes(conn, "forward") == ["100", "102", "104"]
    assert _closes(conn, "back") == ["12.5", "12.75", "13"]
    volumes = [bar.adjusted_volume for bar in adjusted_bars(conn, "A", LATER, 10**9, adjustment="back").bars]
    assert volumes == [Decimal(8000), Decimal(4000), Decimal(1000)]
    # As of the evening of the first split only that one is known.
    assert _closes(conn, "back", datetime(2024, 5, 2, 21, tzinfo=UTC)) == ["50", "51"]


def test_total_return_reinvests_dividends_and_the_value_of_spin_offs(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    deliver("prices", _bar("A", "2024-05-01", "100"), _bar("A", "2024-05-02", "96"), _bar("A", "2024-05-03", "72"))
    deliver("actions", "A,dividend,2024-05-02,,4,USD,", "A,spin_off,2024-05-03,0.5,24,USD,B")
    assert _closes(conn, "forward") == ["100", "96", "72"]
    assert _closes(conn, "total_return") == ["100", "100", "100"]


def test_a_dividend_before_the_first_bar_was_reinvested_by_nobody(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", _bar("A", "2024-05-02", "100"))
    deliver("actions", "A,dividend,2024-05-01,,4,,")
    assert _closes(conn, "total_return") == ["100"]


def test_hourly_bars_are_adjusted_from_the_ex_date_on(deliver: Deliver, conn: psycopg.Connection) -> None:
    hours = ("2024-05-01T18:30:00Z", "2024-05-01T19:30:00Z", "2024-05-02T13:30:00Z")
    prices = ("99", "100", "50")
    deliver(
        "prices",
        *(f"A,1h,{hour},{price},{price},{price},{price},7" for hour, price in zip(hours, prices, strict=True)),
        header="symbol,interval,timestamp,open,high,low,close,volume",
    )
    deliver("actions", "A,split,2024-05-02,2,,,")
    assert _closes(conn, "forward", interval="1h") == ["99", "100", "100"]
    assert _closes(conn, "back", interval="1h") == ["49.5", "50", "50"]


def test_a_restated_split_is_asked_before_between_and_after(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", _bar("A", "2024-05-01", "100"), _bar("A", "2024-05-02", "50"))
    wrong, right = datetime(2024, 5, 2, 12, tzinfo=UTC), datetime(2024, 5, 6, 12, tzinfo=UTC)
    first = deliver("actions", "A,split,2024-05-02,20,,,", live=wrong)
    second = deliver("actions", "A,split,2024-05-02,2,,,", live=right)
    assert (first.rows_published, second.rows_published) == (1, 1)
    evening = datetime(2024, 5, 2, 22, tzinfo=UTC)
    assert _closes(conn, "back", evening, first.watermark - 1) == ["100", "50"]
    assert _closes(conn, "back", evening) == ["5", "50"]
    assert _closes(conn, "back", right) == ["50", "50"]
    assert _closes(conn, "back", right, second.watermark - 1) == ["5", "50"]
    withdrawn = deliver("actions", "A,split,2024-05-02,1,,,", live=datetime(2024, 5, 7, tzinfo=UTC))
    assert _closes(conn, "back") == ["100", "50"]
    assert _closes(conn, "back", watermark=withdrawn.watermark - 1) == ["50", "50"]


def test_a_row_is_known_when_its_latest_input_is(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", _bar("A", "2024-05-01", "100"), _bar("A", "2024-05-02", "50"))
    late = datetime(2024, 5, 10, 12, tzinfo=UTC)
    deliver("actions", "A,split,2024-05-02,2,,,", live=late)
    known = [bar.known_at for bar in adjusted_bars(conn, "A", LATER, 10**9).bars]
    assert known == [datetime(2024, 5, 1, 20, 15, tzinfo=UTC), late]
    assert {bar.known_at for bar in adjusted_bars(conn, "A", LATER, 10**9, adjustment="back").bars} == {late}


def test_what_cannot_be_adjusted_is_refused_and_what_is_unknown_is_said(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    deliver("prices", _bar("A", "2024-05-01", "100"), _bar("A", "2024-05-02", "50"))
    deliver("actions", "A,spin_off,2024-05-02,0.5,,,B")
    series = adjusted_bars(conn, "A", LATER, 10**9, adjustment="total_return")
    assert series.notes == ("the spin-off of A on 2024-05-02 has no value, so the total return leaves it out",)
    deliver("actions", "A,dividend,2024-05-02,,3,EUR,")
    with pytest.raises(InputError, match="in the currency of A, found a dividend on 2024-05-02 in EUR"):
        _closes(conn, "total_return")
    deliver("actions", "A,dividend,2024-05-02,,100,USD,", live=datetime(2024, 5, 3, tzinfo=UTC))
    with pytest.raises(InputError, match="below the close before it, found a larger one on 2024-05-02"):
        _closes(conn, "total_return")
    assert _closes(conn, "forward") == ["100", "50"]
    deliver("prices", _bar("S", "2024-05-01", "100"), adjustment="split")
    with pytest.raises(InputError, match="expected raw prices of S for a total return"):
        adjusted_bars(conn, "S", LATER, 10**9, adjustment="total_return")
    assert adjusted_bars(conn, "S", LATER, 10**9, adjustment="back").bars[0].factor == 1


def test_dividends_known_late_change_no_feature_row(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", _bar("A", "2024-05-01", "100"), _bar("A", "2024-05-02", "50"))
    deliver("actions", "A,dividend,2024-05-02,,1,,", live=datetime(2024, 5, 10, tzinfo=UTC))
    known = conn.execute(
        "select features.inputs_known_at('session', 'files', 'A', '1d', '2024-05-02', 'infinity', 1000000), "
        "max(k.inputs_known_at) from features.inputs_known_by_bar('session', 'files', 'A', '1d', 'infinity', 1000000) as k"
    ).fetchone()
    assert known == (datetime(2024, 5, 2, 20, 15, tzinfo=UTC),) * 2
