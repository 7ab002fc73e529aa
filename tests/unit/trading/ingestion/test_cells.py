"""A cell keeps its exact value: no digit is lost in silence, no zone is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.ingestion.cells import CellError, decimal_of, text_of, when_of


@given(st.decimals("0", "999999999", places=6))
def test_a_decimal_of_text_comes_out_as_it_went_in(value: Decimal) -> None:
    assert decimal_of("open", str(value), 6) == value
    assert decimal_of("open", f" {value:f}000 ", 6) == value


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (96.42428571428572, "96.424286"),  # a float: its shortest text, rounded half to even
        (0.0000005, "0.000000"),
        (0.0000015, "0.000002"),
        (94.2, "94.200000"),
        (9616100, "9616100.000000"),
        ("1e2", "100.000000"),
    ],
)
def test_a_number_is_taken_at_the_columns_scale(cell: Any, expected: str) -> None:
    assert str(decimal_of("open", cell, 6)) == expected


@pytest.mark.parametrize("cell", [None, "", "  ", "NaN", "nan", "null", float("nan"), Decimal("NaN")])
def test_nothing_is_nothing_and_never_zero(cell: Any) -> None:
    assert decimal_of("open", cell, 6) is None


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("12.3.4", "unreadable_number"),
        ("$12", "unreadable_number"),
        (True, "unreadable_number"),
        (date(2024, 5, 31), "unreadable_number"),
        ("1.1234567", "too_many_decimals"),
        ("1000000000", "number_too_large"),
        ("Infinity", "number_too_large"),
        (float("inf"), "number_too_large"),
        (1e300, "number_too_large"),
    ],
)
def test_what_is_no_number_of_the_column_breaks_a_rule(cell: Any, rule: str) -> None:
    with pytest.raises(CellError) as caught:
        decimal_of("open", cell, 6)
    assert caught.value.rule == rule
    assert caught.value.detail.startswith("open is ")


def test_a_time_keeps_its_zone_and_a_date_stays_a_date() -> None:
    assert when_of("t", "2024-05-31") == when_of("t", "20240531") == when_of("t", 20240531) == date(2024, 5, 31)
    assert when_of("t", "2024-05-31T14:30:00Z") == datetime(2024, 5, 31, 14, 30, tzinfo=UTC)
    assert when_of("t", "2024-05-31 10:30:00-04:00") == datetime(2024, 5, 31, 14, 30, tzinfo=UTC)
    assert when_of("t", None) is None


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("2024-05-31T14:30:00", "naive_timestamp"),
        ("2024-05-31 00:00:00", "naive_timestamp"),
        (datetime(2024, 5, 31, 14, 30), "naive_timestamp"),  # noqa: DTZ001 - the point
        ("31.05.2024", "unreadable_timestamp"),
        ("2024-02-30", "unreadable_timestamp"),
        (20240231, "unreadable_timestamp"),  # no day of a month
        (1717113600, "unreadable_timestamp"),  # seconds since 1970: not guessed
        (21010531, "unreadable_timestamp"),
        (18990531, "unreadable_timestamp"),
        (True, "unreadable_timestamp"),
    ],
)
def test_a_time_that_leaves_the_moment_open_breaks_a_rule(cell: Any, rule: str) -> None:
    with pytest.raises(CellError) as caught:
        when_of("t", cell)
    assert caught.value.rule == rule


def test_text_is_stripped_and_a_ticker_called_nan_is_a_ticker() -> None:
    assert (text_of(" NAN "), text_of("  "), text_of(float("nan"))) == ("NAN", None, None)


def test_a_list_is_no_text() -> None:
    with pytest.raises(CellError, match="expected one text, found") as caught:
        text_of(["AAPL"])
    assert caught.value.rule == "unreadable_text"
