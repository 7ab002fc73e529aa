"""A bad vendor file never reaches the marts, however many runs a backfill is made of.

Dagster lets what is downstream run although a blocking check upstream failed, when the two are in different runs of one
backfill (ranges in one run here, single months there). So the runs are launched here as such a backfill launches them,
the downstream one right after the failed one, and the marts are compared with the good lines of the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

import dagster as dg
import psycopg
import pytest

from assets.ingestion import GATE, PRICE_BARS, prices
from assets.warehouse import MARKET_DATA, dbt_models
from orchestration.main_job import FIRST_KEY, LAST_KEY
from trading.adapters.postgres import Warehouse

pytestmark = [
    pytest.mark.engines,
    pytest.mark.filterwarnings("ignore:AssetExecutionContext.op is deprecated"),  # dagster-dbt's own use
]
HEADER = "symbol,timestamp,open,high,low,close,volume"
GOOD = "20.00,23.00,19.00,22.50,1000"
# Each breaks another rule of the contract.
BAD = ["0,23.00,0,22.50,1000", "20.00,19.00,23.00,22.50,1000", "20.00,23.00,19.00,,1000", "20.00,23.00,19.00,22.50,-1"]
MARCH, APRIL, MAY = (
    [date(2023, month, day) for day in days]
    for month, days in ((3, range(6, 11)), (4, range(17, 22)), (5, [15, 16, 17, 18, 19]))
)
QUERIES = {
    "marts.market_data": "select symbol, timestamp::date, close from marts.market_data",
    "marts.indicators": "select symbol, timestamp::date, close::numeric from marts.indicators",
    "features.daily": "select symbol, timestamp::date, close::numeric from features.daily",
}


def _lines(days: Iterable[date], good: int, bad: list[str]) -> list[str]:
    """Of every day, `good` good bars and the bad ones, each of another symbol."""
    return [
        *(f"G{number},{day},{GOOD}" for day in days for number in range(good)),
        *(f"B{number},{day},{bar}" for day in days for number, bar in enumerate(bad)),
    ]


def _run(bench: Any, asset: Any, first: date, last: date | None = None, selection: Any = None) -> Any:
    """One run of a backfill: one month, or a range of months in one run."""
    month = f"{first:%Y-%m}-01"
    tags = {FIRST_KEY: month, LAST_KEY: f"{last:%Y-%m}-01"} if last else None
    resources = {"scope": bench.scope, "warehouse": Warehouse(bench.url), "payloads": bench.store, "registry": NoHead()}
    return dg.materialize(
        [asset],
        resources={name: one for name, one in resources.items() if name in asset.required_resource_keys},
        partition_key=month if asset.partitions_def and not last else None,
        tags=tags,
        selection=selection,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


class NoHead:
    """A registry whose sentiment head has scored nothing: every sentiment is 0."""

    def alias(self, name: str, alias: str) -> str:
        del name, alias
        return "1"


def _held(url: str) -> dict[str, set[Any]]:
    with psycopg.connect(url) as conn:
        conn.execute("set timezone to 'UTC'")
        return {table: set(conn.execute(query)) for table, query in QUERIES.items()}


def _good(days: Iterable[date], number: int) -> set[Any]:
    return {(f"G{n}", day, Decimal("22.5")) for day in days for n in range(number)}


def test_of_a_backfill_in_several_runs_only_good_rows_reach_the_marts(bench: Any) -> None:
    file = bench.folder / "prices.csv"
    march, april, may = _lines(MARCH, 19, [BAD[0]]), _lines(APRIL, 6, BAD), _lines(MAY, 20, BAD)
    file.write_text("\n".join([HEADER, *march, *april, *may, ""]))

    assert _run(bench, prices, MARCH[0]).success  # 5% bad: they are quarantined
    failed = _run(bench, prices, APRIL[0])  # 40% bad: nothing of it is published
    assert not failed.success
    assert _run(bench, dbt_models, APRIL[0]).success  # the trap: downstream runs all the same
    assert _held(bench.url) == dict.fromkeys(QUERIES, _good(MARCH, 19))
    with psycopg.connect(bench.url) as conn:
        statuses = conn.execute(
            "select status, rows_quarantined from raw.ingestion_batches order by batch_id"
        ).fetchall()
    assert statuses == [("published", 5), ("refused", 20)]

    ranged = _run(bench, prices, MARCH[0], MAY[0])  # March to May in one run: 45 of 245 rows bad
    (gate,) = [check for check in ranged.get_asset_check_evaluations() if check.asset_key == PRICE_BARS]
    assert (ranged.success, gate.check_name, gate.passed) == (True, GATE, False)
    assert _run(bench, dbt_models, MAY[0], selection=[MARKET_DATA]).success  # the others were made with the batch
    every_good_row = _good(MARCH, 19) | _good(APRIL, 6) | _good(MAY, 20)
    assert _held(bench.url) == dict.fromkeys(QUERIES, every_good_row)
    with psycopg.connect(bench.url) as conn:
        rules = {row[0] for row in conn.execute("select rule from raw.quarantined_rows")}
    assert rules == {"non_positive_price", "ohlc_order", "missing_value", "negative_volume"}
