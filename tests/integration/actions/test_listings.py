"""A delisting or a symbol change ends the old symbol: a new version of its instrument, and no bar of it is expected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest

from trading.ingestion.report import BatchReport

pytestmark = [pytest.mark.engines]

Deliver = Callable[..., BatchReport]
DAYS = ("2024-05-01", "2024-05-02", "2024-05-03")


def _bar(symbol: str, day: str) -> str:
    return f"{symbol},{day},100,100,100,100,1000"


PRICES = [_bar("OLD", DAYS[0]), *(_bar("SPY", day) for day in DAYS)]
CHANGE = "OLD,symbol_change,2024-05-02,,,,NEW"


def _missing(conn: psycopg.Connection) -> dict[str, list[str]]:
    return dict(
        conn.execute(
            "select distinct on (session_date) session_date::text, missing_symbols from raw.session_quality "
            "order by session_date, watermark desc"
        ).fetchall()
    )


def _newest(conn: psycopg.Connection, symbol: str) -> tuple[object, ...] | None:
    return conn.execute(
        "select calendar, listed_on::text, delisted_on::text, is_draft, known_at, row_hash = trading.instrument_hash(i) "
        "from trading.instruments as i where symbol = %s order by watermark desc limit 1",
        (symbol,),
    ).fetchone()


@pytest.mark.parametrize("order", [("prices", "actions"), ("actions", "prices")])
def test_a_symbol_change_ends_the_old_symbol_and_drafts_the_new(
    order: tuple[str, str], deliver: Deliver, conn: psycopg.Connection
) -> None:
    lines = {"prices": PRICES, "actions": [CHANGE]}
    last = [deliver(kind, *lines[kind], calendar="XNYS") for kind in order][-1]
    assert last.drafts["NEW"] == "XNYS"
    from_change = datetime(2024, 5, 2, tzinfo=UTC)
    ended = _newest(conn, "OLD")
    assert ended is not None
    assert (ended[2], ended[5]) == ("2024-05-01", True)
    assert _newest(conn, "NEW") == ("XNYS", "2024-05-02", None, True, from_change, True)
    assert _missing(conn) == {day: [] for day in DAYS}
    as_of = "select delisted_on::text from trading.instruments_as_of(%s, 1000000) where symbol = 'OLD'"
    assert conn.execute(as_of, (datetime(2024, 5, 1, 21, tzinfo=UTC),)).fetchone() == (None,)


def test_a_delisting_counts_from_its_delivery_and_can_be_withdrawn(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", *PRICES)
    assert _missing(conn) == {DAYS[0]: [], DAYS[1]: ["OLD"], DAYS[2]: ["OLD"]}
    deliver("actions", "OLD,delisting,2024-05-03,,1.5,USD,", live=datetime(2024, 5, 3, 12, tzinfo=UTC))
    assert _missing(conn) == {DAYS[0]: [], DAYS[1]: ["OLD"], DAYS[2]: []}
    deliver("actions", "OLD,delisting,2024-05-03,,,,OLD", live=datetime(2024, 5, 6, 12, tzinfo=UTC))
    assert _missing(conn)[DAYS[2]] == ["OLD"]
    ended = _newest(conn, "OLD")
    assert ended is not None
    assert (ended[2], ended[4]) == (None, datetime(2024, 5, 6, 12, tzinfo=UTC))


def test_the_same_actions_again_publish_nothing(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("prices", *PRICES)
    deliver("actions", CHANGE)
    count = "select (select count(*) from trading.instruments), (select max(watermark) from raw.watermarks)"
    before = conn.execute(count).fetchone()
    assert deliver("actions", CHANGE).status == "already ingested"
    assert conn.execute(count).fetchone() == before
