"""A training set and a backtest take a symbol on the days on which it belonged, as known then; and what hindsight adds.

130 sessions make 20 to replay, 20 to judge, and 35 to train on. All prices are 100 but where a test says otherwise.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from assets.hindsight import Judge, hindsight
from assets.scope import MarketScope
from assets.series import members_rows
from feature_store.services import newest_service
from trading.adapters.comparisons import newest_comparison
from trading.adapters.memberships import memberships
from trading.adapters.postgres import Warehouse
from trading.adapters.universes import members
from trading.backtest import BacktestSettings
from trading.calendar import exchange_sessions
from trading.costs import Costs
from trading.errors import InputError
from trading.strategy import BuyAndHold

pytestmark = pytest.mark.engines
DAYS = [one.session_date for one in exchange_sessions("XNYS", date(2012, 1, 3), date(2012, 12, 31))][:130]
TRAINED, JUDGED, REPLAYED = DAYS[50:85], DAYS[90:110], DAYS[110:]
LEFT = JUDGED[12]
NOW, LATER = datetime(2013, 1, 2, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)
FREE = BacktestSettings(costs=Costs(Decimal(0), Decimal(0), Decimal(0)))
UNIVERSE = [
    f"big,AAA,{DAYS[0]},true",
    f"big,DEAD,{DAYS[0]},true",
    f"big,DEAD,{LEFT},false",
    f"big,NEW,{REPLAYED[3]},true",
]


def test_symbols_are_chosen_by_what_was_known_when_training_ended(market: Any, database_url: str) -> None:
    scope, warehouse = MarketScope(source="files"), Warehouse(database_url)
    with warehouse.connection() as conn:
        cut = scope.cut(conn)
        assert (cut.windows.training.last, cut.windows.judging.first) == (TRAINED[-1], JUDGED[0])
        assert cut.symbols == ["AAA", "DEAD"]
        assert scope.todays_symbols(conn, cut) == ["AAA", "NEW"]
    late = datetime(2013, 1, 1, tzinfo=UTC)
    market("prices", *market.bars("SOON", DAYS), mode="live", delivered_at=late)  # old bars that nobody had then
    with warehouse.connection() as conn:
        assert scope.cut(conn).symbols == ["AAA", "DEAD"]
        assert scope.todays_symbols(conn, scope.cut(conn)) == ["AAA", "NEW", "SOON"]


def test_a_training_set_takes_members_only_as_known_at_each_decision(market: Any, database_url: str) -> None:
    """LATE belonged from the first day on, but that was told in the middle of training."""
    told = datetime(TRAINED[20].year, TRAINED[20].month, TRAINED[20].day, 12, tzinfo=UTC)
    market("prices", *market.bars("LATE", DAYS), *market.bars("NEVER", DAYS))
    market("universe", *UNIVERSE, f"other,NEVER,{DAYS[0]},true")
    market("universe", f"big,LATE,{DAYS[0]},true", mode="live", delivered_at=told)
    scope, warehouse = MarketScope(source="files", universe="big"), Warehouse(database_url)
    with warehouse.connection() as conn:
        cut = scope.cut(conn)
        assert cut.symbols == ["AAA", "DEAD", "LATE", "NEW"]
        assert scope.members_at(conn, cut, REPLAYED[0]) == ["AAA", "LATE"]
    service = newest_service(database_url, "test")
    rows = members_rows(warehouse, service, scope, cut.symbols, cut.windows.training)
    assert rows.groupby("symbol").size().to_dict() == {"AAA": 35, "DEAD": 35, "LATE": 15}
    judged = members_rows(warehouse, service, scope, cut.symbols, cut.windows.judging)
    assert judged.groupby("symbol").size().to_dict() == {"AAA": 20, "DEAD": 12, "LATE": 20}
    with pytest.raises(InputError, match="found none named 'small'; ingest it"), warehouse.connection() as conn:
        MarketScope(source="files", universe="small").cut(conn)


def test_membership_in_memory_is_that_of_the_warehouse(market: Any, database_url: str) -> None:
    market("universe", *UNIVERSE)
    revised = [(DAYS[40], "true"), (DAYS[60], "false"), (DAYS[60], "true")]
    for place, (day, member) in enumerate(revised):
        at = datetime(2012, 9, 1 + place, tzinfo=UTC)
        market("universe", f"big,BACK,{day},{member}", mode="live", delivered_at=at)
    moments = [datetime(2012, month, day, tzinfo=UTC) for month in (1, 4, 9, 10) for day in (1, 2, 3, 4, 20)]
    with psycopg.connect(database_url) as conn:
        newest = conn.execute("select raw.newest_watermark()").fetchone()
        assert newest is not None
        known = memberships(conn, "big", newest[0])
        for on in (DAYS[0], DAYS[45], DAYS[65], LEFT, DAYS[-1]):
            for moment in moments:
                told = [name for name in ("AAA", "BACK", "DEAD", "NEW") if known.is_member(name, on, moment)]
                assert told == members(conn, "big", on, moment, newest[0]), (on, moment)


@pytest.mark.parametrize("universe", ["", "big"])
def test_hindsight_is_worth_what_a_pencil_says(market: Any, database_url: str, universe: str) -> None:
    market("universe", *UNIVERSE)
    last = JUDGED[-1]
    market("prices", f"AAA,{last},100,120,100,120,1000", now=LATER)  # the last print of the window is restated
    scope, warehouse = MarketScope(source="files", universe=universe), Warehouse(database_url)
    judge = Judge("trader-daily", "1", newest_service(database_url, "test"), BuyAndHold())
    found = hindsight(scope, warehouse, judge, FREE)
    # 500 shares each at 100: 500 x 110 + 500 x 50 = 80,000. AAA alone: 1,000 x 110. Restated: 500 x 120 + 500 x 50.
    assert found.as_it_was.buy_and_hold == pytest.approx(-0.20)
    assert found.restatement.buy_and_hold == pytest.approx(0.05)
    # Today's choice has NEW too, whose warm-up leaves it no bar in the window; AAA alone is bought.
    assert found.survivorship.buy_and_hold == pytest.approx(0.30)
    assert found.survivorship.model == found.survivorship.buy_and_hold
    hindsight(scope, warehouse, judge, FREE)
    with warehouse.connection() as conn:
        told = newest_comparison(conn, "files")
        kept = conn.execute("select count(*) from trading.comparisons").fetchone()
    assert kept == (1,)
    assert told is not None
    assert (told["members"], told["restated_bars"]) == (["AAA", "DEAD"], 1)
    assert told["survivorship_buy_and_hold"] == pytest.approx(0.30)
