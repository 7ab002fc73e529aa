"""The world that the leak gate judges by has each symbol's lot, that of its newest instrument."""

from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from feature_store.leaks.world import read_world

pytestmark = pytest.mark.engines

_INSTRUMENT = """
insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, is_draft,
    known_at, watermark, row_hash)
values (%s, 'crypto', '24/7', 'USD', 0.01, %s, 1, false, '2020-01-01Z', raw.take_watermark('test'), sha256(%s::text::bytea))
"""


def test_bars_come_with_the_lot_of_the_newest_instrument(warehouse):
    day, price = date(2024, 6, 3), Decimal(100)
    warehouse.fill_calendar(day, day)
    warehouse.publish("files", [warehouse.Bar(name, day, price, price, price, price, 1) for name in ("COIN", "STOCK")])
    for lot in ("0.1", "0.00000001"):
        warehouse.conn.execute(_INSTRUMENT, ("COIN", lot, lot))
    daily = SimpleNamespace(scorer="head", scorer_version="1", definition="none", columns=("return_1d",))
    bars = read_world(warehouse.conn, daily, "files", ["COIN", "STOCK"]).bars
    assert dict(zip(bars["symbol"], bars["lot_size"], strict=True)) == {"COIN": 1e-8, "STOCK": 1.0}


def test_the_fullest_series_are_judged_by_and_not_the_first_by_name(warehouse):
    day, price = date(2024, 6, 3), Decimal(100)
    days = [day + timedelta(days=n) for n in range(4)]
    warehouse.fill_calendar(day, days[-1])
    thin = [warehouse.Bar(f"A{n}", day, price, price, price, price, 1) for n in range(5)]
    full = [warehouse.Bar("Z", on, price, price, price, price, 1) for on in days]
    warehouse.publish("files", [*thin, *full])
    daily = SimpleNamespace(scorer="head", scorer_version="1", definition="none", columns=("return_1d",))
    world = read_world(warehouse.conn, daily, "files", [bar.symbol for bar in (*thin, full[0])])
    assert sorted(set(world.bars["symbol"])) == ["A0", "A1", "A2", "A3", "Z"]
