"""A vendor in Dagster: months of it in one run, in its own pool, and the pool's limit."""

from __future__ import annotations

from datetime import date
from typing import Any

import dagster as dg
import psycopg
import pytest
from vendor_server import VendorServer, refusing
from yahoo_server import Listing, yahoo

from assets.vendors import VENDOR_ASSETS, last_day, pool_of, vendor_pools
from orchestration.definitions import defs
from orchestration.main_job import FIRST_KEY, LAST_KEY
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.sources.registry import VENDORS

DAYS = [date(2024, 4, 30), date(2024, 5, 31), date(2024, 6, 3), date(2024, 7, 1)]
LISTING = Listing([(day, 10.0, 11.5, 9.75, 11.25, 1000) for day in DAYS])
PRICES = next(one for one in VENDOR_ASSETS if one.key.path == ["vendor", "yfinance_prices"])


def test_each_vendor_has_an_asset_per_kind_in_its_own_pool_and_main_runs_none_of_them() -> None:
    assert {one.op.pool for one in VENDOR_ASSETS} == {pool_of(name) for name in VENDORS}
    assert PRICES.op.pool == "vendor_yfinance"
    steps = defs.resolve_job_def("main").graph.node_dict
    assert not {one.op.name for one in VENDOR_ASSETS} & steps.keys()


def test_every_pool_gets_one_run_at_a_time_unless_somebody_said_otherwise() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("vendor_alpaca", 3)
        with dg.build_sensor_context(instance=instance) as context:
            assert "vendor_yfinance" in str(vendor_pools(context).skip_message)
            assert vendor_pools(context).skip_message == "every pool has its limit"
        limits = {limit.name: limit.limit for limit in storage.get_pool_limits()}
    assert limits == {pool_of(name): 1 for name in VENDORS} | {"vendor_alpaca": 3, "warehouse": 1}


def test_a_month_ends_with_its_last_day() -> None:
    assert [last_day(month) for month in ("2024-02-01", "2023-02-01", "2024-12-01", "2024-04-01")] == [
        date(2024, 2, 29),
        date(2023, 2, 28),
        date(2024, 12, 31),
        date(2024, 4, 30),
    ]


@pytest.mark.engines
@pytest.mark.long
def test_a_backfill_over_months_is_one_run_that_goes_on_where_it_failed(
    database_url: str, object_store_settings: Any
) -> None:
    settings = object_store_settings
    store = ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)
    with VendorServer(yahoo(dict.fromkeys(("AAA", "BBB"), LISTING))) as server, dg.instance_for_test() as instance:

        def run() -> dg.ExecuteInProcessResult:
            return dg.materialize(
                [PRICES],
                instance=instance,
                tags={FIRST_KEY: "2024-05-01", LAST_KEY: "2024-06-01"},
                resources={
                    "warehouse": Warehouse(database_url),
                    "payloads": store,
                    "vendor_environment": {"TRADELOOM_YFINANCE_URL": server.url},
                },
                run_config={"ops": {PRICES.op.name: {"config": {"symbols": ["AAA", "BBB"]}}}},
                raise_on_error=False,
            )

        server.fail(None, refusing(403))
        assert not run().success
        assert [request.path[-3:] for request in server.requests] == ["AAA", "BBB"]
        done = run()
    assert done.success
    metadata = done.asset_materializations_for_node(PRICES.op.name)[0].metadata
    assert (metadata["pages"].value, metadata["pages_before"].value) == (1, 1)
    assert [request.path[-3:] for request in server.requests[2:]] == ["BBB"]
    with psycopg.connect(database_url) as conn:
        found = conn.execute(
            "select symbol, timestamp::date from raw.price_bars where source = 'yfinance' order by 1, 2"
        )
        assert found.fetchall() == [(symbol, day) for symbol in ("AAA", "BBB") for day in DAYS[1:3]]
        runs = conn.execute("select count(distinct dagster_run_id) from raw.ingestion_batches").fetchone()
        assert runs == (2,)
