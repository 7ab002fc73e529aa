"""A session over a small market: what it fills, what it refuses, what it writes once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from trading.costs import FREE, Costs
from trading.errors import EngineUnavailableError
from trading.risk import RiskLimits

pytestmark = pytest.mark.engines
HOLD, BUY, SELL = 0, 1, 2
FIVE_BPS = Costs(per_share_usd=Decimal("0.01"), minimum_usd=Decimal(1), slippage_bps=Decimal(5))


@pytest.fixture
def days(world):
    return [row[0] for row in world.rows("select session_date from trading.calendar_sessions order by 1")]


def test_order_fills_at_the_next_sessions_open_with_slippage_and_commission(world, days):
    world.script.actions = {("AAA", days[0]): BUY}
    world.run(costs=FIVE_BPS)
    # equity 10,000 over two symbols at the close of 10.20: 490 shares; the open of 10.50 plus 5 bps is 10.50525
    fill = world.rows(
        "select side, quantity, open_usd, price_usd, notional_usd, commission_usd, slippage_usd, timestamp"
        " from trading.fills"
    )
    side, quantity, opened, price, notional, commission, slippage, timestamp = fill[0]
    assert (side, quantity, opened, price) == ("buy", 490, Decimal("10.50"), Decimal("10.505250"))
    assert (notional, commission, slippage) == (Decimal("5147.5725"), Decimal("4.90"), Decimal("2.5725"))
    assert timestamp.date() == days[1]
    assert len(fill) == 1


def test_sell_goes_flat_and_books_the_gain(world, days):
    world.script.actions = {("AAA", days[0]): BUY, ("AAA", days[3]): SELL}
    report = world.run(costs=FREE)
    # bought 490 at 10.50, sold at 11.20
    assert world.rows("select quantity, cost_usd, realized_pnl_usd from trading.positions") == [(0, 0, Decimal("343"))]
    assert report.equity_usd == Decimal("10343")


def test_buy_when_long_and_sell_when_flat_do_nothing(world, days):
    world.script.actions = {("AAA", days[0]): BUY, ("AAA", days[2]): BUY, ("BBB", days[2]): SELL}
    world.run()
    found = world.rows("select symbol, reason_code from trading.decisions where outcome = 'nothing_to_do' order by 1")
    assert found == [("AAA", "buy_when_long"), ("BBB", "sell_when_flat")]
    assert world.rows("select count(*) from trading.orders") == [(1,)]


def test_split_doubles_the_shares_before_the_open(world, days):
    world.bars.publish_split("BBB", days[4], "2")
    world.script.actions = {("BBB", days[0]): BUY, ("BBB", days[5]): SELL}
    world.run(costs=FREE)
    assert world.rows("select quantity_before, quantity_after from trading.position_splits") == [(99, 198)]
    assert world.rows("select side, quantity from trading.fills order by timestamp") == [("buy", 99), ("sell", 198)]


def test_order_on_its_way_over_a_split_asks_for_the_new_shares(world, days):
    world.bars.publish_split("BBB", days[4], "2")
    world.script.actions = {("BBB", days[0]): BUY, ("BBB", days[3]): SELL}
    world.run(costs=FREE)
    quantity, reason = world.rows("select quantity, reason from trading.fills where side = 'sell'")[0]
    assert quantity == 198
    assert "split" in reason
    assert world.rows("select quantity from trading.positions") == [(0,)]


def test_quantity_shrinks_to_the_cash_at_a_gapped_open(world, days):
    world.script.actions = {("AAA", days[0]): BUY}
    world.run(symbols=("AAA",), costs=FREE)
    # 980 shares at the close of 10.20 (all the equity), but 10,000 pays for 952 at the open of 10.50
    quantity, reason = world.rows("select quantity, reason from trading.fills")[0]
    assert quantity == 952
    assert "shrunk_to_cash" in reason


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (RiskLimits(max_concentration=Decimal("0.4")), "CONCENTRATION_EXCEEDED"),
        (RiskLimits(max_position_quantity=Decimal(100)), "POSITION_LIMIT_EXCEEDED"),
        (RiskLimits(max_order_notional_usd=Decimal(1000)), "NOTIONAL_EXCEEDS_LIMIT"),
    ],
)
def test_limits_refuse_with_their_code(world, days, limits, code):
    world.script.actions = {("AAA", days[0]): BUY}
    report = world.run(limits=limits)
    (found,) = world.rows("select reason_code, reason from trading.decisions where outcome = 'denied'")
    assert found[0] == code
    assert found[1]["symbol"] == "AAA"
    assert (report.denied, report.orders, report.fills) == (1, 0, 0)


def test_too_little_cash_for_one_lot_is_refused(world, days):
    world.script.actions = {("BBB", days[0]): BUY}
    world.run(starting_cash_usd=Decimal(40))
    assert world.rows("select reason_code from trading.decisions where outcome = 'denied'") == [("INSUFFICIENT_CASH",)]


def test_cash_promised_to_an_earlier_order_is_not_promised_again(world, days):
    """Both symbols take half of the equity at the decision price; after AAA's costs BBB's half is not all there."""
    world.script.actions = {("AAA", days[0]): BUY, ("BBB", days[1]): BUY}
    world.run(costs=Costs(per_share_usd=Decimal(2), minimum_usd=Decimal(0), slippage_bps=Decimal(0)))
    denied = world.rows("select symbol, reason_code from trading.decisions where outcome = 'denied'")
    assert denied == [("BBB", "INSUFFICIENT_CASH")]


def test_stale_features_are_refused(world, days):
    world.script.actions = {("AAA", days[3]): BUY}
    world.script.feature_dates = {("AAA", days[3]): days[1]}
    world.run()
    code, reason = world.rows("select reason_code, reason from trading.decisions where outcome = 'denied'")[0]
    assert (code, reason["age_sessions"]) == ("STALE_FEATURES", "2")


def test_missing_features_are_refused_and_the_session_goes_on(world, days):
    world.script.without_features = {("AAA", days[0])}
    report = world.run()
    code, row_id, vector = world.rows(
        "select reason_code, feature_row_id, vector from trading.decisions where outcome = 'denied'"
    )[0]
    assert (code, row_id, vector) == ("STALE_FEATURES", None, None)
    assert report.decisions == 16


def test_analyst_that_differs_from_the_feature_row_is_refused(world, days):
    world.script.actions = {("AAA", days[0]): BUY}
    world.script.analyst_scores = {("AAA", days[0]): 0.12500000000000003}
    world.run()
    code, reason = world.rows("select reason_code, reason from trading.decisions where outcome = 'denied'")[0]
    assert code == "SENTIMENT_MISMATCH"
    assert reason["analyst_sentiment"] == "0.12500000000000003"


def test_model_that_reads_no_news_asks_no_analyst(world, days):
    world.registry.card.feature_service["scorer"] = "none"
    world.run()
    assert {service for service, _, _ in world.script.asked} == {"oracle"}


def test_kill_switch_stops_what_would_buy(world, days):
    world.script.actions = {("AAA", days[0]): BUY}
    world.script.oracle_silent_on = {days[0]}
    with pytest.raises(EngineUnavailableError, match="oracle"):
        world.run()
    world.script.oracle_silent_on = set()
    with psycopg.connect(world.url) as conn:
        conn.execute(
            "insert into trading.session_switches (session_id, state, reason, trace_id)"
            " select session_id, 'halted', 'test', 'test' from trading.sessions"
        )
    world.run()
    assert world.rows("select reason_code from trading.decisions where outcome = 'denied'") == [("SESSION_HALTED",)]


@pytest.mark.parametrize("service", ["oracle", "analyst"])
def test_silent_service_is_one_clear_line_and_a_rerun_completes(world, days, service):
    world.script.actions = {("AAA", days[0]): BUY}
    silent = world.script.oracle_silent_on if service == "oracle" else world.script.analyst_broken_on
    silent.add(days[3])
    with pytest.raises(EngineUnavailableError, match=service) as error:
        world.run()
    assert "\n" not in str(error.value)
    assert world.rows("select count(*) from trading.decisions") == [(6,)]
    silent.clear()
    report = world.run()
    assert (report.status, report.decisions, report.fills) == ("finished", 16, 1)


def test_run_twice_adds_nothing(world, days):
    world.script.actions = {("AAA", days[0]): BUY, ("AAA", days[4]): SELL}
    first = world.run()
    before = _counts(world)
    asked = len(world.script.asked)
    second = world.run()
    assert _counts(world) == before
    assert second.session_id == first.session_id
    assert len(world.script.asked) == asked


def test_later_data_never_reaches_an_opened_session(world, days):
    world.script.actions = {("AAA", days[0]): BUY}
    world.script.oracle_silent_on = {days[1]}
    with pytest.raises(EngineUnavailableError):
        world.run()
    world.script.oracle_silent_on = set()
    world.bars.publish("AAA", days[2], known_at=_utc(days[7]), opening="99.00")
    world.run()
    pinned, newest = world.rows("select watermark, raw.newest_watermark() from trading.sessions")[0]
    assert newest > pinned
    assert {row[0] for row in world.rows("select distinct watermark from trading.decisions")} == {pinned}


def test_latency_moves_the_fill_to_the_first_open_it_can_reach(world, days):
    world.script.actions = {("AAA", days[0]): BUY}
    world.run(latency=timedelta(hours=20))  # 21:15 plus 20 hours is after the next open
    assert world.rows("select timestamp from trading.fills")[0][0].date() == days[2]


def _utc(day):
    return datetime(day.year, day.month, day.day, 22, tzinfo=UTC)


def _counts(world):
    tables = (
        "sessions",
        "session_steps",
        "decisions",
        "order_intents",
        "paper_orders",
        "orders",
        "fills",
        "postings",
        "positions",
        "accounts",
        "portfolio_snapshots",
        "events",
        "event_anchors",
    )
    return {table: world.rows(f"select count(*) from trading.{table}")[0][0] for table in tables}
