"""Features read splits only: no other action adds a row, and a row recomputed after one is the row that is stored."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

pytestmark = [pytest.mark.engines]

LATE = datetime.fromisoformat("2024-03-20T12:00:00+00:00")


@pytest.mark.parametrize(
    ("kind", "amount", "new_symbol"),
    [
        ("dividend", Decimal(5), None),
        ("spin_off", Decimal(5), "B"),
        ("symbol_change", None, "B"),
        ("delisting", None, None),
    ],
)
def test_an_action_that_is_no_split_changes_no_feature_row(
    warehouse: Any, kind: str, amount: Decimal | None, new_symbol: str | None
) -> None:
    warehouse.fill_calendar(date(2024, 1, 1), date(2024, 4, 30))
    days = [day for n in range(60) if (day := date(2024, 1, 1) + timedelta(days=n)).weekday() < 5]
    prices = [Decimal(100 + n % 7) for n in range(len(days))]
    bars = [warehouse.Bar("A", day, price, price, price, price, 1000) for day, price in zip(days, prices, strict=True)]
    warehouse.publish("files", bars)
    warehouse.advance()
    before = warehouse.all("select row_hash from features.daily order by row_id")
    with warehouse.conn.transaction():
        watermark = warehouse.one("select raw.take_watermark('test')")
        warehouse.conn.execute(
            "insert into raw.corporate_actions (source, symbol, kind, ex_date, ratio, amount, new_symbol, nominal_at, "
            "known_at, watermark, batch_id, row_hash) values ('files', 'A', %s, %s, 1, %s, %s, %s, %s, %s, "
            "(select max(batch_id) from raw.ingestion_batches), sha256(''))",
            (kind, days[10], amount, new_symbol, days[10], LATE, watermark),
        )
    warehouse.advance()
    assert warehouse.all("select row_hash from features.daily order by row_id") == before
    stored = warehouse.one("select row_hash from features.daily order by timestamp desc limit 1")
    made = warehouse.one(
        "select row_hash from features.recompute(%s, 'files', 'A', '1d', %s, %s, 1000000)",
        warehouse.active("features.daily"),
        datetime.fromisoformat(f"{days[-1]}T00:00:00+00:00"),
        LATE + timedelta(days=1),
    )
    assert made == stored
