"""A session that follows the bars as they come is woken by the commit of their features, and not before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from serving.trading_loop.session import Mode
from serving.trading_loop.waiting import follow_session
from trading.costs import FREE

pytestmark = pytest.mark.engines
BUY, SELL = 1, 2
DEFINITION = "d" * 64


@pytest.fixture
def world(empty_world):
    with psycopg.connect(empty_world.url) as conn:
        conn.execute(
            "insert into features.definitions (definition, view, sql, functions, columns, parameters, watermark)"
            " values (%s, 'features.daily', '', '[]', '{sentiment}', '{}', raw.take_watermark('test'))",
            (DEFINITION,),
        )
    empty_world.registry.card.feature_service["definition"] = DEFINITION
    return empty_world


@pytest.fixture
def days(world):
    return [row[0] for row in world.rows("select session_date from trading.calendar_sessions order by 1")]


def advance(world, *, tells: bool = True) -> None:
    """What `features.advance()` leaves when it has taken in everything so far; it tells nobody of no rows."""
    with psycopg.connect(world.url) as conn:
        conn.execute(
            "insert into features.advances (definition, source_watermark, watermark, row_count)"
            " select %s, raw.newest_watermark(), raw.take_watermark('test'), %s",
            (DEFINITION, int(tells)),
        )


class Follower:
    """A paper session in a thread, with every report that it told."""

    def __init__(self, world, period: float) -> None:
        self.world, self.period = world, period
        self.stop, self.reports, self.error = threading.Event(), [], None
        self.ended = None

    def run(self) -> None:
        terms = self.world.terms(mode=Mode.PAPER, costs=FREE)
        others = {"registry": self.world.registry, "anchors": self.world.shelf, "period": self.period}
        try:
            self.ended = follow_session(
                terms,
                self.world.settings(timeout_seconds=20),
                stops=self.stop.is_set,
                told=self.reports.append,
                **others,
            )
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def waits_for(self, holds) -> None:
        for _ in range(1500):
            if holds() or self.error:
                break
            time.sleep(0.02)
        assert self.error is None, self.error
        assert holds(), self.reports


@contextmanager
def following(world, period: float = 600) -> Iterator[Follower]:
    follower = Follower(world, period)
    thread = threading.Thread(target=follower.run, daemon=True)
    thread.start()
    try:
        follower.waits_for(lambda: follower.reports)
        yield follower
    finally:
        follower.stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_session_is_woken_by_the_features_of_its_bars_and_trades_to_its_end(world, days):
    world.script.actions = {("AAA", days[1]): BUY, ("AAA", days[4]): SELL}
    with following(world) as follower:
        for number, day in enumerate(days, start=1):
            for symbol in ("AAA", "BBB"):
                world.bars.publish(symbol, day)
            advance(world)
            follower.waits_for(lambda number=number: follower.reports[-1].decisions == 2 * number)
        follower.waits_for(lambda: follower.ended)
    assert (follower.ended.status, follower.ended.fills) == ("finished", 2)
    assert len(follower.reports) == 1 + len(days)  # a run for each bar, and the first one
    assert world.run(costs=FREE).equity_usd == follower.ended.equity_usd  # as a replay of the same bars
    watermarks = "select count(distinct watermark) from trading.decisions where session_id = %s"
    assert world.rows(watermarks, follower.ended.session_id) == [(8,)]


def test_bars_without_features_yet_are_not_decided_on_and_other_bars_wake_nobody(world, days):
    with following(world) as follower:
        for symbol in ("AAA", "BBB"):
            world.bars.publish(symbol, days[0])
        assert world.run(mode=Mode.PAPER, costs=FREE).decisions == 0  # whoever asks now
        advance(world)
        follower.waits_for(lambda: follower.reports[-1].decisions == 2)
        runs = len(follower.reports)
        advance(world)  # of something else: no bar of the session came
        time.sleep(0.3)
        assert len(follower.reports) == runs


def test_features_that_nobody_told_of_are_found_after_the_period(world, days):
    with following(world, period=0.05) as follower:
        for symbol in ("AAA", "BBB"):
            world.bars.publish(symbol, days[0])
        advance(world, tells=False)
        follower.waits_for(lambda: follower.reports[-1].decisions == 2)


def test_version_of_the_start_stays_whatever_is_promoted_meanwhile(world, days):
    with following(world) as follower:
        world.registry.version = "4"
        for symbol in ("AAA", "BBB"):
            world.bars.publish(symbol, days[0])
        advance(world)
        follower.waits_for(lambda: follower.reports[-1].decisions == 2)
    assert {one.session_id for one in follower.reports} == {follower.reports[0].session_id}
    assert follower.reports[-1].model_version == "3"
