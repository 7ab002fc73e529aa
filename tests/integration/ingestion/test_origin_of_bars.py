"""A bar's batch and its watermark are there: refused otherwise, however many rows a statement brings."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

pytestmark = pytest.mark.engines

COLUMNS = (
    "source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, watermark,"
    " batch_id, row_hash"
)
BAR = "files\tIBM\t1d\t{day}\t2\t2\t2\t2\t1\traw\t{day}\t{day}\t{watermark}\t{batch}\t\\\\x" + "00" * 32 + "\n"


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("select raw.make_partitions('prices', array[timestamptz '2024-01-01'])")
        yield conn


def _batch(conn: psycopg.Connection) -> tuple[int, int]:
    found = conn.execute(
        "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name,"
        " rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id) values"
        " ('prices', 'files', 'history', now(), 'k', repeat('0', 64), 'f.csv', 1, 1, 0, 0, 0, 'published',"
        " raw.take_watermark('a test'), 't') returning watermark, batch_id"
    ).fetchone()
    assert found is not None
    return found


def _copy(conn: psycopg.Connection, *origins: tuple[int, int]) -> None:
    with conn.cursor().copy(f"copy raw.price_bars ({COLUMNS}) from stdin") as copy:  # type: ignore[arg-type]
        for day, (watermark, batch) in enumerate(origins, 1):
            copy.write(BAR.format(day=f"2024-01-{day:02}", watermark=watermark, batch=batch))


def _bars(conn: psycopg.Connection) -> list[tuple[int, int]]:
    return conn.execute("select watermark, batch_id from raw.price_bars order by timestamp").fetchall()


def test_bars_of_batches_that_are_there_come_in(conn: psycopg.Connection) -> None:
    first, second = _batch(conn), _batch(conn)
    _copy(conn, first, second, second)
    assert _bars(conn) == [first, second, second]


def test_a_batch_of_the_same_transaction_counts(conn: psycopg.Connection) -> None:
    with conn.transaction():
        origin = _batch(conn)
        _copy(conn, origin)
    assert _bars(conn) == [origin]


def test_one_bar_of_a_batch_that_is_not_there_keeps_all_out(conn: psycopg.Connection) -> None:
    watermark, batch = _batch(conn)
    with pytest.raises(errors.ForeignKeyViolation, match=f"batch {batch + 1} of raw.ingestion_batches"):
        _copy(conn, (watermark, batch), (watermark, batch + 1), (watermark, batch))
    assert _bars(conn) == []


def test_one_bar_of_a_watermark_that_is_not_there_keeps_all_out(conn: psycopg.Connection) -> None:
    watermark, batch = _batch(conn)
    with pytest.raises(errors.ForeignKeyViolation, match=f"watermark {watermark + 1} of raw.watermarks"):
        _copy(conn, (watermark, batch), (watermark + 1, batch), (watermark, batch))
    assert _bars(conn) == []


def test_an_insert_is_asked_as_a_copy_is(conn: psycopg.Connection) -> None:
    origin = _batch(conn)
    _copy(conn, origin)
    with pytest.raises(errors.ForeignKeyViolation):
        conn.execute(
            f"insert into raw.price_bars ({COLUMNS}) select source, 'X', interval, timestamp, open, high, low, close,"  # type: ignore[arg-type]
            " volume, adjustment, nominal_at, known_at, watermark, batch_id + 1, row_hash from raw.price_bars"
        )
    assert _bars(conn) == [origin]


@pytest.mark.parametrize("parent", ["raw.ingestion_batches", "raw.watermarks"])
def test_what_a_bar_came_with_cannot_go_away(conn: psycopg.Connection, parent: str) -> None:
    _copy(conn, _batch(conn))
    with pytest.raises(errors.IntegrityConstraintViolation):
        conn.execute(f"delete from {parent}")  # type: ignore[arg-type]
    with pytest.raises(errors.IntegrityConstraintViolation):
        conn.execute(f"truncate {parent} cascade")  # type: ignore[arg-type]
