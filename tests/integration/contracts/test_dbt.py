"""A row written past the gate: the table refuses it; without the table's constraints dbt does, before any mart."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from feature_store.build import DBT_PROJECT, dbt_build
from trading.contracts.ddl import conditions
from trading.contracts.load import contracts
from trading.errors import BuildError

pytestmark = pytest.mark.engines

BAR = {
    "source": "'files'",
    "symbol": "'IBM'",
    "interval": "'1d'",
    "timestamp": "'2024-05-31T00:00Z'",
    "open": "2",
    "high": "3",
    "low": "1",
    "close": "2",
    "volume": "0",
    "adjustment": "'raw'",
    "nominal_at": "'2024-05-31T20:15Z'",
    "known_at": "'2024-05-31T20:15Z'",
    "row_hash": "sha256('x')",
}
BROKEN = {
    "open_range": {"open": "0", "low": "0"},
    "low_range": {"low": "-1"},
    "close_range": {"close": "0", "low": "0"},
    "volume_range": {"volume": "-1"},
    "adjustment_range": {"adjustment": "'none'"},
    "row_hash_range": {"row_hash": "'x'"},
    "price_order": {"high": "1.5"},
    "finite": {"high": "'NaN'"},  # above every number for PostgreSQL; an infinity does not even fit the column
    "known_after_nominal": {"known_at": "'2024-05-31T20:14Z'"},
}


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("select raw.take_watermark('a test')")
        conn.execute(f"select raw.make_partitions('prices', array[{BAR['timestamp']}::timestamptz])")  # type: ignore[arg-type]
        conn.execute(
            "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name,"
            " rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)"
            " select 'prices', 'files', 'history', now(), 'k', repeat('0', 64), 'f.csv', 1, 1, 0, 0, 0, 'published',"
            " max(watermark), 't' from raw.watermarks"
        )
        yield conn


def _insert(conn: psycopg.Connection, **changed: str) -> None:
    values = BAR | changed
    conn.execute(
        f"insert into raw.price_bars ({', '.join(values)}, watermark, batch_id)"
        f" select {', '.join(values.values())}, watermark, batch_id from raw.ingestion_batches"
    )  # type: ignore[arg-type]


def test_every_condition_of_the_contract_has_its_broken_row() -> None:
    assert BROKEN.keys() == conditions(contracts()["prices"]).keys()


@pytest.mark.parametrize("condition", BROKEN)
def test_a_row_that_breaks_a_condition_is_refused_by_the_table(conn: psycopg.Connection, condition: str) -> None:
    with pytest.raises(errors.CheckViolation):
        _insert(conn, **BROKEN[condition])


@pytest.mark.parametrize("column", [name for name in BAR if name != "row_hash"])
def test_a_row_without_a_value_is_refused_by_the_table(conn: psycopg.Connection, column: str) -> None:
    # A row without its time has no partition, which PostgreSQL sees first.
    with pytest.raises(errors.CheckViolation if column == "timestamp" else errors.NotNullViolation):
        _insert(conn, **{column: "null"})


def test_without_the_tables_constraints_dbt_refuses_the_row_before_any_mart(
    conn: psycopg.Connection, database_url: str, tmp_path: Path
) -> None:
    def dbt(*arguments: str) -> Any:
        return dbt_build(database_url, arguments=arguments, target_path=tmp_path)

    _insert(conn)
    dbt("run", "--select", "+market_data")
    conn.execute("alter table raw.price_bars drop constraint price_bars_check, drop constraint price_bars_low_check")
    _insert(conn, symbol="'MSFT'", high="1", low="-1")
    with pytest.raises(BuildError, match="stg_price_bars_keeps_its_contract"):
        dbt("build", "--select", "+market_data", "indicators")
    assert conn.execute("select symbol from marts.market_data").fetchall() == [("IBM",)]
    assert conn.execute("select to_regclass('features.daily_rows'), count(*) from marts.indicators").fetchone() == (
        None,
        0,
    )

    with pytest.raises(BuildError, match="violates check constraint"):
        dbt("run", "--select", "+market_data")  # no tests at all
    assert conn.execute("select symbol from marts.market_data").fetchall() == [("IBM",)]


def test_a_staging_view_that_changes_a_type_or_drops_a_column_is_refused(database_url: str, tmp_path: Path) -> None:
    project = tmp_path / "dbt"
    shutil.copytree(DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    model = project / "models" / "staging" / "stg_news_items.sql"
    model.write_text(
        model.read_text().replace("        url,\n", "").replace("headline,", "headline::bytea as headline,")
    )
    with pytest.raises(BuildError, match="contract") as caught:
        dbt_build(database_url, arguments=("run", "--select", "stg_news_items"), project=project)
    output = "\n".join(caught.value.__notes__)
    assert re.search(r"headline .+mismatch", output)
    assert re.search(r"url .+missing in definition", output)
