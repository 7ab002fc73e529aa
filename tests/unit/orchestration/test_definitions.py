"""One graph from the vendor to the report, groups in flow order, and definitions that load without heavy imports."""

import subprocess
import sys

import dagster as dg
import pytest

from orchestration.definitions import defs

HEAVY = (
    "torch",
    "mlflow",
    "great_expectations",
    "langchain",
    "sklearn",
    "stable_baselines3",
    "matplotlib",
    "wordllama",
)
FLOW = ["vendors", "ingestion", "warehouse", "features", "training", "evaluation", "promotion", "trading", "reports"]


@pytest.fixture(scope="module")
def graph():
    return defs.resolve_asset_graph()


def key(*path: str) -> dg.AssetKey:
    return dg.AssetKey(list(path))


def ancestors(graph, of: dg.AssetKey) -> set[dg.AssetKey]:
    found, open_keys = set(), [of]
    while open_keys:
        for parent in graph.get(open_keys.pop()).parent_keys - found:
            found.add(parent)
            open_keys.append(parent)
    return found


def test_the_report_descends_from_both_vendors_through_every_station(graph):
    stations = {
        key("vendor", "prices"),
        key("vendor", "news"),
        key("raw", "price_bars"),
        key("raw", "news_items"),
        key("staging", "stg_price_bars"),
        key("marts", "indicators"),
        key("features", "news_scores"),
        key("features", "daily"),
        key("features", "training_set"),
        key("models", "trader_daily"),
        key("models", "trader_daily_baseline"),
        key("reports", "evaluation__trader_daily"),
        key("trading", "promotions"),
        key("trading", "decisions"),
        key("trading", "fills"),
        key("trading", "portfolio_snapshots"),
    }
    assert stations - ancestors(graph, key("reports", "main_job")) == set()


def test_every_asset_of_ours_is_in_a_group_of_the_flow(graph):
    astray = {
        one.to_user_string(): graph.get(one).group_name
        for one in graph.executable_asset_keys
        if graph.get(one).group_name not in FLOW
    }
    assert astray == {}


def test_no_asset_feeds_an_earlier_group(graph):
    backwards = [
        (parent.to_user_string(), one.to_user_string())
        for one in graph.executable_asset_keys
        for parent in graph.get(one).parent_keys
        if (before := graph.get(parent).group_name) in FLOW
        and FLOW.index(before) > FLOW.index(graph.get(one).group_name)
    ]
    # The scores of the news need their scorer: the one place where a feature follows from a model.
    assert backwards == [("models/sentiment_head", "features/news_scores")]


def test_ingestion_is_partitioned_by_month(graph):
    for name in ("price_bars", "corporate_actions", "news_items"):
        assert isinstance(graph.get(key("raw", name)).partitions_def, dg.MonthlyPartitionsDefinition)


def test_the_gate_and_completeness_show_as_checks(graph):
    checks = {(one.asset_key.to_user_string(), one.name) for one in graph.asset_check_keys}
    assert {
        ("raw/price_bars", "gate"),
        ("raw/news_items", "gate"),
        ("raw/corporate_actions", "gate"),
        ("raw/session_quality", "sessions_complete"),
        ("features/training_set", "leaks"),
    } <= checks


@pytest.mark.parametrize("job", ["main", "weekly_retraining"])
def test_every_job_that_trains_passes_the_leak_gate(job: str):
    assert "training_set_leaks" in {node.name for node in defs.resolve_job_def(job).nodes}


def test_each_job_but_main_has_a_schedule_and_the_daily_one_has_one_per_calendar_that_vendors_declare():
    assert {schedule.name for schedule in defs.schedules or []} == {
        "daily_update__XNYS",
        "daily_update__24_7",
        "weekly_retraining",
        "full_parity",
        "purge_event_log",
        "partitions_ahead",
    }


def test_loading_the_definitions_imports_nothing_heavy():
    code = f"import sys, orchestration.definitions; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().splitlines()[-1] == "[]"
