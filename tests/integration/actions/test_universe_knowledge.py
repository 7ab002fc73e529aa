"""A universe as known at any time and watermark, against a reading by hand: any versions, in any order.

The oracle is written from docs/corporate-actions.md and reads the versions as they were written, not the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.engines

FIRST = date(2020, 1, 1)
DAYS = 5  # few days and few symbols, so that ties and overlaps are common
_SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Version:
    """One statement of one symbol: a member or not from a day on, known that day or days later."""

    symbol: str
    effective: int
    late: int
    is_member: bool

    @property
    def known(self) -> int:
        """The day on which it is known."""
        return self.effective + self.late


VERSIONS = st.builds(Version, st.sampled_from("abc"), st.integers(0, DAYS - 1), st.integers(0, 3), st.booleans())
# Publications in commit order; within one a symbol and day occur once, as the gate sees to.
PUBLICATIONS = st.lists(
    st.lists(VERSIONS, min_size=1, max_size=4, unique_by=lambda one: (one.symbol, one.effective)), max_size=5
)
Answers = dict[tuple[int, int], list[str]]


@pytest.fixture
def empty(database_url: str) -> Iterator[psycopg.Connection]:
    """A warehouse whose every example is rolled back."""
    with psycopg.connect(database_url, options="-c timezone=UTC") as conn:
        yield conn


def _publish(conn: psycopg.Connection, publication: list[Version], universe: str = "u") -> int:
    """Write one publication; a test's transaction holds many, so each takes the next number."""
    watermark = _one(
        conn,
        "insert into raw.watermarks (purpose, transaction_id) select 'test', (coalesce(max(watermark), 0) + 1000000)"
        "::text::xid8 from raw.watermarks returning watermark",
    )
    batch = _one(
        conn,
        "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name, "
        "rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id) "
        "values ('universe', 'files', 'history', now(), 'k', repeat('0', 64), 'n', 0, 0, 0, 0, 0, 'published', "
        f"{watermark}, 't') returning batch_id",
    )
    for one in publication:
        conn.execute(
            "insert into trading.universe_members (source, universe, symbol, effective_date, is_member, nominal_at, "
            "known_at, watermark, batch_id, row_hash) values ('files', %s, %s, %s, %s, %s, %s, %s, %s, sha256(''))",
            (
                *(universe, one.symbol, FIRST + timedelta(days=one.effective), one.is_member),
                *(_moment(one.effective), _moment(one.known), watermark, batch),
            ),
        )
    return watermark


def _answers(conn: psycopg.Connection, up_to: int) -> Answers:
    """The members on every day as known on every day, at one watermark."""
    found: Answers = {(on, known): [] for on in range(-1, DAYS) for known in range(-1, DAYS + 3)}
    rows = conn.execute(
        "select d.n, k.n, m.symbol from generate_series(-1, %(days)s - 1) as d(n) cross join"
        " generate_series(-1, %(days)s + 2) as k(n) cross join lateral trading.universe_as_of("
        "'u', %(first)s::date + d.n, %(origin)s::timestamptz + k.n * interval '1 day', %(w)s) with ordinality as m"
        " order by d.n, k.n, m.ordinality",
        {"days": DAYS, "first": FIRST, "origin": _moment(0), "w": up_to},
    )
    for on, known, symbol in rows:
        found[on, known].append(symbol)
    return found


def _oracle(publications: list[list[Version]]) -> Answers:
    """By hand: of each symbol and day the newest statement that is known, then the last day that has come."""
    said = [(one, order) for order, publication in enumerate(publications) for one in publication]
    found: Answers = {}
    for on in range(-1, DAYS):
        for known in range(-1, DAYS + 3):
            members = []
            for symbol in "abc":
                heard = [(o.effective, o.known, n, o.is_member) for o, n in said if o.symbol == symbol]
                standing = [one for one in heard if one[1] <= known and one[0] <= on]
                if standing and max(standing)[3]:
                    members.append(symbol)
            found[on, known] = members
    return found


def _moment(day: int) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day)


def _one(conn: psycopg.Connection, statement: Any) -> Any:
    found = conn.execute(statement).fetchone()
    assert found is not None
    return found[0]


@_SETTINGS
@given(publications=PUBLICATIONS)
def test_members_are_what_a_reading_by_hand_gives_at_every_day_time_and_watermark(
    publications: list[list[Version]], empty: psycopg.Connection
) -> None:
    marks = [_publish(empty, publication) for publication in publications]
    for count, mark in enumerate(marks, start=1):
        assert _answers(empty, mark) == _oracle(publications[:count])
    empty.rollback()


@_SETTINGS
@given(before=PUBLICATIONS, after=PUBLICATIONS, other=PUBLICATIONS)
def test_nothing_that_is_published_later_or_of_another_universe_changes_an_answer(
    before: list[list[Version]], after: list[list[Version]], other: list[list[Version]], empty: psycopg.Connection
) -> None:
    marks = [_publish(empty, publication) for publication in before]
    answers = [_answers(empty, mark) for mark in marks]
    for publication in after:
        _publish(empty, publication)
    newest = _one(empty, "select coalesce(max(watermark), 0) from raw.watermarks")
    now = _answers(empty, newest)
    for publication in other:
        newest = _publish(empty, publication, "another")
    assert [_answers(empty, mark) for mark in marks] == answers
    assert _answers(empty, newest) == now
    empty.rollback()
