"""When a bar is over: by the parser of then for a batch of then, and never after its session's close for a new one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from trading.calendar import Sessions, exchange_sessions
from trading.ingestion import prices
from trading.ingestion.cells import CellError
from trading.ingestion.payload import Record
from trading.ingestion.reader import Reader

SESSIONS = {"XNYS": Sessions.of(exchange_sessions("XNYS", date(2024, 6, 24), date(2024, 8, 9)))}
CELLS = dict.fromkeys(("open", "high", "low", "close", "volume"), "1")


def read(when: str, interval: str, parser: int = 2) -> dict[str, Any]:
    record = Record(1, {"symbol": "A", "timestamp": when, "interval": interval, **CELLS}, is_whole=True)
    return prices.read(record, Reader("prices", "csv", parser=parser))


def placed(when: str, interval: str, parser: int = 2) -> str:
    values = read(when, interval, parser)
    prices.place(values, timedelta(minutes=15), {"A": "XNYS"}, SESSIONS, parser)
    nominal_at: datetime = values["nominal_at"]
    return f"{nominal_at.astimezone(UTC):%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("when", "interval", "then", "now"),
    [
        ("2024-07-02T19:30:00Z", "1h", "07-02 20:45", "07-02 20:15"),
        ("2024-07-03T16:00:00Z", "4h", "07-03 20:15", "07-03 17:15"),  # a half day
        ("2024-07-02T13:30:00Z", "5m", "07-02 13:50", "07-02 13:50"),
        ("2024-07-02", "1d", "07-02 20:15", "07-02 20:15"),
    ],
)
def test_a_bar_ends_with_its_session_except_in_batches_of_before(when: str, interval: str, then: str, now: str) -> None:
    assert (placed(when, interval, parser=1), placed(when, interval)) == (then, now)


def test_any_day_of_a_week_or_a_month_names_it() -> None:
    for day in ("2024-07-01", "2024-07-05", "2024-07-06T00:00:00+09:00"):
        assert read(day, "1w")["timestamp"] == datetime(2024, 7, 1, tzinfo=UTC)
    for day in ("2024-07-01", "2024-07-31"):
        assert read(day, "1mo")["timestamp"] == datetime(2024, 7, 1, tzinfo=UTC)
    assert placed("2024-07-31", "1mo") == "07-31 20:15"


def test_a_sunday_names_no_week() -> None:
    with pytest.raises(CellError, match="a Sunday: the week before it or after it"):
        read("2024-07-07", "1w")


@pytest.mark.parametrize(("interval", "is_of_then"), [("2d", True), ("60m", True), ("1w", False), ("1mo", False)])
def test_parser_1_takes_the_intervals_of_then(interval: str, is_of_then: bool) -> None:
    when = "2024-07-01T13:30:00Z"
    assert is_of_then == (_error(when, interval, parser=1) is None)
    assert is_of_then == (_error(when, interval, parser=2) is not None)


def _error(when: str, interval: str, parser: int) -> str | None:
    try:
        read(when, interval, parser)
    except CellError as error:
        return error.rule
    return None
