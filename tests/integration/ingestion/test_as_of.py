"""The two properties that carry everything, against a brute-force oracle: what was known at (t, w) never changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.engines

START = datetime(2020, 1, 6, tzinfo=UTC)
HOURS = 12  # few moments and few keys, so that ties and overlaps are common


@dataclass(frozen=True)
class Version:
    """One row of one key, as a vendor might have said it: known at an hour, with a price."""

    key: int
    known_hour: int
    price: int


VERSIONS = st.builds(Version, st.integers(0, 3), st.integers(0, HOURS - 1), st.integers(1, 9))
# Batches in commit order; within one batch a key occurs once, as the gate sees to.
BATCHES = st.lists(st.lists(VERSIONS, min_size=1, max_size=4, unique_by=lambda version: version.key), max_size=6)


@pytest.fixture
def empty(database_url: str) -> Iterator[psycopg.Connection]:
    """A warehouse whose every example is rolled back."""
    with psycopg.connect(database_url, options="-c timezone=UTC") as conn:
        yield conn


def _publish(conn: psycopg.Connection, batch: list[Version]) -> int:
    """Write one batch as a publisher does; a test's transaction holds many, so each takes the next number."""
    watermark = _one(
        conn,
        "insert into raw.watermarks (purpose, transaction_id) select 'test', (coalesce(max(watermark), 0) + 1000000)"
        "::text::xid8 from raw.watermarks returning watermark",
    )
    batch_id = _one(
        conn,
        "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name, "
        "rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id) "
        f"values ('prices', 's', 'history', now(), 'k', repeat('0', 64), 'n', {len(batch)}, {len(batch)}, 0, 0, 0, "
        f"'published', {watermark}, 't') returning batch_id",
    )
    conn.execute("select raw.make_partitions('prices', array[%s::timestamptz])", (START,))
    for version in batch:
        conn.execute(
            "insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, "
            "nominal_at, known_at, watermark, batch_id, row_hash) values ('s', %s, '1d', %s, %s, %s, %s, %s, 1, 'raw', "
            "%s, %s, %s, %s, decode(repeat('00', 32), 'hex'))",
            (
                *(f"K{version.key}", START, version.price, version.price, version.price, version.price, START),
                *(_hour(version.known_hour), watermark, batch_id),
            ),
        )
    return watermark


def _answers(conn: psycopg.Connection, up_to: int) -> list[dict[str, int]]:
    """The whole warehouse as of each hour, at one watermark."""
    query = "select symbol, close::int from raw.bars_as_of(%s, %s)"
    return [dict(conn.execute(query, (_hour(hour), up_to)).fetchall()) for hour in range(HOURS)]


def _oracle(batches: list[list[Version]], hour: int) -> dict[str, int]:
    """By hand: per key the greatest (known_at, commit order) among what is known at the hour."""
    seen: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for order, batch in enumerate(batches):
        for version in batch:
            if version.known_hour <= hour:
                seen[f"K{version.key}"].append((version.known_hour, order, version.price))
    return {key: max(candidates)[2] for key, candidates in seen.items()}


def _hour(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def _one(conn: psycopg.Connection, statement: Any) -> Any:
    found = conn.execute(statement).fetchone()
    assert found is not None
    return found[0]


_SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@_SETTINGS
@given(batches=BATCHES)
def test_as_of_is_what_a_reading_by_hand_gives_at_every_time_and_watermark(
    batches: list[list[Version]], empty: psycopg.Connection
) -> None:
    marks = [_publish(empty, batch) for batch in batches]
    for count, mark in enumerate(marks, start=1):
        assert _answers(empty, mark) == [_oracle(batches[:count], hour) for hour in range(HOURS)]
    empty.rollback()


@_SETTINGS
@given(before=BATCHES, after=BATCHES)
def test_appending_anything_never_changes_an_answer_at_an_older_watermark(
    before: list[list[Version]], after: list[list[Version]], empty: psycopg.Connection
) -> None:
    marks = [_publish(empty, batch) for batch in before]
    answers = [_answers(empty, mark) for mark in marks]
    for batch in after:
        _publish(empty, batch)
    assert [_answers(empty, mark) for mark in marks] == answers
    empty.rollback()


@_SETTINGS
@given(before=BATCHES, after=BATCHES, hour=st.integers(0, HOURS - 1))
def test_appending_what_became_known_later_never_changes_an_answer_at_an_earlier_time(
    before: list[list[Version]], after: list[list[Version]], hour: int, empty: psycopg.Connection
) -> None:
    for batch in before:
        _publish(empty, batch)
    newest = 2**62
    earlier = _answers(empty, newest)[: hour + 1]
    for batch in after:
        _publish(empty, [version for version in batch if version.known_hour > hour])
    assert _answers(empty, newest)[: hour + 1] == earlier
    empty.rollback()
