"""The order of watermarks is the order of commits, whoever began first; and what is published is never changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from trading.adapters.bar_batch import BarBatch

pytestmark = pytest.mark.engines
TAKE = "select raw.take_watermark('test')"


def _take(conn: psycopg.Connection) -> int:
    found = conn.execute(TAKE).fetchone()
    assert found is not None
    return int(found[0])


def test_the_writer_that_takes_first_commits_first_and_the_other_waits(database_url: str) -> None:
    committed: list[str] = []
    taken: dict[str, int] = {}
    with psycopg.connect(database_url) as slow:
        taken["slow"] = _take(slow)

        def hurry() -> None:
            with psycopg.connect(database_url) as quick:
                taken["quick"] = _take(quick)
                quick.commit()
                committed.append("quick")

        other = threading.Thread(target=hurry)
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive()  # it waits at the lock, although it has nothing else to do
        committed.append("slow")
        slow.commit()
        other.join(timeout=10)
    assert committed == ["slow", "quick"]
    assert taken["slow"] < taken["quick"]


def test_a_writer_that_gives_up_leaves_a_gap_and_nobody_sees_its_number(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        given_up = _take(conn)
        conn.rollback()
        assert _take(conn) > given_up
        conn.commit()
        assert conn.execute("select count(*) from raw.watermarks where watermark = %s", (given_up,)).fetchone() == (0,)


def test_asked_twice_a_transaction_keeps_its_number(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        assert _take(conn) == _take(conn)


def test_concurrent_batches_of_one_payload_become_one_batch(
    deliver: Callable[..., Any], conn: psycopg.Connection
) -> None:
    line = "IBM,2024-05-31,166.12,167.47,164.00,166.85,2700000"
    deliver("MSFT,2024-05-31,1,1,1,1,1")  # imports and sessions are there before the threads begin
    reports: list[Any] = []
    writers = [threading.Thread(target=lambda: reports.append(deliver(line))) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
    assert sorted(report.status for report in reports) == ["already ingested", "already ingested", "published"]
    assert conn.execute("select count(*) from raw.price_bars where symbol = 'IBM'").fetchone() == (1,)


@pytest.mark.parametrize("statement", ["update raw.price_bars set close = 1", "delete from raw.ingestion_batches"])
def test_what_was_published_is_never_changed(
    statement: str, deliver: Callable[..., Any], conn: psycopg.Connection
) -> None:
    deliver("IBM,2024-05-31,166.12,167.47,164.00,166.85,2700000")
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        conn.execute(statement)


def test_every_recorded_hash_is_what_sql_computes_from_the_columns(
    deliver: Callable[..., Any], conn: psycopg.Connection
) -> None:
    deliver("IBM,2024-05-31,166.12,167.47,164.00,166.85,2700000", "NEW,2024-05-31,1,1,1,1,1")
    deliver("IBM,2024-05-31,2.5", header="symbol,ex_date,ratio", kind="actions")
    deliver(
        "n,2024-05-30,IBM|MSFT,Two firms agree — as planned,,",
        header="id,published_at,symbols,headline,url,body",
        kind="news",
    )
    for function, table in (
        ("raw.bar_hash", "raw.price_bars"),
        ("raw.action_hash", "raw.corporate_actions"),
        ("raw.news_hash", "raw.news_items"),
        ("trading.instrument_hash", "trading.instruments"),
    ):
        found = conn.execute(f"select count(*), bool_and(row_hash = {function}(t)) from {table} as t").fetchone()
        assert found is not None
        assert found[0] > 0
        assert found[1] is True, table


def test_calendar_that_another_publisher_states_meanwhile_is_followed(
    deliver: Callable[..., Any], conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nominal time of a bar follows from its calendar: one symbol must not end with bars of two."""
    judge = BarBatch.judge
    others = [lambda: deliver("NEW,2024-05-29,10,11,9,10,5", calendar="24/7")]

    def slowly(*arguments: Any) -> Any:
        judged = judge(*arguments)
        if others:
            others.pop()()
        return judged

    monkeypatch.setattr(BarBatch, "judge", slowly)
    deliver("NEW,2024-05-30,10,11,9,10,5", calendar="XNYS")
    found = conn.execute("select nominal_at::time from raw.price_bars order by timestamp").fetchall()
    assert [str(at) for (at,) in found] == ["00:15:00", "00:15:00"]
