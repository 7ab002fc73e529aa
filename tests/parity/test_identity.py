"""The identity of a row is written twice, in Python and in SQL: the two agree byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading.identity import canon

pytestmark = pytest.mark.engines

_TEXT = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=("Cs",)), max_size=40)
_ZONES = st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_VALUES: dict[str, tuple[str, Any]] = {
    "text": ("raw.canon(%s::text)", _TEXT),
    "bytes": ("raw.canon(%s::bytea)", st.binary(max_size=40)),
    "boolean": ("raw.canon(%s::boolean)", st.booleans()),
    "bigint": ("raw.canon(%s::bigint)", st.integers(-(2**63), 2**63 - 1)),
    "float": ("raw.canon(%s::double precision)", st.floats(allow_nan=False)),
    "price": ("raw.canon(%s::numeric, 6)", st.decimals("-999999999", "999999999", places=6)),
    "quantity": ("raw.canon(%s::numeric, 8)", st.decimals("-99999999999", "99999999999", places=8)),
    "time": (
        "raw.canon(%s::timestamptz)",
        st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=_ZONES),  # noqa: DTZ001 - zones are drawn
    ),
    "date": ("raw.canon(%s::date)", st.dates(date(1900, 1, 1), date(2200, 1, 1))),
}


@pytest.fixture(scope="module")
def anywhere(postgres_url: str) -> Iterator[psycopg.Connection]:
    """A connection whose session has a time zone of its own: identity must not follow it."""
    with psycopg.connect(postgres_url, options="-c timezone=Asia/Kathmandu -c DateStyle=German") as conn:
        yield conn


@pytest.mark.parametrize("kind", _VALUES)
def test_python_and_sql_give_the_same_bytes(kind: str, anywhere: psycopg.Connection) -> None:
    expression, values = _VALUES[kind]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.none() | values)
    def agree(value: Any) -> None:
        found = anywhere.execute(f"select {expression}", (value,)).fetchone()
        assert found == (canon(value),)

    agree()


def test_one_decimal_has_one_identity_however_it_is_written(anywhere: psycopg.Connection) -> None:
    found = anywhere.execute("select raw.canon(1.5, 6) = raw.canon(1.500, 6), raw.canon(1.5, 6)").fetchone()
    assert found == (True, canon(Decimal("1.500000")))


def test_one_moment_has_one_identity_in_every_zone() -> None:
    moment = datetime(2004, 5, 3, 14, 30, tzinfo=UTC)
    assert canon(moment) == canon(moment.astimezone(timezone(timedelta(hours=-4))))
