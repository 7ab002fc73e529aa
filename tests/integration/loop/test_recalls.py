"""Recalled bars: no new session rests on them, running ones decide nothing on them, and what used them is named."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from feature_store.blast_report import blast_radius
from serving.trading_loop.session import Mode
from trading.adapters.recalls import Asked, recall_bars, recalled_bars
from trading.costs import FREE
from trading.errors import InputError, RecalledDataError

pytestmark = pytest.mark.engines
BUY, SELL = 1, 2


@pytest.fixture
def days():
    return [date(2012, 3, day) for day in (5, 6, 7, 8, 9, 12, 13, 14)]


def at(day, hours=0.0):
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours)


def of_day(symbol, day):
    return Asked(symbol=symbol, first=at(day), last=at(day))


def recall(world, asked, now, status="recalled"):
    with psycopg.connect(world.url) as conn:
        return recall_bars(conn, asked, "a fat finger", now, status)


def test_new_session_on_a_recalled_bar_is_refused_until_a_correction_or_a_withdrawal(world, days):
    finished = world.run(name="before", costs=FREE)
    recall(world, of_day("AAA", days[2]), at(days[7], 23))
    with pytest.raises(
        RecalledDataError, match=r"^DATA_RECALLED: .*AAA 2012-03-07 of sample.*a fat finger.*--withdraw"
    ):
        world.run(name="after", costs=FREE)
    assert world.rows("select count(*) from trading.sessions") == [(1,)]
    assert world.run(name="before", costs=FREE).session_id == finished.session_id
    assert world.run(name="other", symbols=("BBB",), costs=FREE).status == "finished"
    recall(world, of_day("AAA", days[2]), at(days[7], 23), "withdrawn")
    assert world.run(name="after", costs=FREE).status == "finished"
    recall(world, of_day("AAA", days[2]), at(days[7], 23))
    world.bars.publish("AAA", days[2], known_at=at(days[7], 23), opening="10.95")
    assert world.run(name="last", costs=FREE).status == "finished"


def test_running_session_decides_nothing_on_a_bar_recalled_meanwhile(empty_world, days):
    world = empty_world
    world.script.actions = {(symbol, day): BUY for symbol in ("AAA", "BBB") for day in days[4:]}
    for place, day in enumerate(days):
        if place == 5:
            recall(world, of_day("AAA", days[2]), at(days[4], 23))
        for symbol in ("AAA", "BBB"):
            world.bars.publish(symbol, day)
        world.run(mode=Mode.PAPER, costs=FREE)
    denied = world.rows(
        "select symbol, (timestamp at time zone 'UTC')::date, reason_code, reason ->> 'bar' from trading.decisions"
        " where outcome = 'denied' order by 1, 2"
    )
    assert denied == [("AAA", day, "DATA_RECALLED", "2012-03-07") for day in days[5:]]


def test_recall_is_recorded_once_and_lists_how_it_stands(world, days):
    first = recall(world, of_day("AAA", days[2]), at(days[7], 23))
    again = recall(world, of_day("AAA", days[2]), at(days[7], 23))
    assert (first.changed, again.changed, again.already, again.watermark) == (1, 0, 1, None)
    world.bars.publish("AAA", days[2], known_at=at(days[7], 23), opening="10.95")
    recall(world, of_day("AAA", days[2]), at(days[7], 23))
    with psycopg.connect(world.url) as conn:
        listed = [(bar["symbol"], bar["open"], bar["status"], bar["reason"]) for bar in recalled_bars(conn)]
    assert listed == [
        ("AAA", Decimal("10.95"), "open", "a fat finger"),
        ("AAA", Decimal("11.00"), "lifted", "a fat finger"),
    ]
    for asked, words in ((Asked(batch=999), "no batch 999"), (Asked(symbol="ZZZ"), "bars of ZZZ")):
        with pytest.raises(InputError, match=words):
            recall(world, asked, at(days[7]))


def test_decisions_fills_and_open_positions_at_a_corrected_bar_are_named(world, days):
    world.script.actions = {("AAA", days[0]): BUY, ("BBB", days[0]): BUY, ("BBB", days[5]): SELL, ("AAA", days[3]): BUY}
    world.run(costs=FREE)
    with psycopg.connect(world.url) as conn:
        before = blast_radius(conn, Asked(symbol="AAA"))
    assert (before.reach.changes, before.decisions, before.fills) == ([], [], [])
    for symbol in ("AAA", "BBB"):
        # The bar at whose close both were decided on, and that at whose open both filled.
        world.bars.publish(symbol, days[0], known_at=at(days[7], 23), opening="9.99" if symbol == "AAA" else "49.99")
        world.bars.publish(symbol, days[1], known_at=at(days[7], 23), opening="10.49" if symbol == "AAA" else "50.39")
    with psycopg.connect(world.url) as conn:
        found = {symbol: blast_radius(conn, Asked(symbol=symbol)) for symbol in ("AAA", "BBB")}
    for symbol, radius in found.items():
        assert [(one.symbol, one.timestamp.date()) for one in radius.decisions] == [
            (symbol, days[0]),
            (symbol, days[1]),
        ]
        assert [(one.symbol, one.side) for one in radius.fills] == [(symbol, "buy")]
    assert [(one.symbol, one.quantity, one.session_status) for one in found["AAA"].positions] == [
        ("AAA", 490, "finished")
    ]
    assert found["BBB"].positions == []  # it was sold again: nothing that is held rests on that fill
    assert found["AAA"].counts()["open_positions"] == 1


def test_the_version_in_force_is_recalled_and_an_older_drop_lifts_nothing(empty_world, days):
    world = empty_world
    world.bars.publish("AAA", days[2], known_at=at(days[3], 12), opening="10.00")
    world.bars.publish("AAA", days[2], known_at=at(days[3]), opening="10.50")
    report = recall(world, of_day("AAA", days[2]), at(days[7], 23))
    assert (report.changed, report.superseded) == (1, 1)
    world.bars.publish("AAA", days[2], known_at=at(days[3], 6), opening="10.25")
    standing = "select open::text, status from raw.recalled_bars where symbol = 'AAA'"
    assert world.rows(standing) == [("10.000000", "open")]
    world.bars.publish("AAA", days[2], known_at=at(days[7], 23.5), opening="10.75")
    assert world.rows(standing) == [("10.000000", "lifted")]
