"""What consumed a correction: literal days, and a brute-force oracle over random deliveries."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from feature_store import definitions
from feature_store.blast_radius import Reach, trace
from feature_store.blast_report import blast_radius
from trading.adapters.chart_bars import advance_charts
from trading.adapters.chart_rows import ChartSeries, set_active
from trading.adapters.recalls import Asked, open_recalls, recall_bars
from trading.chart_bars.chart import Chart

pytestmark = pytest.mark.engines

DAYS = [day for n in range(24) if (day := date(2024, 4, 1) + timedelta(days=n)).weekday() < 5]
LATER = datetime.fromisoformat("2024-06-03T12:00:00+00:00")


def bar(w: Any, place: int, close: str = "10", symbol: str = "AAA", volume: int = 500, **when: Any) -> Any:
    price = Decimal(close)
    # Each day moves, so that every recursive column takes the volume and the close in.
    price += Decimal(place % 3) / 10
    return w.Bar(symbol, DAYS[place], price, price + 1, price - 1, price, volume, **when)


def delivered(w: Any, bars: Sequence[Any] = (), splits: Sequence[Any] = ()) -> int:
    """Publish and derive, as ingestion does; return the batch."""
    w.publish("sample", bars, splits)
    w.advance()
    return int(w.one("select max(batch_id) from raw.ingestion_batches"))


def market(w: Any, places: Sequence[int] = range(8)) -> int:
    return delivered(w, [bar(w, place, symbol=symbol) for symbol in ("AAA", "BBB") for place in places])


def traced(w: Any, **asked: Any) -> Reach:
    with w.conn.transaction():
        return trace(w.conn, Asked(**asked))


def days_of(w: Any, reach: Reach, view: str = "marts.indicators") -> list[tuple[str, date]]:
    ids = [row for one in reach.rows if one.view == view for row in one.ids]
    return w.all(
        f"select symbol, (timestamp at time zone 'UTC')::date from {view} where row_id = any(%s) order by 1, 2, row_id",
        ids,
    )


def test_a_corrected_bar_reaches_every_row_of_its_series_from_its_day_on(warehouse: Any) -> None:
    w = warehouse
    market(w)
    batch = delivered(w, [bar(w, 3, volume=900, known_at=LATER)])
    reach = traced(w, batch=batch)
    assert [(one.why, one.symbol, one.key, one.detail) for one in reach.changes] == [
        ("corrected", "AAA", "2024-04-04", "volume 500 -> 900")
    ]
    for view in ("marts.indicators", "features.daily"):
        assert days_of(w, reach, view) == [("AAA", day) for day in DAYS[3:8]]
    assert [(one.rows, one.changed, one.series) for one in reach.rows] == [(5, 5, 1), (5, 5, 1)]


def test_what_changed_value_is_counted_apart(warehouse: Any) -> None:
    """A high moves nothing but itself and an average range that has no value in the first 14 days."""
    w = warehouse
    market(w)
    higher = bar(w, 3, known_at=LATER)
    batch = delivered(w, [w.Bar("AAA", DAYS[3], higher.open, higher.high + 1, higher.low, higher.close, 500, LATER)])
    assert [(one.rows, one.changed) for one in traced(w, batch=batch).rows] == [(5, 1), (5, 1)]


def test_a_corrected_bar_reaches_the_chart_bars_made_of_it(warehouse: Any) -> None:
    """Two days make a bar of the chart: the one of days 2 and 3, and the two after it, which the chart makes behind it."""
    w = warehouse
    market(w)
    with w.conn.transaction():
        chart = ChartSeries(Chart.of("tick", "2", "1d"), "sample", "AAA")
        set_active(w.conn, chart, w.one("select raw.take_watermark('test')"), is_active=True)
    advance_charts(w.url)
    batch = delivered(w, [bar(w, 3, close="12", known_at=LATER)])
    advance_charts(w.url)
    (reached,) = traced(w, batch=batch).charts
    assert (reached.chart_style, reached.fed, reached.symbol, reached.bars, reached.changed) == (
        "tick",
        "1d",
        "AAA",
        3,
        1,
    )
    assert reached.first_timestamp.date() == DAYS[2]
    assert traced(w, symbol="BBB").charts == []


def test_ten_eleven_ten_are_three_versions_and_a_correction_reaches_what_rested_on_the_one_before(
    warehouse: Any,
) -> None:
    w = warehouse
    market(w)
    first = delivered(w, [bar(w, 6, close="11", known_at=LATER)])
    second = delivered(w, [bar(w, 6, close="10", known_at=LATER + timedelta(days=1))])
    rested = traced(w, batch=second)
    assert [one.detail.rpartition(", ")[2] for one in rested.changes] == ["close 11 -> 10"]
    known = "select array_agg(known_at order by row_id) from marts.indicators where row_id = any(%s)"
    assert w.one(known, rested.rows[0].ids) == [LATER, LATER]
    assert rested.rows[0].changed == 2
    # The first correction's own batch was corrected in turn; of what rested on 10, nothing says something else now.
    both = traced(w, batch=first)
    assert (len(both.changes), both.rows[0].rows, both.rows[0].changed) == (2, 4, 2)


def test_the_first_print_of_an_earlier_publication_is_traced_though_an_older_drop_came_after_it(warehouse: Any) -> None:
    w = warehouse
    delivered(w, [bar(w, 0, close="10", known_at=LATER)])
    published = w.one("select max(watermark) from features.daily")
    delivered(w, [bar(w, 0, close="11")])  # known before it, published after it
    replaced = w.one("select max(watermark) from features.daily")
    batch = delivered(w, [bar(w, 0, close="12", known_at=LATER + timedelta(days=1))])
    assert [(one.first_watermark, one.last_watermark) for one in traced(w, batch=batch).series] == [
        (published, replaced - 1)
    ]


def test_a_late_bar_reaches_the_rows_made_without_it(warehouse: Any) -> None:
    w = warehouse
    market(w, [0, 1, 2, 4, 5])
    batch = delivered(w, [bar(w, 3, known_at=LATER)])
    reach = traced(w, batch=batch)
    assert [one.why for one in reach.changes] == ["late"]
    assert days_of(w, reach) == [("AAA", DAYS[4]), ("AAA", DAYS[5])]
    assert reach.superseded_bars == []


def test_a_late_split_reaches_the_raw_series_from_its_ex_date_on(warehouse: Any) -> None:
    w = warehouse
    market(w)
    batch = delivered(w, splits=[w.Split("AAA", DAYS[5], Decimal(2), LATER)])
    reach = traced(w, batch=batch)
    assert [(one.what, one.why, one.detail) for one in reach.changes] == [("split", "late", "split 2:1 came late")]
    assert days_of(w, reach) == [("AAA", day) for day in DAYS[5:8]]


def test_bars_that_come_on_time_reach_nothing(warehouse: Any) -> None:
    w = warehouse
    assert traced(w, batch=market(w)) == Reach()
    batch = delivered(w, [bar(w, 8), bar(w, 9)])
    assert traced(w, batch=batch) == Reach()
    with w.conn.transaction():
        assert blast_radius(w.conn, Asked(batch=batch)).lines() == [
            "nothing was corrected, late or recalled there: nothing consumed it"
        ]


def test_by_symbol_only_the_changes_of_its_days_are_asked_for(warehouse: Any) -> None:
    w = warehouse
    market(w)
    delivered(
        w, [bar(w, place, volume=900, symbol=symbol, known_at=LATER) for place in (2, 6) for symbol in ("AAA", "BBB")]
    )
    asked = {"symbol": "AAA", "first": w.Bar("AAA", DAYS[5], *[Decimal(1)] * 4, 1).nominal_at}
    assert days_of(w, traced(w, **asked)) == [("AAA", DAYS[6]), ("AAA", DAYS[7])]
    assert days_of(w, traced(w, symbol="BBB")) == [("BBB", day) for day in DAYS[2:8]]
    assert traced(w, symbol="AAA", source="files") == Reach()


def with_scored_news(w: Any) -> None:
    w.fill_calendar(date(2024, 3, 1), DAYS[-1] + timedelta(days=20))
    w.conn.execute(
        "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
        " is_draft, known_at, watermark, row_hash) values ('AAA', 'equity', 'XNYS', 'USD', 0.01, 1, 1, false,"
        " '1970-01-01Z', raw.take_watermark('t'), %s)",
        (secrets.token_bytes(32),),
    )
    text = definitions.definition(w.url, w.active("features.daily")).sql
    sql = text.replace("'none'", "'head'").replace("'0'", "'1'")
    definitions.register(w.url, "features.daily", sql, {"scorer": "head", "scorer_version": "1"})


def test_a_revised_headline_reaches_the_five_days_that_read_it(warehouse: Any) -> None:
    w = warehouse
    with_scored_news(w)
    morning = datetime.fromisoformat(f"{DAYS[2]}T14:00:00+00:00")
    w.score(w.publish_news("n1", "AAA", morning), 0.5)
    delivered(w, [bar(w, place) for place in range(10)])
    item = w.publish_news("n1", "AAA", morning, LATER)
    w.advance()
    reach = traced(w, batch=w.one("select batch_id from raw.news_items where item_id = %s", item))
    assert [(one.what, one.why, one.key) for one in reach.changes] == [("news", "corrected", "n1")]
    scored = w.active("features.daily")
    assert [(one.view, one.definition, one.rows, one.changed) for one in reach.rows] == [
        ("features.daily", scored, 5, 0)
    ]
    assert days_of(w, reach, "features.daily") == [("AAA", day) for day in DAYS[2:7]]


def test_a_back_dated_headline_reaches_the_days_made_without_it(warehouse: Any) -> None:
    w = warehouse
    with_scored_news(w)
    delivered(w, [bar(w, place) for place in range(10)])
    item = w.publish_news("n1", "AAA", datetime.fromisoformat(f"{DAYS[7]}T14:00:00+00:00"))
    w.score(item, 0.5)
    w.advance()
    reach = traced(w, symbol="AAA")
    assert [(one.what, one.why) for one in reach.changes] == [("news", "late")]
    assert [(one.rows, one.changed) for one in reach.rows] == [(3, 3)]


def frozen(w: Any, first: int, last: int, watermark: int | None = None) -> str:
    """Register a training set of AAA over these days, as assets/training.py does."""
    name = secrets.token_hex(32)
    w.conn.execute(
        "insert into features.snapshots (snapshot_id, object_key, sha256, view, definition, source, symbols,"
        " first_timestamp, last_timestamp, row_count, watermark) values (%s, 'k', %s, 'features.daily', %s, 'sample',"
        " '{AAA}', %s, %s, 1, coalesce(%s, raw.newest_watermark()))",
        (name, name, w.active("features.daily"), DAYS[first], DAYS[last], watermark),
    )
    return name


def test_training_sets_that_hold_first_prints_of_the_days_are_named_and_frozen_again_they_are_the_same(
    warehouse: Any,
) -> None:
    w = warehouse
    market(w)
    held, before = frozen(w, 0, 4), frozen(w, 0, 2)
    batch = delivered(w, [bar(w, 3, volume=900, known_at=LATER)])
    after = frozen(w, 0, 4)  # first prints again: it holds the superseded version too
    found = {one.snapshot_id: (one.rows, one.rows_differ) for one in traced(w, batch=batch).snapshots}
    assert found == {held: (2, 0), after: (2, 0)}
    assert before not in found


def test_history_put_in_front_changes_what_a_training_set_would_be(warehouse: Any) -> None:
    """Known at its own time, it belongs to the first print; what was frozen without it would be another set today."""
    w = warehouse
    market(w, range(2, 8))
    held = frozen(w, 2, 5)
    batch = delivered(w, [bar(w, 0), bar(w, 1)])
    found = {one.snapshot_id: (one.rows, one.rows_differ) for one in traced(w, batch=batch).snapshots}
    assert found == {held: (4, 4)}
    frozen(w, 2, 5)
    assert {one.snapshot_id for one in traced(w, batch=batch).snapshots} == {held}


def test_backtests_are_named_by_series_window_and_publication(warehouse: Any) -> None:
    w = warehouse
    market(w)
    for name, symbols, first, last in (
        ("read", "{AAA,BBB}", 4, 6),
        ("too early", "{AAA}", 0, 2),
        ("other", "{BBB}", 4, 6),
    ):
        w.conn.execute(
            "insert into trading.backtests (backtest_id, model_name, model_version, source, symbols, first_timestamp,"
            " last_timestamp, watermark, starting_cash, costs, metrics, created_at, trace_id) values"
            " (%s, 'm', '1', 'sample', %s, %s, %s, raw.newest_watermark(), 1, '{}', '{}', now(), 't')",
            (name, symbols, DAYS[first], DAYS[last]),
        )
    batch = delivered(w, [bar(w, 3, volume=900, known_at=LATER)])
    with w.conn.transaction():
        assert [one.backtest_id for one in blast_radius(w.conn, Asked(batch=batch)).backtests] == ["read"]


def test_a_recalled_bar_reaches_what_rests_on_it_until_a_correction_lifts_it(warehouse: Any) -> None:
    w = warehouse
    batch = market(w)
    day = w.one("select timestamp from raw.price_bars where symbol = 'AAA' order by timestamp offset 5 limit 1")
    with w.conn.transaction():
        report = recall_bars(w.conn, Asked(symbol="AAA", first=day, last=day), "a fat finger", LATER)
    assert (report.changed, report.already, report.superseded) == (1, 0, 0)
    reach = traced(w, batch=batch)
    assert [(one.why, one.key) for one in reach.changes] == [("recalled", str(DAYS[5]))]
    assert days_of(w, reach) == [("AAA", day) for day in DAYS[5:8]]
    assert [one.symbol for one in open_recalls(w.conn, "sample", ["AAA", "BBB"], "1d", day)] == ["AAA"]
    delivered(w, [bar(w, 5, volume=900, known_at=LATER + timedelta(days=1))])
    assert open_recalls(w.conn, "sample", ["AAA"], "1d", day) == []
    assert len(open_recalls(w.conn, "sample", ["AAA"], "1d", day, as_of=LATER)) == 1  # as it was known in between
    assert days_of(w, traced(w, batch=batch)) == [("AAA", day) for day in DAYS[5:8]]


def test_a_random_history_is_traced_as_brute_force_does(warehouse: Any) -> None:
    """The oracle takes each stored row's two numbers and picks the version in force of every bar by hand."""
    w, pick = warehouse, random.Random(7)
    published: list[tuple[int, int, date, datetime]] = []
    batches = []
    for serial in range(12):
        places = pick.sample(range(10), pick.randrange(1, 4))
        known = None if pick.random() < 0.4 else LATER + timedelta(days=pick.randrange(12))
        bars = [bar(w, place, volume=100 + serial, known_at=known) for place in places]
        batches.append(delivered(w, bars))
        watermark = w.one("select watermark from raw.ingestion_batches where batch_id = %s", batches[-1])
        published += [(batches[-1], watermark, one.day, one.known) for one in bars]
    rows = w.all(
        "select row_id, (timestamp at time zone 'UTC')::date, known_at, source_watermark from marts.indicators"
    )
    for batch in batches:
        with w.conn.transaction():
            reach = trace(w.conn, Asked(batch=batch))
            brought = {(one.timestamp.date(), one.watermark) for one in reach.changes if one.batch_id == batch}
        expected = {
            row for row, *seen in rows if any(rests(published, change, *seen) for change in changes(published, batch))
        }
        found = {row for one in reach.rows if one.view == "marts.indicators" for row in one.ids}
        assert found == expected, batch
        assert brought <= {(day, watermark) for number, watermark, day, _ in published if number == batch}


Version = tuple[int, int, date, datetime]


def changes(published: list[Version], batch: int) -> list[tuple[date, Version | None, Version]]:
    """Return (day, superseded, superseding) that a batch brought or later underwent."""
    found = []
    for new in published:
        earlier = [
            one for one in published if one[2] == new[2] and one[1] < new[1] and (one[3], one[1]) < (new[3], new[1])
        ]
        old = max(earlier, key=lambda one: (one[3], one[1]), default=None)
        there = any(one[1] < new[1] and one[2] > new[2] for one in published)
        if (old is not None or there) and batch in (new[0], old[0] if old else None):
            found.append((new[2], old, new))
    return found


def rests(
    published: list[Version],
    change: tuple[date, Version | None, Version],
    day: date,
    known_at: datetime,
    source_watermark: int,
) -> bool:
    at, old, _ = change
    if day < at:
        return False
    seen = [one for one in published if one[2] == at and one[3] <= known_at and one[1] <= source_watermark]
    return max(seen, key=lambda one: (one[3], one[1]), default=None) == old
