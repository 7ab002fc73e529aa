"""Series that a publication merely continues go a shorter way through features.advance: the same rows, to the bit."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from feature_store import definitions

pytestmark = pytest.mark.engines

FIRST = date(2020, 1, 1)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
EXTENDED = "marts.indicators_extended"
SAME = """
with a as (select * from {view} where definition = %s), b as (select * from {view} where definition = %s)
select count(*) from a full join b using (source, symbol, interval, timestamp, known_at, watermark)
where (to_jsonb(a) - '{{row_id,definition,row_hash}}'::text[])
    is distinct from (to_jsonb(b) - '{{row_id,definition,row_hash}}'::text[])
"""


@pytest.fixture
def both_ways(warehouse: Any) -> tuple[Any, str, str]:
    """A warehouse whose indicators are made twice: the short way where it goes, and the general way alone."""
    definitions.retire(warehouse.url, warehouse.active("features.daily"))
    return made_twice(warehouse, "marts.indicators")


@pytest.fixture
def extended_both_ways(extended_warehouse: Any) -> tuple[Any, str, str]:
    """The same of the second view of indicators."""
    return made_twice(extended_warehouse, EXTENDED)


def made_twice(w: Any, view: str) -> tuple[Any, str, str]:
    short = definitions.definition(w.url, w.active(view))
    seeds = ("seed_closes", "seed_bars", "seed_columns")
    parameters = {name: value for name, value in short.parameters.items() if name not in seeds}
    return w, short.definition, definitions.register(w.url, view, short.sql, parameters)


def bar(w: Any, symbol: str, day: date, rng: random.Random, known_at: datetime | None = None) -> Any:
    low, high = sorted(Decimal(rng.randint(2000, 9000)) / 100 for _ in range(2))
    return w.Bar(symbol, day, low, high + 1, low - 1, high, rng.randint(0, 10**6), known_at)


def heads(w: Any, definition: str) -> list[Any]:
    return w.all(
        "select source, symbol, timestamp, known_to, seed from features.heads where definition = %s order by 1, 2",
        definition,
    )


def publication(w: Any, rng: random.Random, day: date) -> tuple[list[Any], list[Any]]:
    """Return bars and splits of one delivery: mostly the next bars, now and then what continues nothing."""
    bars, splits = [], []
    now = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
    for symbol in SYMBOLS:
        kind = rng.choice(["next"] * 6 + ["several", "none", "revised", "late", "split", "future split", "gap"])
        if kind in ("next", "several"):
            bars += [bar(w, symbol, day - timedelta(days=n), rng) for n in range(3 if kind == "several" else 1)]
        elif kind == "gap" and day > FIRST + timedelta(days=90):
            bars.append(bar(w, symbol, day + timedelta(days=20), rng))
        elif kind in ("revised", "late"):
            bars.append(bar(w, symbol, FIRST + timedelta(days=rng.randint(0, 60)), rng, now))
        elif kind == "split":
            splits.append(w.Split(symbol, day - timedelta(days=rng.randint(0, 30)), Decimal(2), now))
        elif kind == "future split":
            splits.append(w.Split(symbol, day + timedelta(days=3), Decimal(3), now))
    return bars, splits


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_short_way_and_the_general_way_make_the_same_rows(both_ways: tuple[Any, str, str], seed: int) -> None:
    make_random_publications(*both_ways, "marts.indicators", seed)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
def test_both_ways_make_the_same_rows_of_the_second_view(extended_both_ways: tuple[Any, str, str], seed: int) -> None:
    make_random_publications(*extended_both_ways, EXTENDED, seed)


def make_random_publications(w: Any, short: str, general: str, view: str, seed: int) -> None:
    rng = random.Random(seed)
    for symbol in SYMBOLS[:3]:  # the last one begins later, in a small publication
        w.publish(
            "sample", [bar(w, symbol, FIRST + timedelta(days=n), rng) for n in range(0, 70, 1 + (symbol == "CCC"))]
        )
    w.advance()
    for step in range(25):
        w.publish("sample", *publication(w, rng, FIRST + timedelta(days=70 + 3 * step)))
        if rng.random() < 0.8:
            w.advance()
        if rng.random() < 0.2:
            w.conn.execute("delete from features.heads where symbol = %s", (rng.choice(SYMBOLS),))
    w.advance()
    assert w.one(f"select count(*) from {view} where definition = %s", short) > 300
    assert w.one(SAME.format(view=view), short, general) == 0
    stored = w.all(
        f"select definition, source, symbol, interval, timestamp, known_at, watermark, row_hash from {view}"
        " where definition = %s order by row_id desc limit 60", short,
    )  # fmt: skip
    for *asked, row_hash in stored:
        assert w.store.recompute(*asked).row_hash == row_hash.hex()
    stood = heads(w, short)
    w.conn.execute("delete from features.heads")
    make_heads(w, short, view)
    made_again = heads(w, short)
    assert stood
    assert [head for head in stood if head not in made_again] == []  # one that was lost comes with the next publication


def make_heads(w: Any, definition: str, view: str) -> None:
    series = w.one(
        "select array_agg(row(s.source, s.symbol, s.interval, 0, null, null, null)::features.segment)::text"
        f" from (select distinct source, symbol, interval from {view}) as s"
    )
    w.conn.execute("call features.make_heads(%s, %s::features.segment[], %s, 0)", (definition, series, 2**62))


def test_heads_stand_where_a_rebuild_of_them_stands(both_ways: tuple[Any, str, str]) -> None:
    w, short, general = both_ways
    rng = random.Random(4)
    w.publish("sample", [bar(w, s, FIRST + timedelta(days=n), rng) for s in SYMBOLS for n in range(30)])
    w.advance()
    for n in range(30, 60):  # the ring of closes fills up in between
        w.publish("sample", [bar(w, symbol, FIRST + timedelta(days=n), rng) for symbol in SYMBOLS])
        w.advance()
    stood = heads(w, short)
    assert [len(head[4]) for head in stood] == [70] * 4
    w.conn.execute("delete from features.heads")
    make_heads(w, short, "marts.indicators")
    assert heads(w, short) == stood
    assert heads(w, general) == []


def test_a_bar_that_continues_its_series_reads_no_history(both_ways: tuple[Any, str, str]) -> None:
    """Shown by taking the history away from it: only the head is left to go on from."""
    w, _, general = both_ways
    definitions.retire(w.url, general)
    rng = random.Random(5)
    days = [bar(w, "AAA", FIRST + timedelta(days=n), rng) for n in range(61)]
    w.publish("sample", days[:60])
    w.publish("whole", days)
    w.advance()
    w.conn.execute("alter table marts.indicators disable trigger user")
    w.conn.execute("delete from marts.indicators where source = 'sample'")
    w.publish("sample", days[60:])
    w.advance()
    made = w.all(
        "select volatility_20d, sma_50, state from marts.indicators where timestamp = %s order by source",
        FIRST + timedelta(days=60),
    )
    assert len(made) == 2
    assert made[0] == made[1]


def test_an_unchanged_function_is_checked_by_its_catalogue_row_and_a_changed_one_is_still_refused(
    both_ways: tuple[Any, str, str],
) -> None:
    import psycopg

    w, short, _ = both_ways
    rng = random.Random(6)
    w.publish("sample", [bar(w, "AAA", FIRST, rng)])
    w.advance()
    assert w.one("select count(*) from features.checked_functions where definition = %s", short) == 1
    w.conn.execute(
        w.one("select pg_get_functiondef('features.indicator_step_v2'::regproc)").replace("/ 14.0", "/ 14.5")
    )
    w.publish("sample", [bar(w, "AAA", FIRST + timedelta(days=1), rng)])
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="indicator_step_v2"):
        w.advance()
