"""Two sources hold one symbol: whoever names only the symbol is answered by the same one everywhere."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from feature_store.vectors import decision_time

pytestmark = pytest.mark.engines
LATER = datetime.fromisoformat("2024-06-01T00:00:00+00:00")


def bars(warehouse: Any, days: int) -> list[Any]:
    ten = Decimal(10)
    return [warehouse.Bar("AAA", date(2024, 5, day), ten, ten, ten, ten, 100) for day in range(6, 6 + days)]


def test_daily_sentiment_is_asked_at_the_decision_of_the_serving_source(warehouse: Any) -> None:
    """`files` serves before `sample`, although the other has a later bar."""
    warehouse.fill_calendar(date(2024, 4, 1), date(2024, 5, 31))
    warehouse.publish("sample", bars(warehouse, 5))
    watermark = warehouse.publish("files", bars(warehouse, 3))
    warehouse.advance()
    newest = warehouse.one("select raw.newest_watermark()")
    assert newest > watermark
    row = warehouse.store.row(warehouse.store.newest_service("t"), "AAA", LATER, newest)
    with psycopg.connect(warehouse.url) as conn:
        assert row.source == "files"
        assert decision_time(conn, "AAA", LATER, newest) == row.decision_at
        assert decision_time(conn, "AAA", LATER, newest, "sample") > row.decision_at
        assert decision_time(conn, "AAA", LATER, watermark - 2) is None
