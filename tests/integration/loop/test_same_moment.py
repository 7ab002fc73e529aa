"""Two versions that are known at one moment: the later publication is in force, for prices as for features."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pytest

from trading.adapters.market_data import MarketData

pytestmark = pytest.mark.engines
FIRST, LAST = datetime(2012, 3, 1, tzinfo=UTC), datetime(2012, 3, 31, tzinfo=UTC)


def market(world) -> MarketData:
    (newest,) = world.rows("select raw.newest_watermark()")[0]
    return MarketData("sample", ["AAA"], "1d", newest)


def test_bar_corrected_within_the_sources_lag_is_met_as_corrected(empty_world):
    """Both versions came before the bar's nominal time, so nobody could have acted on the first."""
    empty_world.bars.publish("AAA", date(2012, 3, 5))
    empty_world.bars.publish("AAA", date(2012, 3, 5), opening="10.05")
    with psycopg.connect(empty_world.url) as conn:
        (group,) = market(empty_world).groups(conn, FIRST, LAST)
        (in_force,) = conn.execute("select bar_id from raw.bars_as_of(%s, 1000)", (LAST,)).fetchone() or (None,)
    assert group.bars["AAA"].bar.open == Decimal("10.05")
    assert group.bars["AAA"].bar.bar_id == in_force


def test_earlier_watermark_still_meets_the_first_version(empty_world):
    empty_world.bars.publish("AAA", date(2012, 3, 5))
    before = market(empty_world)
    empty_world.bars.publish("AAA", date(2012, 3, 5), opening="10.05")
    with psycopg.connect(empty_world.url) as conn:
        (group,) = before.groups(conn, FIRST, LAST)
    assert group.bars["AAA"].bar.open == Decimal("10.00")


def test_split_withdrawn_before_its_day_never_happens(empty_world):
    """Announced and withdrawn before the ex-date: both are known from its first moment on, and the later one holds."""
    empty_world.bars.publish_split("AAA", date(2012, 3, 7), "2")
    empty_world.bars.publish_split("AAA", date(2012, 3, 7), "1")
    with psycopg.connect(empty_world.url) as conn:
        assert market(empty_world).splits(conn, FIRST.date(), LAST.date()) == []
