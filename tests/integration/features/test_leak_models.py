"""A dbt model of a user's, under the gate by one line of YAML: judged by what its inputs held at the time."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from feature_store.build import DBT_PROJECT
from feature_store.leaks.definitions import rolled_back
from feature_store.leaks.models import judge_model
from feature_store.leaks.project import Model, declared_models, model_named
from trading.errors import InputError

pytestmark = pytest.mark.engines

MODEL = """
{{{{ config(materialized='view') }}}}
with bars as (select * from {{{{ source('raw', 'price_bars') }}}})
select symbol, timestamp, known_at, {expression} as value from bars
"""
EXPRESSIONS = {
    "trailing": "avg(close) over (partition by symbol order by timestamp rows between 4 preceding and current row)",
    "peeking": "lead(close) over (partition by symbol order by timestamp)",
    "warming": "case when row_number() over (partition by symbol order by timestamp) > 19 then close"
    " when row_number() over (partition by symbol order by timestamp) > 16"
    " then lead(close, 3) over (partition by symbol order by timestamp) end",
    "pooled": "avg(close) over (partition by symbol)",
}


@pytest.fixture
def with_bars(empty_warehouse):
    day = date(2020, 1, 6)
    for n in range(60):
        price = Decimal(50 + n % 7)
        empty_warehouse.publish(
            "files", [empty_warehouse.Bar("AAA", day + timedelta(days=n), price, price + 1, price - 1, price, 9)]
        )
    return empty_warehouse


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copied = tmp_path / "dbt"
    shutil.copytree(DBT_PROJECT, copied, ignore=shutil.ignore_patterns("target", "logs"))
    for name, expression in EXPRESSIONS.items():
        (copied / "models" / "intermediate" / f"{name}.sql").write_text(MODEL.format(expression=expression))
    declared = [f"  - {{name: {name}, config: {{meta: {{leaks: {{decision_at: known_at}}}}}}}}" for name in EXPRESSIONS]
    (copied / "models" / "intermediate" / "mine.yml").write_text("\n".join(["version: 2", "models:", *declared, ""]))
    return copied


def test_models_that_declare_themselves_are_found_and_judged(with_bars, project: Path):
    models = declared_models(with_bars.url, {}, project)
    assert [model.name for model in models] == sorted(EXPRESSIONS)
    found = {}
    for model in models:
        with rolled_back(with_bars.url) as conn:
            found[model.name] = judge_model(conn, model)
    assert found["trailing"].passed, found["trailing"].sentences()
    assert found["trailing"].rows >= 50
    assert [(one.column, one.kind) for one in found["peeking"].findings] == [("value", "looks_ahead")]
    assert [(one.column, one.kind) for one in found["warming"].findings] == [("value", "looks_ahead")]
    assert [(one.column, one.kind) for one in found["pooled"].findings] == [("value", "whole_column")]
    assert found["pooled"].findings[0].difference is not None


def test_nothing_is_compiled_where_no_model_declares_itself(tmp_path: Path):
    (tmp_path / "models").mkdir()
    assert declared_models("", {}, tmp_path) == []


def test_a_model_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"expected a dbt model \(daily, .*found tea_leaves"):
        model_named("", "tea_leaves", {})


@pytest.mark.parametrize(
    ("sql", "leaks", "said"),
    [
        ("select 1", None, r"add to its YAML: config: \{meta: \{leaks"),
        ("select 1", {"kind": "tea"}, "expected the kind of mine to be one of"),
        ("select 1 as value", {}, "to give symbol, timestamp and known_at, found value"),
        ("select c.session_date as timestamp, 'A' as symbol, now() as known_at from trading.calendar_sessions as c", {},
         "expected trading.calendar_sessions, which mine reads, to have known_at"),
        ("select 'A' as symbol, b.timestamp, b.known_at, b.adjusted_close from features.adjusted_bars("
         "'files', 'A', '1d', 'infinity', 9999, 'back') as b", {},
         r"found the function features\.\w+\(.*\), which reads raw\.\w+"),
        ("select nothing", {}, "expected the SQL of mine to run"),
        ("select symbol, timestamp, known_at, close from raw.price_bars", {}, "expected rows of mine to judge, found none"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused_in_one_line(empty_warehouse, sql: str, leaks, said: str):
    with rolled_back(empty_warehouse.url) as conn, pytest.raises(InputError, match=said):
        judge_model(conn, Model("mine", "marts.mine", False, sql, {}, leaks))


FIRST_PRINTS = """(select distinct on (symbol, timestamp) symbol, timestamp, known_at, close, volume
    from raw.price_bars order by symbol, timestamp, known_at) as f"""
NEWEST = """(select n.{0} from raw.price_bars as n
    where n.symbol = f.symbol and n.timestamp = f.timestamp{1} order by n.known_at desc limit 1)"""
WEEK = "avg(close) over (partition by symbol order by timestamp rows between 4 preceding and current row)"
FACTOR = """(select exp(sum(ln(a.ratio))) from raw.corporate_actions as a
    where a.symbol = f.symbol and features.as_timestamp(a.ex_date) > f.timestamp)"""


@pytest.fixture
def with_revisions(empty_warehouse):
    """60 bars of two symbols; one volume and one close revised an hour later, long after a third of the way; a late bar; a split."""
    day, bar, late = date(2020, 1, 6), empty_warehouse.Bar, date(2020, 2, 24)
    for n in range(60):
        on, price = day + timedelta(days=n), Decimal(50 + n % 7)
        symbols = ["AAA"] if on == late else ["AAA", "BBB"]
        empty_warehouse.publish("files", [bar(name, on, price, price + 1, price - 1, price, 9) for name in symbols])
    for n, close, volume in ((22, 0, 8), (41, 1, 9)):
        on, price = day + timedelta(days=n), Decimal(50 + n % 7)
        known = datetime.combine(on, datetime.min.time(), UTC) + timedelta(hours=22)
        empty_warehouse.publish("files", [bar("AAA", on, price, price + 1, price - 1, price + close, volume, known)])
    price, known = Decimal(50), datetime(2020, 2, 26, 22, tzinfo=UTC)
    empty_warehouse.publish("files", [bar("BBB", late, price, price + 1, price - 1, price, 9, known)])
    empty_warehouse.publish(
        "files", splits=[empty_warehouse.Split("AAA", date(2020, 2, 20), Decimal(2), datetime(2020, 2, 20, tzinfo=UTC))]
    )
    return empty_warehouse


def judged(warehouse, text: str):
    with rolled_back(warehouse.url) as conn:
        return judge_model(conn, Model("mine", "marts.mine", False, text, {}, {"decision_at": "known_at"}))


@pytest.mark.parametrize(
    "text",
    [
        "select symbol, timestamp, known_at, close, volume from raw.price_bars",
        "select symbol, timestamp, known_at, watermark, close * 2 as doubled from raw.price_bars",
        f"select symbol, timestamp, known_at, 'now()' as value /* now() */ from {FIRST_PRINTS}",
        f"select symbol, timestamp, known_at, {NEWEST.format('close', ' and n.known_at <= f.known_at')} as value from {FIRST_PRINTS}",
        f"select symbol, timestamp, max(known_at) over (partition by symbol order by timestamp) as known_at, {WEEK} as value"
        f" from {FIRST_PRINTS}",
    ],
    ids=[
        "every version",
        "every version and its watermark",
        "a word in a text",
        "as of its decision",
        "known with its window",
    ],
)
def test_an_honest_model_of_rows_that_come_in_versions_passes(with_revisions, text: str):
    report = judged(with_revisions, text)
    assert report.passed, report.sentences()


@pytest.mark.parametrize(
    ("value", "kind", "day"),
    [
        (NEWEST.format("close", ""), "restatement", "2020-02-16"),
        (NEWEST.format("volume", ""), "restatement", "2020-01-28"),
        (WEEK, "late_bar", "2020-02-25"),
        (FACTOR, "actions", "2020-01-06"),
        ("extract(epoch from now() - timestamp)", "reads_the_clock", ""),
        ("close + random()", "not_repeatable", "2020-01-06"),
    ],
    ids=["newest close", "newest volume", "late bar", "later factor", "clock", "random"],
)
def test_what_a_model_leaks_is_found_wherever_it_happens_and_named_for_what_it_is(
    with_revisions, value: str, kind: str, day: str
):
    report = judged(with_revisions, f"select symbol, timestamp, known_at, {value} as value from {FIRST_PRINTS}")
    assert [(one.kind, one.timestamp[:10]) for one in report.findings] == [(kind, day)], report.sentences()


def test_a_model_with_two_rows_of_one_name_is_refused(with_revisions):
    text = "select symbol, timestamp, known_at, close from raw.price_bars cross join (values (1), (2)) as twice"
    with pytest.raises(InputError, match="expected one row of mine per symbol, timestamp, known_at, found 2 of AAA"):
        judged(with_revisions, text)
