"""Trades through the gate: identity with and without ids, corrections, withdrawals, and the newest thousand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload

pytestmark = pytest.mark.engines
Deliver = Callable[..., Any]

WITH_IDS = "symbol,timestamp,price,size,trade_id,side"
WITHOUT = "symbol,timestamp,price,size"
LATER = datetime(2024, 6, 3, 13, 0, tzinfo=UTC)


def _newest(conn: psycopg.Connection, symbol: str = "IBM", **bounds: Any) -> list[tuple[Any, ...]]:
    asked = {"as_of": bounds.get("as_of", "infinity"), "up_to": bounds.get("up_to", 2**63 - 1), "symbol": symbol}
    return conn.execute(
        "select trade_id, price, size from raw.last_trades('files', %(symbol)s, 1000, %(as_of)s, %(up_to)s)", asked
    ).fetchall()


def test_bad_trades_are_quarantined_by_their_rule(deliver: Deliver, conn: psycopg.Connection) -> None:
    bad = [
        (",2024-05-31T14:30:00Z,100,1,a,", "missing_value"),
        ("A,2024-05-31T14:30:00Z,,1,a,", "missing_value"),
        ("B,2024-05-31T14:30:00Z,0,1,a,", "non_positive_trade"),
        ("C,2024-05-31T14:30:00Z,100,-1,a,", "negative_size"),
        ("D,2024-05-31T14:30:00,100,1,a,", "naive_timestamp"),
        ("E,2024-05-31,100,1,a,", "naive_timestamp"),
        ("F,2024-06-03T12:00:01Z,100,1,a,", "from_the_future"),
        ("G,2024-05-31T14:30:00Z,100,1,a,middle", "unknown_side"),
        ("H,2024-05-31T14:30:00Z,100.1234567,1,a,", "too_many_decimals"),
    ]
    report = deliver(*(line for line, _ in bad), "ZZZ,2024-05-31T14:30:00Z,100,1,a,B", header=WITH_IDS, kind="trades")
    assert (report.rows_published, report.rows_quarantined, report.drafts) == (1, len(bad), {"ZZZ": "XNYS"})
    found = conn.execute("select rule from raw.quarantined_rows order by row_number").fetchall()
    assert [rule for (rule,) in found] == [rule for _, rule in bad]
    row = conn.execute("select side, known_at, row_hash = raw.trade_hash(t) from raw.trades as t").fetchone()
    assert row == ("buy", datetime(2024, 5, 31, 14, 45, tzinfo=UTC), True)  # files gives things after 15 minutes


def test_trades_without_ids_are_named_by_moment_and_place_and_come_once(
    deliver: Deliver, conn: psycopg.Connection
) -> None:
    same = "IBM,2024-05-31T14:30:00Z,100,5"
    lines = (same, same, "AAPL,2024-05-31T14:30:00Z,190,5", "IBM,2024-05-31T14:30:00.000001Z,101,1")
    assert deliver(*lines, header=WITHOUT, kind="trades").rows_published == 4
    again = deliver(*lines, "IBM,2024-05-31T14:31:00Z,102,1", header=WITHOUT, kind="trades")
    assert (again.rows_published, again.rows_unchanged) == (1, 4)
    assert [row[0] for row in _newest(conn)] == [
        "1717165860000000-1",
        "1717165800000001-1",
        "1717165800000000-2",
        "1717165800000000-1",
    ]


def test_a_correction_and_a_withdrawal_are_versions_and_older_questions_answer_as_before(
    deliver: Deliver, conn: psycopg.Connection, database_url: str, store: ObjectStore
) -> None:
    first = (
        "IBM,2024-05-31T14:30:00Z,100,5,9,",
        "IBM,2024-05-31T14:30:00Z,101,1,10,",
        "IBM,2024-05-31T14:31:00Z,99,2,11,",
    )
    before = deliver(*first, header=WITH_IDS, kind="trades").watermark
    changed = ("IBM,2024-05-31T14:30:00Z,100,7,9,", "IBM,2024-05-31T14:31:00Z,99,0,11,")
    report = deliver(*changed, header=WITH_IDS, kind="trades", mode="live", now=LATER)
    old = [("11", Decimal(99), Decimal(2)), ("10", Decimal(101), Decimal(1)), ("9", Decimal(100), Decimal(5))]
    new = [("10", Decimal(101), Decimal(1)), ("9", Decimal(100), Decimal(7))]
    assert _newest(conn) == new
    assert _newest(conn, up_to=before) == old
    assert _newest(conn, as_of=datetime(2024, 6, 3, 12, 59, tzinfo=UTC)) == old
    recorded = conn.execute("select row_hash from raw.trades where batch_id = %s", report.batch_ids).fetchall()
    made = rows_of_payload(conn, store, report.batch_ids[0])
    assert sorted(row.row_hash for row in made) == sorted(bytes(row[0]) for row in recorded)
