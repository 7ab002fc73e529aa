"""Tables of time lie in partitions: each row in its own, made before it comes, never addressed but through its table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from infra.local.doctor import examine
from infra.postgres.partitions import standing
from orchestration.maintenance import partitions_ahead
from trading.adapters.postgres import Warehouse

pytestmark = pytest.mark.engines

TABLES = [
    "features.daily", "marts.chart_bars", "marts.indicators", "marts.indicators_extended", "raw.price_bars", "raw.trades",
]  # fmt: skip
_BATCH = """
insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name, rows_in,
    rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)
values ('prices', 'files', 'history', now(), 'k', repeat('0', 64), 'n', 0, 0, 0, 0, 0, 'published',
    raw.take_watermark('test'), 't') returning batch_id, watermark
"""
_BAR = """
insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at,
    known_at, watermark, batch_id, row_hash)
values ('files', %s, '1d', %s, 1, 1, 1, 1, 1, 'raw', %s, %s, %s, %s, sha256('x')) returning bar_id, tableoid::regclass::text
"""
_TRADE = """
insert into raw.trades (source, symbol, trade_id, timestamp, price, size, nominal_at, known_at, watermark, batch_id, row_hash)
values ('files', 'A', %s, %s, 1, 1, %s, %s, %s, %s, sha256('x')) returning tableoid::regclass::text
"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as conn:
        yield conn


def one(conn: psycopg.Connection, statement: str, *values: Any) -> Any:
    return conn.execute(statement, values).fetchone()[0]  # type: ignore[arg-type,index]


def make(conn: psycopg.Connection, kind: str, *days: str) -> list[str]:
    return one(conn, "select raw.make_partitions(%s, %s)", kind, [at(day) for day in days])


def bar(conn: psycopg.Connection, day: str, symbol: str = "A") -> tuple[int, str]:
    """Publish one bar; return its id and its partition."""
    with conn.transaction():
        batch, watermark = conn.execute(_BATCH).fetchone()
        return conn.execute(_BAR, (symbol, *[at(day)] * 3, watermark, batch)).fetchone()


def test_a_row_lies_in_the_partition_of_its_year_and_all_before_1970_in_one(conn: psycopg.Connection):
    days = ["1969-12-31T23:59", "1875-05-05", "1970-01-01", "2004-12-31T23:59", "2005-01-01"]
    made = make(conn, "prices", *days)
    assert [name for name in made if name.startswith("raw.price")] == [
        "raw.price_bars_before_1970", "raw.price_bars_1970", "raw.price_bars_2004", "raw.price_bars_2005",
    ]  # fmt: skip
    assert [bar(conn, day)[1] for day in days] == [
        f"raw.price_bars_{name}" for name in ("before_1970", "before_1970", "1970", "2004", "2005")
    ]
    # What derives of bars has its place with them; a chart's bar may be named by a day of the month before.
    assert {name.rpartition("_")[0] for name in made if name.endswith("2004")} == set(TABLES) - {"raw.trades"}
    assert "marts.chart_bars_2003" in make(conn, "trades", "2004-01-20")
    assert make(conn, "prices", *days) == []


def test_a_row_without_a_partition_is_refused_whole_and_comes_in_once_it_is_made(conn: psycopg.Connection):
    with pytest.raises(errors.CheckViolation, match="no partition of relation"):
        bar(conn, "2004-05-05")
    assert one(conn, "select count(*) from raw.ingestion_batches") == 0
    make(conn, "prices", "2004-07-07")
    assert bar(conn, "2004-05-05")[1] == "raw.price_bars_2004"


def test_partitions_stand_ahead_from_the_start_and_the_job_keeps_them_so(conn: psycopg.Connection, database_url: str):
    years = (datetime.now(UTC).year, datetime.now(UTC).year + 1)
    ahead = [f"{table}_{year}" for table in TABLES for year in years]
    names = "select array_agg(name order by name) from raw.partitions"
    assert one(conn, names) == sorted(ahead)
    assert one(conn, "select raw.make_partitions_ahead('2061-11-05Z')") == [
        f"{t}_{y}" for t in TABLES for y in (2061, 2062)
    ]
    conn.execute(f"drop table {ahead[1]}, {ahead[0]}")
    conn.execute("delete from raw.partitions where name = any(%s) or name ~ '206.$'", (ahead[:2],))
    assert partitions_ahead.execute_in_process(resources={"warehouse": Warehouse(database_url)}).success
    assert one(conn, names) == sorted(ahead)
    # Of a table as a whole nobody else gathers statistics.
    assert one(conn, "select bool_and(last_analyze is not null) from pg_stat_user_tables where relname = 'price_bars'")


