"""A definition is for ever: changed SQL is a new one beside it, a changed function under an old name is refused."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from feature_store import definitions
from feature_store.build import DBT_PROJECT, dbt_build
from feature_store.services import service_of
from trading.errors import BuildError, InputError

pytestmark = pytest.mark.engines

DAYS = [date(2020, 1, 1) + timedelta(days=n) for n in range(60)]
IMAGE = "select definition, count(*), md5(string_agg(row_hash::text, '' order by row_id)) from {} group by 1 order by 1"


def bars(w: Any, days: list[date]) -> list[Any]:
    return [w.Bar("X", day, *(Decimal(100 + day.toordinal() % 7),) * 4, 10) for day in days]


def image(w: Any) -> list[Any]:
    """Return the rows of the versioned tables, per definition: their number and a digest of their identities."""
    return [(view, *row) for view in ("marts.indicators", "features.daily") for row in w.all(IMAGE.format(view))]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the dbt project that a test may change."""
    copy = tmp_path / "dbt"
    shutil.copytree(DBT_PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    return copy


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_building_again_and_full_refresh_leave_versions_unharmed(empty_warehouse: Any) -> None:
    w = empty_warehouse
    w.publish("sample", bars(w, DAYS))
    dbt_build(w.url)
    before, watermarks = image(w), w.one("select count(*) from raw.watermarks")
    assert [row[2] for row in before] == [60, 60]
    dbt_build(w.url, arguments=("build", "--full-refresh"))
    assert image(w) == before
    assert w.one("select count(*) from raw.watermarks") == watermarks
    assert w.one("select count(*) from marts.market_data") == 60


def test_a_changed_function_and_a_new_column_make_new_versions_beside_the_old(
    empty_warehouse: Any, project: Path
) -> None:
    w = empty_warehouse
    w.publish("sample", bars(w, DAYS[:50]))
    dbt_build(w.url, arguments=("run",), project=project)
    before = image(w)
    old = w.active("marts.indicators")
    old_row = w.store.row(w.store.newest_service("old"), "X", w.Bar("X", DAYS[49], *(Decimal(1),) * 4, 1).nominal_at)

    w.conn.execute("""
        create function features.doubled_v2(value double precision) returns double precision
        language sql immutable return 2.0::double precision * value""")
    change(
        project / "models/marts/indicators.sql",
        "as obv,",
        "as obv,\n        features.doubled_v2(close) as close_doubled,",
    )
    change(project / "models/features/daily.sql", "        obv,", "        obv,\n        close_doubled,")
    dbt_build(w.url, arguments=("run", "--full-refresh"), project=project)

    new = w.active("marts.indicators")
    assert new != old
    assert "features.doubled_v2(double precision)" in definitions.definition(w.url, new).functions
    assert [row for row in image(w) if row in before] == before
    service = service_of(definitions.definition(w.url, w.active("features.daily")), "new", ("close", "close_doubled"))
    assert (
        w.store.features(service, ["X"])["close_doubled"].iloc[-1]
        == 2 * w.store.features(service, ["X"])["close"].iloc[-1]
    )

    # Old and new are both kept up, and an old row is still computed again under its own definition.
    w.publish("sample", bars(w, DAYS[50:]))
    w.advance()
    assert {row[2] for row in image(w)} == {60}
    asked = (old_row.source, old_row.symbol, old_row.interval, old_row.timestamp, old_row.known_at, old_row.watermark)
    assert w.store.recompute(old_row.definition, *asked).row_hash == old_row.row_hash
    assert w.store.verify(w.store.by_id("features.daily", old_row.row_id))


def test_a_function_changed_under_its_name_is_refused(warehouse: Any) -> None:
    w = warehouse
    w.publish("sample", bars(w, DAYS[:3]))
    w.advance()
    w.publish("sample", bars(w, DAYS[3:5]))
    w.conn.execute("create or replace function features.as_timestamp(of_day date) returns timestamptz language sql immutable"
                   " return of_day::timestamp at time zone 'UTC'")  # fmt: skip
    changed = w.one("select pg_get_functiondef('features.indicator_step_v2'::regproc)").replace("/ 14.0", "/ 14.5")
    w.conn.execute(changed)
    with pytest.raises(
        psycopg.errors.IntegrityConstraintViolation, match=r"indicator_step_v2.*put the change into a new name"
    ):
        w.advance()
    assert w.one("select count(*) from marts.indicators") == 3


def test_the_scorer_is_part_of_the_daily_definition(empty_warehouse: Any) -> None:
    w = empty_warehouse
    w.publish("sample", bars(w, DAYS[:3]))
    dbt_build(w.url, arguments=("run", "--select", "indicators", "daily"))
    unscored = w.store.newest_service("daily")
    dbt_build(
        w.url, arguments=("run", "--select", "indicators", "daily"), variables={"scorer": "head", "scorer_version": "3"}
    )
    scored = w.store.newest_service("daily")
    assert (unscored.scorer, unscored.scorer_version) == ("none", "0")
    assert (scored.scorer, scored.scorer_version) == ("head", "3")
    assert unscored.definition != scored.definition
    assert w.one("select count(*) from marts.indicators") == 3
    assert w.one("select count(*) from features.daily") == 6
    # Going back to what was built before makes that definition the active one again and adds no row.
    dbt_build(w.url, arguments=("run", "--select", "indicators", "daily"))
    assert w.store.newest_service("daily") == unscored
    assert w.one("select count(*) from features.daily") == 6


def test_a_definition_does_not_know_the_database_it_was_built_in(empty_warehouse: Any, built_definitions: Any) -> None:
    w = empty_warehouse
    dbt_build(w.url, arguments=("run", "--select", "indicators"))
    name = w.one("select current_database()")
    text = definitions.definition(w.url, w.active("marts.indicators")).sql
    assert name not in text
    assert text == built_definitions[0][1]


def test_a_retired_definition_makes_no_rows_until_it_is_registered_again(warehouse: Any) -> None:
    w = warehouse
    daily = definitions.definition(w.url, w.active("features.daily"))
    w.publish("sample", bars(w, DAYS[:2]))
    w.advance()
    definitions.retire(w.url, daily.definition)
    w.publish("sample", bars(w, DAYS[2:5]))
    w.advance()
    assert w.one("select count(*) from features.daily") == 2
    with pytest.raises(InputError, match="run `tradeloom demo`"):
        w.active("features.daily")
    assert definitions.register(w.url, daily.view, daily.sql, daily.parameters) == daily.definition
    w.advance()
    assert w.one("select count(*) from features.daily") == 5


def test_a_feature_that_is_no_number_is_refused(warehouse: Any) -> None:
    text = definitions.definition(warehouse.url, warehouse.active("marts.indicators")).sql
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="not double precision"):
        definitions.register(warehouse.url, "marts.indicators", f"select *, 'x'::text as mood from ({text}) as given")


def test_a_failing_build_says_what_dbt_said(empty_warehouse: Any, project: Path) -> None:
    change(project / "models/marts/indicators.sql", "features.indicator_state_v2", "features.no_such_function")
    with pytest.raises(BuildError, match="no_such_function"):
        dbt_build(empty_warehouse.url, arguments=("run", "--select", "indicators"), project=project)


def test_a_large_delivery_is_never_derived_by_a_merge_join(warehouse: Any) -> None:
    """Its rows are not counted yet, and the plan that follows from that took hours at a million of them.

    That plan comes with hundreds of thousands of rows beside as many, too many for a test: `growth.py 1d` has them.
    """
    [(settings,)] = warehouse.all("select proconfig from pg_proc where oid = 'features.insert_made'::regproc")
    assert settings == ["enable_mergejoin=off"]
