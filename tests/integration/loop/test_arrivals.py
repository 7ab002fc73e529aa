"""Bars that come late, brokers that fall silent, and sessions that follow the world's clock."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from serving.trading_loop.loop import Counterparts, TradingLoop
from serving.trading_loop.session import Mode, SessionTerms, open_session
from trading.adapters.paper_broker import PaperBroker
from trading.adapters.postgres import connection
from trading.adapters.services import AnalystClient, OracleClient
from trading.costs import FREE
from trading.errors import EngineUnavailableError

pytestmark = pytest.mark.engines
BUY, SELL = 1, 2


@pytest.fixture
def days(empty_world):
    return [row[0] for row in empty_world.rows("select session_date from trading.calendar_sessions order by 1")]


def test_paper_session_follows_the_bars_as_they_come(empty_world, days):
    world = empty_world
    world.script.actions = {("AAA", days[1]): BUY, ("AAA", days[4]): SELL}
    for day in days:
        world.bars.publish("AAA", day)
        waiting = world.run(mode=Mode.PAPER, costs=FREE)
        assert waiting.status == "running"
        world.bars.publish("BBB", day)
        report = world.run(mode=Mode.PAPER, costs=FREE)
    assert (report.status, report.decisions, report.fills) == ("finished", 16, 2)
    replayed = world.run(costs=FREE)
    assert replayed.equity_usd == report.equity_usd
    watermarks = "select count(distinct watermark) from trading.decisions where session_id = %s"
    assert world.rows(watermarks, report.session_id) == [(8,)]
    assert world.rows(watermarks, replayed.session_id) == [(1,)]


def test_bar_that_comes_after_the_next_one_was_due_is_not_decided_on(empty_world, days):
    world = empty_world
    for day in days:
        world.bars.publish("BBB", day)
        late = day == days[2]
        world.bars.publish("AAA", day, known_at=_at(days[4], 22) if late else None)
    world.script.actions = {("AAA", days[1]): BUY, ("AAA", days[2]): SELL}
    report = world.run(costs=FREE)
    assert report.decisions == 15
    # the BUY of the second day could not fill at a bar that was not there yet: it fills at the next one that was
    assert [(row[0].date(), row[1]) for row in world.rows("select timestamp, open_usd from trading.fills")] == [
        (days[3], Decimal("10.80"))
    ]
    marked = "select payload::jsonb -> 'late' from trading.events where kind = 'BarMarked' and payload like %s"
    assert world.rows(marked, f"%{days[2]}%") == [(["AAA"],)]


def test_bar_that_comes_late_but_in_time_is_decided_when_it_came(empty_world, days):
    world = empty_world
    for day in days:
        world.bars.publish("BBB", day)
        world.bars.publish("AAA", day, known_at=_at(days[3], 16) if day == days[2] else None)
    world.script.actions = {("AAA", days[3]): BUY}  # the script answers by the date of the question's as_of
    world.run(costs=FREE)
    # known at 16:00 UTC of the next day, after its open: the order waits for the open after that
    fills = world.rows("select f.timestamp, d.timestamp from trading.fills as f join trading.order_intents using"
                       " (client_order_id) join trading.decisions as d using (decision_id)")  # fmt: skip
    assert [(fill.date(), decided.date()) for fill, decided in fills] == [(days[4], days[2])]


class SilentBroker(PaperBroker):
    """Takes every first submission and says nothing; the loop must find out what it has."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.heard: list[str] = []

    def submit(self, intent):
        """Take the order, then time out the first time."""
        order = super().submit(intent)
        self.heard.append(intent.client_order_id)
        if self.heard.count(intent.client_order_id) == 1:
            raise EngineUnavailableError("the broker did not answer in time")
        return order


def test_silence_of_the_broker_means_unknown_and_is_asked_about(world):
    days = [row[0] for row in world.rows("select session_date from trading.calendar_sessions order by 1")]
    world.script.actions = {("AAA", days[0]): BUY, ("BBB", days[0]): BUY}
    broker = _run_with_broker(world, SilentBroker)
    assert len(broker.heard) == 2  # each was sent once: asking showed that it had arrived
    assert world.rows("select status from trading.order_states") == [("filled",), ("filled",)]


class DeafBroker(PaperBroker):
    """Loses every first submission on the way."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.lost: set[str] = set()

    def submit(self, intent):
        """Lose the order the first time."""
        if intent.client_order_id not in self.lost:
            self.lost.add(intent.client_order_id)
            raise EngineUnavailableError("the broker did not answer in time")
        return super().submit(intent)


def test_order_that_never_arrived_is_sent_again_under_the_same_id(world):
    days = [row[0] for row in world.rows("select session_date from trading.calendar_sessions order by 1")]
    world.script.actions = {("AAA", days[0]): BUY}
    _run_with_broker(world, DeafBroker)
    assert world.rows("select status from trading.order_states") == [("filled",)]
    assert world.rows("select count(*) from trading.paper_orders") == [(1,)]


def test_two_processes_never_run_one_session_at_once(world):
    report = world.run()
    with connection(world.url) as conn:
        key = f"session:{report.session_id}"
        conn.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (key,))
        with pytest.raises(EngineUnavailableError, match="another process"):
            world.run()


def _run_with_broker(world, broker_class):
    terms = SessionTerms(
        "test",
        "sample",
        ("AAA", "BBB"),
        datetime(2012, 3, 5, tzinfo=UTC),
        datetime(2012, 3, 14, tzinfo=UTC),
        costs=FREE,
    )
    with ExitStack() as stack:
        conn, books = (stack.enter_context(connection(world.url)) for _ in range(2))
        conn.autocommit = books.autocommit = True
        oracle = stack.enter_context(OracleClient(world.services_url))
        analyst = stack.enter_context(AnalystClient(world.services_url))
        now = datetime(2026, 1, 1, tzinfo=UTC)
        session = open_session(conn, world.registry, terms, now=now, trace_id="test")
        broker = broker_class(books, FREE)
        TradingLoop(conn, session, Counterparts(oracle, analyst, broker, world.shelf), lambda: now, "test").run()
    return broker


def _at(day, hour):
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)