def test_doctor_says_how_far_ahead_partitions_stand_and_fails_where_none_does(
    conn: psycopg.Connection, database_url: str
):
    year = datetime.now(UTC).year
    make(conn, "prices", "1960-01-01", "2004-01-01")
    found = {one.relation: one for one in standing(database_url)}
    assert sorted(found) == TABLES
    assert all(one.ok for one in found.values())
    assert found["raw.price_bars"].sentence() == f"4 since 2004-01-01, up to {year + 2}-01-01"
    conn.execute(f"drop table raw.trades_{year + 1}")
    conn.execute("delete from raw.partitions where name = %s", (f"raw.trades_{year + 1}",))
    told = {one.name: one for one in examine({"TRADELOOM_POSTGRES_URL": database_url, "TRADELOOM_HOME": "/nowhere"})}
    assert told["partitions: raw.price_bars"].ok
    assert not told["partitions: raw.trades"].ok
    assert told["partitions: raw.trades"].detail == (
        f"1 since {year}-01-01, up to {year + 1}-01-01; none ahead: run `tradeloom up`"
    )


def test_two_writers_who_lack_the_same_partition_both_come_in_and_nobody_else_waits(
    conn: psycopg.Connection, database_url: str
):
    make(conn, "prices", "2003-05-05")
    ends: list[str] = []

    def second() -> None:
        with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as other:
            with other.transaction():
                make(other, "prices", "2004-05-05")
            ends.append(bar(other, "2004-05-05", "B")[1])

    with psycopg.connect(database_url, options="-c timezone=UTC") as first:
        assert "raw.price_bars_2004" in make(first, "prices", "2004-03-03")
        thread = threading.Thread(target=second)
        thread.start()
        conn.execute("set statement_timeout = '5s'")
        assert bar(conn, "2003-05-05")[1] == "raw.price_bars_2003"  # a writer of another year
        assert one(conn, "select count(*) from raw.price_bars") == 1  # a reader of all
        thread.join(timeout=0.5)
        assert thread.is_alive()
        first.execute("set statement_timeout = '5s'")
        first.commit()
    thread.join(timeout=30)
    assert ends == ["raw.price_bars_2004"]


@pytest.mark.parametrize(
    "change",
    [
        "update {} set watermark = 1",
        "delete from {}",
        "truncate {}",
        "insert into {} overriding system value select * from raw.price_bars",
    ],
)
def test_a_partition_is_not_changed_behind_its_table(conn: psycopg.Connection, change: str):
    year = datetime.now(UTC).year
    bar(conn, f"{year}-01-05")
    with pytest.raises(errors.IntegrityConstraintViolation, match=rf"raw\.price_bars_{year} is a partition"):
        conn.execute(change.format(f"raw.price_bars_{year}"))  # type: ignore[arg-type]
    if not change.startswith("insert"):
        with pytest.raises(errors.IntegrityConstraintViolation, match=r"raw\.price_bars is append-only"):
            conn.execute(change.format("raw.price_bars"))  # type: ignore[arg-type]


def test_another_step_holds_for_the_partitions_that_are_made_from_then_on(conn: psycopg.Connection):
    make(conn, "prices", "2004-06-01")
    conn.execute(
        "update raw.partitioned_tables set step = 'month', ahead = '3 months' where relation = 'raw.price_bars'"
    )
    made = make(conn, "prices", "2004-09-09", "2005-02-03", "2006-07-01")
    assert [name for name in made if name.startswith("raw.")] == ["raw.price_bars_2005_02", "raw.price_bars_2006_07"]
    conn.execute("update raw.partitioned_tables set step = 'year' where relation = 'raw.price_bars'")
    make(conn, "prices", "2005-01-03", "2005-08-03")
    bounds = conn.execute(
        "select from_at, to_at from raw.partitions where relation = 'raw.price_bars' order by from_at"
    )
    assert bounds.fetchall()[:5] == [
        (at("2004-01-01"), at("2005-01-01")),
        (at("2005-01-01"), at("2005-02-01")),
        (at("2005-02-01"), at("2005-03-01")),
        (at("2005-03-01"), at("2006-01-01")),
        (at("2006-07-01"), at("2006-08-01")),
    ]


