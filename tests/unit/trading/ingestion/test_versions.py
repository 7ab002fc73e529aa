"""Which rows add knowledge, and since when they are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.ingestion.reader import Mode
from trading.ingestion.rows import RawRow
from trading.ingestion.versions import KnownVersion, known_since, new_versions

NOMINAL = datetime(2024, 5, 30, 20, 15, tzinfo=UTC)
BEFORE, AFTER = NOMINAL - timedelta(minutes=5), NOMINAL + timedelta(days=1)


def _row(price: int) -> RawRow:
    return RawRow("files", ("IBM",), (Decimal(price),), NOMINAL)


@pytest.mark.parametrize(
    ("mode", "received_at", "is_first", "expected"),
    [
        ("history", AFTER, True, NOMINAL),
        ("history", AFTER, False, AFTER),
        ("live", AFTER, True, AFTER),
        ("live", AFTER, False, AFTER),
        ("live", BEFORE, True, NOMINAL),
        ("live", BEFORE, False, NOMINAL),
        ("history", BEFORE, False, NOMINAL),
    ],
)
def test_known_since(mode: Mode, received_at: datetime, is_first: bool, expected: datetime) -> None:
    assert known_since(NOMINAL, mode, received_at, is_first=is_first) == expected


def test_a_version_that_says_what_is_in_force_is_not_new() -> None:
    known = {("IBM",): [KnownVersion(NOMINAL, 1, (Decimal("7.0"),))]}
    assert new_versions([_row(7)], known, "live", AFTER) == []
    assert [version.known_at for version in new_versions([_row(8)], known, "history", AFTER)] == [AFTER]


def test_of_two_versions_known_at_once_the_later_watermark_is_in_force() -> None:
    known = {("IBM",): [KnownVersion(AFTER, 2, (Decimal(8),)), KnownVersion(AFTER, 1, (Decimal(7),))]}
    assert new_versions([_row(8)], known, "live", AFTER) == []
    assert len(new_versions([_row(7)], known, "live", AFTER)) == 1


def test_the_identity_of_a_version_holds_its_content_and_when_it_was_known() -> None:
    first = _row(7).hash_when_known(NOMINAL)
    assert first == _row(7).hash_when_known(NOMINAL)
    assert first != _row(8).hash_when_known(NOMINAL)
    assert first != _row(7).hash_when_known(AFTER)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), max_size=12))
def test_whatever_the_order_of_delivery_what_is_in_force_is_what_was_said(said: list[tuple[int, int]]) -> None:
    known: list[KnownVersion] = []
    for watermark, (hour, price) in enumerate(said, start=1):
        received_at = AFTER + timedelta(hours=hour)
        for version in new_versions([_row(price)], {("IBM",): known} if known else {}, "live", received_at):
            known.append(KnownVersion(version.known_at, watermark, version.row.content))
        in_force = max(
            (each for each in known if each.known_at <= received_at), key=lambda each: (each.known_at, each.watermark)
        )
        assert in_force.content == (price,)
