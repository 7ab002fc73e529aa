"""The gate before training: a verdict by definition and snapshot, and no training on what leaks."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import dagster as dg
import numpy as np
import pytest

from assets import leaks, training
from assets.scope import MarketScope
from feature_store import definitions
from feature_store.leaks.gate import refuse_leaks, verdict_on
from feature_store.services import newest_service
from feature_store.views import DAILY, INDICATORS
from orchestration.failures import clear_errors
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.errors import LeakError

pytestmark = pytest.mark.engines

DAYS = [day for n in range(200) if (day := date(2020, 1, 6) + timedelta(days=n)).weekday() < 5][:130]


@pytest.fixture
def filled(warehouse):
    warehouse.fill_calendar(DAYS[0] - timedelta(days=10), DAYS[-1])
    bars = []
    for seed, symbol in enumerate(("AAA", "BBB")):
        draw = np.random.default_rng(seed)
        closes = np.round(50 * np.exp(np.cumsum(draw.normal(0, 0.02, len(DAYS)))), 2)
        for day, close in zip(DAYS, closes, strict=True):
            price = Decimal(str(close))
            bars.append(warehouse.Bar(symbol, day, price, price + 1, price - 1, price, 1000 + day.day))
    warehouse.publish("files", bars)
    warehouse.advance()
    return warehouse


def plant(warehouse) -> None:
    """Make the next close a feature: MACD is what the learner reads."""
    indicators = definitions.definition(warehouse.url, warehouse.active(INDICATORS))
    daily = definitions.definition(warehouse.url, warehouse.active(DAILY))
    leaky = indicators.sql.replace(
        "state[6] - state[5] end as macd,",
        "lead(close, 1, close) over (partition by source, symbol, interval order by timestamp) end as macd,",
    )
    assert leaky != indicators.sql
    definitions.register(warehouse.url, INDICATORS, leaky, dict(indicators.parameters))
    kept = {key: value for key, value in daily.parameters.items() if key != "indicators"}
    definitions.register(warehouse.url, DAILY, daily.sql, kept)
    warehouse.advance()


def verdict(warehouse, snapshot: str):
    return verdict_on(warehouse.url, newest_service(warehouse.url, "trader-daily"), "files", ["AAA", "BBB"], snapshot)


def run(warehouse, object_store_settings, *chosen) -> dg.ExecuteInProcessResult:
    made = object_store_settings
    resources = {
        "scope": MarketScope(source="files"),
        "warehouse": Warehouse(warehouse.url),
        "payloads": ObjectStore(made.endpoint, made.access_key, made.secret_key, made.bucket),
        "registry": "not reached",
    }
    with clear_errors():
        return dg.materialize(list(chosen), resources=resources)


def test_a_clean_training_set_passes_the_check_once_and_the_verdict_is_kept(filled, object_store_settings):
    result = run(filled, object_store_settings, training.training_set, leaks.training_set_leaks)
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.blocking) == ("leaks", True, True)
    assert "no leak in" in check.metadata["summary"].value
    again = verdict(filled, check.metadata["snapshot_id"].value)
    assert not again.is_new
    assert {report["kind"] for report in again.reports} == {"definition", "series", "normalisation", "label"}
    refuse_leaks(again)


def test_a_leak_blocks_training_with_and_without_the_check(filled, object_store_settings):
    """A blocking check does not stop another run: so the learner asks, and judges where nobody did."""
    plant(filled)
    with pytest.raises(LeakError, match=r"found: marts\.indicators leaks: macd of (AAA|BBB) at 2020-"):
        run(filled, object_store_settings, training.trader_daily)
    with pytest.raises(LeakError, match=r"^marts\.indicators leaks: macd of "):
        run(filled, object_store_settings, training.training_set, leaks.training_set_leaks, training.trader_daily)
    kept = filled.all("select passed, count(*) from features.leak_verdicts group by passed")
    assert kept == [(False, 1)]
