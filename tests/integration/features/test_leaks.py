"""The leak gate in SQL: what the platform makes passes, and a planted leak is named with its first row."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from click.testing import CliRunner

from feature_store import definitions
from feature_store.leaks.adjusted import judge_adjusted
from feature_store.leaks.definitions import judge_definition, rolled_back
from feature_store.leaks.subjects import compiled, registered
from feature_store.views import DAILY, INDICATORS
from orchestration.commands.leaks import leaks

pytestmark = pytest.mark.engines

FIRST = date(2020, 1, 6)
DAYS = [FIRST + timedelta(days=n) for n in range(170) if (FIRST + timedelta(days=n)).weekday() < 5][:110]


def bars_of(warehouse, symbol: str, seed: int):
    draw = np.random.default_rng(seed)
    closes = np.round(50 * np.exp(np.cumsum(draw.normal(0, 0.02, len(DAYS)))), 2)
    made = []
    for day, close in zip(DAYS, closes, strict=True):
        high, low = Decimal(str(close)) * Decimal("1.01"), Decimal(str(close)) * Decimal("0.99")
        made.append(warehouse.Bar(symbol, day, Decimal(str(close)), high, low, Decimal(str(close)), 1000 + day.day))
    return made


@pytest.fixture
def lived_in(warehouse):
    """Two symbols, a split, a revision, back-dated news with scores; everything advanced."""
    warehouse.fill_calendar(DAYS[0] - timedelta(days=10), DAYS[-1])
    made = {symbol: bars_of(warehouse, symbol, seed) for seed, symbol in enumerate(("AAA", "BBB"))}
    warehouse.publish("files", [*made["AAA"], *made["BBB"]])
    warehouse.advance()
    old = made["AAA"][40]
    revised = warehouse.Bar(
        "AAA", old.day, old.open, old.high, old.low, old.close - Decimal("0.1"), 5, made["AAA"][60].known
    )
    split = warehouse.Split("BBB", DAYS[70], Decimal(2), made["BBB"][69].known + timedelta(hours=3))
    warehouse.publish("files", [revised], [split])
    warehouse.advance()
    for number in range(0, 100, 9):
        bar = made["AAA"][number]
        late = bar.nominal_at + timedelta(days=6 * (number % 2))
        item = warehouse.publish_news(
            f"n{number}", "AAA", bar.nominal_at - timedelta(hours=4), max(late, bar.nominal_at)
        )
        warehouse.score(item, 0.5, "none", "0")
    warehouse.advance()
    return warehouse


def judged(warehouse, subject_of):
    with rolled_back(warehouse.url) as conn:
        return judge_definition(conn, subject_of(conn))


def planted(warehouse, old: str, new: str, view: str = INDICATORS):
    """Register the project's definition with one expression changed, and build it."""
    whole = definitions.definition(warehouse.url, warehouse.active(view))
    assert old in whole.sql
    parameters = {key: value for key, value in whole.parameters.items() if key != "indicators"}
    name = definitions.register(warehouse.url, view, whole.sql.replace(old, new, 1), parameters)
    warehouse.advance()
    return judged(warehouse, lambda conn: registered(conn, name))


def test_what_the_platform_makes_has_no_leak(lived_in):
    for view in (INDICATORS, DAILY):
        report = judged(lived_in, lambda conn, view=view: registered(conn, lived_in.active(view)))
        assert report.passed, report.sentences()
        assert report.rows > 80
        assert report.moments >= 2
        assert "close" in report.columns


def test_adjusted_series_have_no_leak(lived_in):
    with rolled_back(lived_in.url) as conn:
        reports = judge_adjusted(conn)
    assert {report.name for report in reports} == {
        f"features.adjusted_bars {method}" for method in ("forward", "back", "total_return")
    }
    assert all(report.passed for report in reports), [report.sentences() for report in reports]


def test_prices_that_came_adjusted_have_no_total_return_to_judge(warehouse):
    warehouse.fill_calendar(DAYS[0] - timedelta(days=10), DAYS[-1])
    warehouse.publish("files", bars_of(warehouse, "AAA", 1), adjustment="split")
    warehouse.publish("files", bars_of(warehouse, "BBB", 2))
    with rolled_back(warehouse.url) as conn:
        judged = {report.name.split()[1]: (report.rows, report.passed) for report in judge_adjusted(conn)}
    both, one = judged["forward"][0], judged["total_return"][0]
    assert judged == {"forward": (both, True), "back": (both, True), "total_return": (one, True)}
    assert 0 < one < both


def test_the_gate_leaves_nothing_behind(lived_in):
    def counts():
        return [
            lived_in.one(f"select count(*) from {table}")
            for table in (
                "raw.price_bars",
                "raw.corporate_actions",
                "raw.news_items",
                "raw.watermarks",
                "features.news_scores",
            )
        ]

    before = counts()
    judged(lived_in, lambda conn: registered(conn, lived_in.active(DAILY)))
    assert counts() == before


