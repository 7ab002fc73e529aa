"""The newest row of each series is kept beside the rows, and the online read is what the rows alone answer."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from feature_store import definitions

pytestmark = pytest.mark.engines
FIRST = date(2020, 1, 6)
NEWEST_BY_HAND = """
select distinct on (definition, interval, symbol, source) * from features.daily
order by definition, interval, symbol, source, timestamp desc, known_at desc, watermark desc, row_id desc
"""
AS_OF_BY_HAND = """
select symbol, row_id from (
    select f.*, s.precedence, row_number() over (
        partition by f.symbol order by s.precedence, f.timestamp desc, f.known_at desc, f.watermark desc, f.row_id desc
    ) as place
    from features.daily as f join raw.sources as s using (source)
    where f.definition = %s and f.known_at <= %s and f.watermark <= %s
) as ranked where place = 1 order by symbol
"""


def publish_some(w: Any, pick: random.Random) -> None:
    """Bars of two sources and three symbols, on time, late or revised, some known long after."""
    source = pick.choice(["files", "sample"])
    bars = {}
    for _ in range(pick.randrange(1, 4)):
        symbol, day = pick.choice("ABC"), FIRST + timedelta(days=pick.randrange(6))
        close = Decimal(pick.randrange(900, 1100)) / 100
        known = datetime.fromisoformat(f"{day}T21:15:00+00:00") + timedelta(days=pick.choice([0, 0, 1, 5]))
        bars[symbol, day] = w.Bar(symbol, day, close, close + 1, close - 1, close, 10, known)
    w.publish(source, list(bars.values()))


def test_the_newest_rows_are_those_of_the_table_whatever_arrives_in_whatever_order(warehouse: Any) -> None:
    w, pick = warehouse, random.Random(5)
    service = w.store.newest_service("test")
    for step in range(25):
        publish_some(w, pick)
        if pick.random() < 0.7:
            w.advance()
        if step == 12:
            of = definitions.definition(w.url, service.definition)
            changed = of.sql.replace("        macd,\n", "        macd,\n        macd * 2 as macd_twice,\n", 1)
            assert changed != of.sql
            definitions.register(w.url, "features.daily", changed, of.parameters)
    w.advance()

    kept = w.all("select * from features.newest_daily order by definition, interval, symbol, source")
    assert len(kept) == 12
    assert kept == w.all(NEWEST_BY_HAND)

    watermarks = [row[0] for row in w.all("select distinct watermark from features.daily order by 1")]
    for _ in range(60):
        as_of = datetime(2020, 1, 5, tzinfo=UTC) + timedelta(hours=pick.randrange(300))
        watermark = pick.choice([*watermarks, None])
        told = w.store.latest(service, ["C", "A", "B", "nobody"], as_of, watermark)
        by_hand = w.all(AS_OF_BY_HAND, service.definition, as_of, 2**62 if watermark is None else watermark)
        assert sorted((row.symbol, row.row_id) for row in told) == by_hand


def test_a_few_days_are_found_by_key_by_a_session_that_planned_them_when_the_tables_were_empty(warehouse: Any) -> None:
    w = warehouse
    for step in range(3):
        if step == 2:  # the session has planned its statements by now, and goes on with a column more
            of = definitions.definition(w.url, w.store.newest_service("test").definition)
            changed = of.sql.replace("        macd,\n", "        macd,\n        macd * 2 as macd_twice,\n", 1)
            definitions.register(w.url, "features.daily", changed, of.parameters)
        days = {day: FIRST + timedelta(days=3 * step + day) for day in range(3)}
        w.publish("files", [w.Bar(symbol, day, *[Decimal(10)] * 4, 10) for symbol in "ABC" for day in days.values()])
        w.conn.execute("call features.advance()")

    assert w.all("select * from features.newest_daily order by definition, interval, symbol, source") == w.all(
        NEWEST_BY_HAND
    )
    prepared = w.one(
        "select name from pg_prepared_statements where name like 'tradeloom_daily_%%' order by prepare_time limit 1"
    )
    w.conn.execute("set plan_cache_mode = force_generic_plan")
    plan = "\n".join(line for (line,) in w.all(f"explain execute \"{prepared}\" ('{{1,2}}', 1, 1)"))
    # One row after the other, each in a subquery of its own. (Counted meanwhile, a table of one page may be read whole.)
    assert [line.strip() for line in plan.splitlines() if "Join" in line or "Hash" in line] == []
    assert plan.count("SubPlan") >= 4, plan