def test_what_names_a_bar_names_one_that_is_there(conn: psycopg.Connection):
    year = datetime.now(UTC).year
    number, _ = bar(conn, f"{year}-01-05")
    recall = (
        "insert into raw.recalls (bar_id, status, reason, known_at, watermark, trace_id)"
        " values (%s, 'recalled', 'r', now(), raw.newest_watermark(), 't')"
    )
    with pytest.raises(errors.ForeignKeyViolation, match=f"found none with bar_id {number + 1}"):
        conn.execute(recall, (number + 1,))
    conn.execute(recall, (number,))
    for table in ("trading.decisions", "trading.fills"):
        assert one(
            conn, "select count(*) from pg_trigger where tgrelid = %s::regclass and tgname = 'bars_are_there'", table
        )


def test_a_trade_has_one_version_in_a_publication_wherever_in_time(conn: psycopg.Connection):
    make(conn, "trades", "2004-06-01", "2005-06-01")

    def trade(name: str, day: str, batch: int, watermark: int) -> str:
        return one(conn, _TRADE, name, *[at(day)] * 3, watermark, batch)

    with conn.transaction():
        batch, watermark = conn.execute(_BATCH).fetchone()
        assert trade("t1", "2004-12-31", batch, watermark) == "raw.trades_2004"
    with pytest.raises(errors.UniqueViolation, match=f"found several of A t1 at watermark {watermark}"):
        trade("t1", "2005-01-01", batch, watermark)
    with pytest.raises(errors.ForeignKeyViolation, match=rf"batch {batch + 9} of raw\.ingestion_batches"):
        trade("t2", "2005-01-01", batch + 9, watermark)
    with conn.transaction():
        batch, watermark = conn.execute(_BATCH).fetchone()
        assert trade("t1", "2005-01-01", batch, watermark) == "raw.trades_2005"  # a correction that moved it
    found = conn.execute(
        "select timestamp from raw.trades_as_of('files', 'A', '-infinity', 'infinity', %s)", (watermark,)
    )
    assert found.fetchall() == [(at("2005-01-01"),)]


def test_a_read_as_of_a_time_looks_into_the_partitions_of_that_time_only(conn: psycopg.Connection):
    make(conn, "prices", *[f"{year}-06-01" for year in range(2000, 2010)])
    for year in range(2000, 2010):
        bar(conn, f"{year}-06-01")

    def plan(statement: str) -> str:
        return "\n".join(line for (line,) in conn.execute("explain (analyze, costs off) " + statement))  # type: ignore[operator]

    of_a = "select * from raw.price_bars where source = 'files' and symbol = 'A' and interval = '1d'"
    bounded = plan(f"{of_a} and timestamp >= '2004-01-01Z' and timestamp < '2006-01-01Z' and known_at <= '2005-06-01Z'")
    assert [year for year in range(2000, 2010) if f"price_bars_{year}" in bounded] == [2004, 2005]
    # The newest one is found in the partition where it lies: the table's order is that of its partitions.
    newest = plan(f"{of_a} and timestamp < '2008-01-01Z' order by timestamp desc limit 1")
    assert "Sort" not in newest
    assert newest.count("never executed") == 7


def test_rows_that_wait_are_counted_on_by_the_ends_of_their_time(conn: psycopg.Connection):
    days = [at("2004-12-31T23:59"), at("2001-01-01"), at("2001-05-05")]
    with conn.transaction():
        conn.execute("create temporary table waiting (timestamp timestamptz) on commit drop")
        assert one(conn, "select raw.make_partitions_for('prices', 'waiting')") == []
        with conn.cursor().copy("copy waiting from stdin") as copy:
            for day in days:
                copy.write_row((day,))
        made = one(conn, "select raw.make_partitions_for('prices', 'waiting')")
        assert [name for name in made if name.startswith(("raw", "marts.c"))] == [
            "marts.chart_bars_2000", "marts.chart_bars_2001", "marts.chart_bars_2004",
            "raw.price_bars_2001", "raw.price_bars_2004",
        ]  # fmt: skip
        assert one(conn, "select raw.make_partitions_for('prices', 'waiting')") == []
        conn.execute("insert into waiting values (%s)", (days[0] + timedelta(minutes=1),))
        assert "raw.price_bars_2005" in one(conn, "select raw.make_partitions_for('prices', 'waiting')")