NEWEST_VOLUME = (
    "(select b.volume::double precision from raw.price_bars as b where b.symbol = stepped.symbol and b.source = stepped.source"
    " and b.timestamp = stepped.timestamp order by b.known_at desc limit 1) as obv"
)
LEAKS = [
    ("a mean of all time", "avg(close) over (partition by source, symbol, interval) as obv", "whole_column"),
    (
        "the next close",
        "lead(close) over (partition by source, symbol, interval order by timestamp) as obv",
        "looks_ahead",
    ),
    (
        "a warm-up filled from behind",
        "case when row_number() over (partition by source, symbol, interval order by timestamp) > 19 then close"
        " when row_number() over (partition by source, symbol, interval order by timestamp) > 16"
        " then lead(close, 3) over (partition by source, symbol, interval order by timestamp) end as obv",
        "looks_ahead",
    ),
    ("the newest version of each bar", NEWEST_VOLUME, "restatement"),
]


@pytest.mark.parametrize(("planted_as", "kind"), [leak[1:] for leak in LEAKS], ids=[leak[0] for leak in LEAKS])
def test_a_leak_in_an_indicator_definition_is_named(lived_in, planted_as: str, kind: str):
    report = planted(lived_in, "state[11] as obv", planted_as)
    found = {finding.column: finding for finding in report.findings}
    assert found.keys() == {"obv"}
    assert found["obv"].kind == kind
    assert found["obv"].symbol in ("AAA", "BBB")
    assert found["obv"].timestamp.startswith("2020-")


def test_a_leak_through_a_function_of_an_indicator_definition_is_named(lived_in):
    lived_in.conn.execute(
        "create function features.newest_volume(of_source text, of_symbol text, at_time timestamptz) returns double precision"
        " language sql stable return (select b.volume::double precision from raw.price_bars as b where b.symbol = of_symbol"
        " and b.source = of_source and b.timestamp = at_time order by b.known_at desc limit 1)"
    )
    report = planted(lived_in, "state[11] as obv", "features.newest_volume(source, symbol, timestamp) as obv")
    assert {finding.column: finding.kind for finding in report.findings} == {"obv": "restatement"}


def test_news_that_is_read_by_its_publication_is_named(lived_in):
    report = planted(
        lived_in,
        "from scored",
        "from (select s.*, (select avg(z.score) from raw.news_items as n join features.news_scores as z using (item_id)"
        " where n.symbols @> array[s.symbol] and n.published_at <= s.decision_at and z.watermark <= s.up_to) as later"
        " from scored as s) as scored",
        DAILY,
    )
    assert report.passed  # read, but not yet given
    report = planted_column(lived_in)
    assert {finding.column: finding.kind for finding in report.findings}["sentiment"] == "news"


def planted_column(warehouse):
    whole = definitions.definition(warehouse.url, warehouse.active(DAILY))
    parameters = {key: value for key, value in whole.parameters.items() if key != "indicators"}
    sql = whole.sql.replace("sentiment\n    from", "coalesce(later, 0) as sentiment\n    from")
    assert sql != whole.sql
    name = definitions.register(warehouse.url, DAILY, sql, parameters)
    warehouse.advance()
    return judged(warehouse, lambda conn: registered(conn, name))


def test_a_table_that_keeps_no_versions_is_named(lived_in):
    lived_in.conn.execute("create table marts.sectors as select 'AAA' as symbol, 1.0::double precision as weight")
    report = planted(lived_in, "state[11] as obv", "(select max(w.weight) from marts.sectors as w) as obv")
    assert [(finding.kind, finding.before) for finding in report.findings] == [("current_only", "marts.sectors")]


def test_sql_that_was_never_built_is_judged_by_the_true_future(lived_in):
    whole = definitions.definition(lived_in.url, lived_in.active(INDICATORS))
    leaky = whole.sql.replace("state[11] as obv", "max(close) over (partition by source, symbol, interval) as obv")
    same = "/* never built */ " + whole.sql
    assert judged(lived_in, lambda conn: compiled(conn, INDICATORS, same, {})).passed
    report = judged(lived_in, lambda conn: compiled(conn, INDICATORS, leaky, {}))
    assert [finding.column for finding in report.findings] == ["obv"]
    assert report.findings[0].difference is not None


def test_the_command_judges_a_model_as_its_file_is_now(lived_in, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", lived_in.url)
    done = CliRunner().invoke(leaks, ["check", "dbt/models/features/daily.sql", "--json"])
    assert done.exit_code == 0, done.output + str(done.exception)
    (report,) = json.loads(done.output)["reports"]
    assert (report["name"], report["passed"]) == ("features.daily", True)
    assert "sentiment" in report["columns"]
    assert report["rows"] > 80
