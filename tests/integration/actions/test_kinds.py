"""Actions of every kind, and members of universes, from file to table: rows, what is refused, and replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from orchestration import cli
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.ingestion.report import BatchReport

pytestmark = [pytest.mark.engines]

Deliver = Callable[..., BatchReport]
DROP = "symbol,date,open,high,low,close,volume,split_ratio,ex_dividend"


def _actions(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select symbol, kind, ex_date::text, ratio, amount, currency, new_symbol from raw.actions_as_of('infinity', 999) "
        "order by symbol, ex_date, kind"
    ).fetchall()


def _replays(conn: psycopg.Connection, store: ObjectStore, table: str, hashed: str) -> bool:
    rows = conn.execute(
        f"select batch_id, array_agg(row_hash order by row_hash), bool_and({hashed}(v) = row_hash) from {table} as v group by 1"
    ).fetchall()
    return bool(rows) and all(
        intact and sorted(row.row_hash for row in rows_of_payload(conn, store, batch)) == [bytes(one) for one in hashes]
        for batch, hashes, intact in rows
    )


def test_each_kind_has_its_columns_and_no_others(
    deliver: Deliver, conn: psycopg.Connection, store: ObjectStore
) -> None:
    deliver(
        "actions",
        "A,split,2024-05-01,2,9,EUR,B",
        "A,dividend,2024-05-02,7,0.5,USD,B",
        "A,symbol_change,2024-05-03,7,9,USD,B",
        "C,delisting,2024-05-03,7,12.5,,",
        "D,spin-off,2024-05-03,0.25,,USD,E",
    )
    one = Decimal(1)
    assert _actions(conn) == [
        ("A", "split", "2024-05-01", Decimal(2), None, None, None),
        ("A", "dividend", "2024-05-02", one, Decimal("0.5"), "USD", None),
        ("A", "symbol_change", "2024-05-03", one, None, None, "B"),
        ("C", "delisting", "2024-05-03", one, Decimal("12.5"), None, None),
        ("D", "spin_off", "2024-05-03", Decimal("0.25"), None, None, "E"),
    ]
    assert _replays(conn, store, "raw.corporate_actions", "raw.action_hash")


def test_an_action_without_what_its_kind_needs_is_quarantined(deliver: Deliver, conn: psycopg.Connection) -> None:
    broken = {
        "A,dividend,2024-05-02,,,USD,": "missing_value",
        "B,dividend,2024-05-02,,-0.5,USD,": "negative_amount",
        "C,dividend,2024-05-02,,0.5,usd,": "unknown_currency",
        "D,symbol_change,2024-05-02,,,,": "missing_value",
        "E,delisting,2024-05-02,,,,F": "unknown_action",
        "G,spin_off,2024-05-02,,,,G": "unknown_action",
        "H,merger,2024-05-02,,,,I": "unknown_action",
        "J,split,2024-05-02,0,,,": "non_positive_ratio",
        "K,split,2024-05-02,,,,": "missing_value",
    }
    report = deliver("actions", *broken, "Z,split,2024-05-02,2,,,")
    found = conn.execute("select row_number, rule from raw.quarantined_rows order by 1").fetchall()
    assert found == list(enumerate(broken.values(), start=1))
    assert report.rows_published == 1


def test_a_price_file_gives_its_splits_and_dividends(
    deliver: Deliver, conn: psycopg.Connection, store: ObjectStore
) -> None:
    report = deliver(
        "actions",
        "A,2024-05-01,1,1,1,1,1,1.0,0.0",
        "A,2024-05-02,1,1,1,1,1,4.0,0.25",
        "A,2024-05-03,1,1,1,1,1,0,",
        "B,2024-05-03,1,1,1,1,1,2,-1",
        header=DROP,
    )
    # A bad dividend keeps the split of its row back too: a row is good or not as a whole.
    assert (report.rows_in, report.rows_published, report.rows_quarantined) == (4, 2, 2)
    assert [row[:5] for row in _actions(conn)] == [
        ("A", "dividend", "2024-05-02", Decimal(1), Decimal("0.25")),
        ("A", "split", "2024-05-02", Decimal(4), None),
    ]
    assert _replays(conn, store, "raw.corporate_actions", "raw.action_hash")


def test_a_drop_without_actions_is_a_batch_of_nothing(deliver: Deliver) -> None:
    report = deliver("actions", "A,2024-05-01,1,1,1,1,1,1.0,0.0", header=DROP)
    assert (report.status, report.rows_in) == ("published", 0)


def test_files_without_a_kind_are_of_splits_or_of_dividends(deliver: Deliver, conn: psycopg.Connection) -> None:
    deliver("actions", "A,2024-05-02,2", header="symbol,ex_date,ratio")
    deliver("actions", "A,2024-05-03,0.5", header="symbol,ex_date,amount")
    deliver("actions", "A,2024-05-02,1", header="symbol,ex_date,ratio")  # here 1 is said on purpose: it withdraws
    assert [row[1:5] for row in _actions(conn)] == [
        ("split", "2024-05-02", Decimal(1), None),
        ("dividend", "2024-05-03", Decimal(1), Decimal("0.5")),
    ]


def test_members_come_through_the_gate_and_are_asked_by_command(
    deliver: Deliver,
    conn: psycopg.Connection,
    store: ObjectStore,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = deliver("universe", "u,A,2024-05-01,true", "u,B,2024-05-01,1", "u,C,2024-05-01,maybe", "u,D,2024-05-01,")
    assert report.quarantine == {"unreadable_flag": 1, "missing_value": 1}
    deliver("universe", "u,B,2024-05-02,false", live=datetime(2024, 5, 3, tzinfo=UTC))
    assert _replays(conn, store, "trading.universe_members", "trading.universe_hash")
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)

    def ask(*options: str) -> list[str]:
        cli.tradeloom.main(["universe", "u", "--json", *options], standalone_mode=False)
        found: list[str] = json.loads(capsys.readouterr().out)["symbols"]
        return found

    assert ask() == ["A"]
    assert ask("--on", "2024-05-01") == ["A", "B"]
    assert ask("--on", "2024-05-02", "--as-of", "2024-05-02T12:00:00Z") == ["A", "B"]  # the change was not known yet
    assert ask("--watermark", str(report.watermark)) == ["A", "B"]
    assert ask("--as-of", "2024-04-30T00:00:00Z") == []


def test_bars_are_asked_by_command(
    deliver: Deliver, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver("prices", "A,2024-05-01,100,100,100,100,10", "A,2024-05-02,50,50,50,50,20")
    deliver("actions", "A,split,2024-05-02,2,,,")
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)
    asked = ["features", "bars", "--symbols", "A", "--adjustment", "back"]
    cli.tradeloom.main([*asked, "--as-of", "2024-05-03T00:00:00Z", "--json"], standalone_mode=False)
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert [(bar["timestamp"], bar["adjusted_close"]) for bar in series["bars"]] == [
        ("2024-05-01T00:00:00+00:00", "50"),
        ("2024-05-02T00:00:00+00:00", "50"),
    ]
    cli.tradeloom.main(asked, standalone_mode=False)
    assert "adjusted 50.0000000000  factor 0.5000000000" in capsys.readouterr().out
