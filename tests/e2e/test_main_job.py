"""`tradeloom demo` as a user runs it, from an empty state folder: all of it works, and a second run adds nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.local.endpoints import KEYS, VARIABLES, Endpoints
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.errors import RecalledDataError

TABLES = (
    "raw.price_bars",
    "raw.corporate_actions",
    "raw.news_items",
    "raw.ingestion_batches",
    "raw.quarantined_rows",
    "raw.session_quality",
    "raw.recalls",
    "raw.watermarks",
    "marts.market_data",
    "marts.indicators",
    "features.daily",
    "features.definitions",
    "features.news_scores",
    "features.news_embeddings",
    "features.snapshots",
    "trading.instruments",
    "trading.sessions",
    "trading.decisions",
    "trading.order_intents",
    "trading.orders",
    "trading.fills",
    "trading.postings",
    "trading.portfolio_snapshots",
    "trading.events",
    "trading.promotions",
    "trading.backtests",
)


class User:
    """A person at a terminal with one state folder and none of our variables set."""

    def __init__(self, home: Path) -> None:
        ours = {*VARIABLES.values(), *KEYS}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        self.environment = {**kept, "TRADELOOM_HOME": str(home)}

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run a command with --json and return its answer."""
        found: dict[str, Any] = json.loads(self.run(*arguments, "--json").stdout)
        return found

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command that must succeed."""
        command = [sys.executable, "-m", "orchestration.cli", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        return done

    def counts(self) -> dict[str, int]:
        """Return the rows of every table; the engines must run."""
        return {table: self.rows(f"select count(*) from {table}")[0][0] for table in TABLES}

    def rows(self, query: str) -> list[Any]:
        """Return the rows of a query."""
        with psycopg.connect(Endpoints.resolve(self.environment).postgres_url, options="-c timezone=UTC") as conn:
            return conn.execute(query).fetchall()

    def freezes_the_training_set(self) -> None:
        """Materialize the training set of the sample in this process."""
        import dagster as dg

        from assets.scope import MarketScope
        from assets.training import training_set
        from orchestration.failures import clear_errors

        found = Endpoints.resolve(self.environment)
        store = ObjectStore(found.s3_endpoint, found.s3_access_key, found.s3_secret_key, found.s3_bucket)
        resources = {"scope": MarketScope(), "warehouse": Warehouse(found.postgres_url), "payloads": store}
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with clear_errors():
            dg.materialize([training_set], resources=resources, run_config=quiet)

    def refused(self, *arguments: str) -> str:
        """Run a command that must end with exit code 1 and one line; return the line."""
        command = [sys.executable, "-m", "orchestration.cli", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr[-3000:]
        return done.stderr


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    home = Path(tempfile.mkdtemp(prefix="tl-demo-")).resolve()
    someone = User(home)
    # The engines stay up between the commands: a demo uses what runs.
    someone.run("up", "--detach", "postgres", "s3", "mlflow", "oracle", "analyst")
    try:
        yield someone
    finally:
        someone.run("down")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def first(user: User) -> dict[str, Any]:
    return user.json("demo")


def test_the_sample_comes_in_whole(first: dict[str, Any]):
    assert first["tables"]["raw.price_bars"] == 12_154
    assert first["tables"]["marts.indicators"] == first["tables"]["features.daily"] == 12_154
    assert first["tables"]["raw.news_items"] == first["tables"]["features.news_scores"] >= 300
    assert first["quarantine"] == []


def test_the_slot_has_a_champion_a_challenger_and_a_verdict(first: dict[str, Any]):
    aliases = {
        alias: model["version"]
        for model in first["models"]
        if model["name"] == "trader-daily"
        for alias in model["aliases"]
    }
    assert set(aliases) == {"champion", "challenger"}
    assert first["verdict"]["verdict"] in ("promoted", "refused")
    assert first["verdict"]["reason"]


def test_both_sessions_trade_the_same_bars_and_fill(first: dict[str, Any]):
    champion, challenger = sorted(first["sessions"], key=lambda one: one["name"] != "champion")
    assert (champion["first_timestamp"], champion["last_timestamp"]) == (
        challenger["first_timestamp"],
        challenger["last_timestamp"],
    )
    assert champion["status"] == challenger["status"] == "finished"
    assert champion["fills"] + challenger["fills"] >= 20


def test_the_report_is_one_file_with_the_plot_and_the_last_fill(first: dict[str, Any]):
    page = Path(first["report"]).read_text()
    assert "<svg" in page
    assert "Every link was resolved" in page
    assert not any(fetched in page for fetched in ("<script", "<link", "src=", "@import"))


def test_every_fill_explains_itself(user: User, first: dict[str, Any]):
    fills = user.json("explain", "fill", "--all")["fills"]
    assert len(fills) == first["tables"]["trading.fills"]
    assert [fill["fill_id"] for fill in fills if not fill["verified"]] == []


def test_every_decision_explains_itself(user: User, first: dict[str, Any]):
    decisions = user.json("explain", "decision", "--all")["decisions"]
    assert len(decisions) == first["tables"]["trading.decisions"]
    assert [one["decision_id"] for one in decisions if not one["verified"]] == []


def test_every_decision_replays_bit_for_bit(user: User, first: dict[str, Any]):
    decisions = user.json("replay", "decision", "--all")["decisions"]
    assert len(decisions) == first["tables"]["trading.decisions"]
    assert [one for one in decisions if not one["identical"]] == []
    assert {one["environment"] for one in decisions} == {"same"}


# IBM's session of 2012-09-13 and MSFT's of 2010-11-12 are what the demo's vendor revises.
RESTING = """
from features.daily as f where (f.symbol = 'IBM' and f.timestamp >= '2012-09-13' or f.symbol = 'MSFT' and f.timestamp >= '2010-11-12')
    and f.known_at < '2013-03-04 14:00Z'
"""


def test_a_revised_bar_names_all_that_rested_on_it(user: User, first: dict[str, Any]):
    found = user.json("blast-radius", "--batch", str(first["revision"]["batch"]))
    assert [(one["symbol"], one["key"], one["detail"]) for one in found["changes"]] == [
        ("IBM", "2012-09-13", "close 206.36 -> 206.63"),
        ("MSFT", "2010-11-12", "volume 64962200 -> 64962800"),
    ]
    daily = next(one for one in found["feature_rows"] if one["view"] == "features.daily")
    assert daily["ids"] == [row[0] for row in user.rows(f"select f.row_id {RESTING} order by 1")]
    decisions = user.rows(
        f"select decision_id from trading.decisions where feature_row_id in (select f.row_id {RESTING}) order by timestamp, 1"
    )
    assert [one["decision_id"] for one in found["decisions"]] == [row[0] for row in decisions]
    assert len(decisions) >= 500
    # MSFT's volume is read on one day of the training window only; IBM's close moves RSI and MACD to the end.
    assert {one["symbol"] for one in found["decisions"] if one["is_changed"]} == {"IBM"}
    fills = user.rows(
        f"select count(*) from trading.fills join trading.order_intents using (client_order_id) join trading.decisions as d"
        f" using (decision_id) where d.feature_row_id in (select f.row_id {RESTING})"
    )
    assert len(found["fills"]) == fills[0][0] > 0
    held = user.rows(
        "select session_id, symbol from trading.positions where quantity > 0 and symbol in ('IBM', 'MSFT')"
    )
    assert {(one["session_id"], one["symbol"]) for one in found["open_positions"]} <= set(held)
    resting = {(one["session_name"], one["symbol"]) for one in found["open_positions"]}
    assert {("champion", "IBM"), ("champion", "MSFT")} <= resting
    (snapshot,) = found["training_snapshots"]
    trained = [(one["name"], one["version"]) for one in found["model_versions"]]
    assert snapshot["rows_differ"] == 0
    assert trained == [("trader-daily", "2"), ("trader-daily-seeds", "1"), ("trader-daily-seeds", "2")]
    assert [one["to_version"] for one in found["promotions"]] == ["2"]
    assert {one["model_version"] for one in found["backtests"]} == {"1", "2"}


def test_a_rebuild_ran_what_derives_from_bars_and_trained_nothing(user: User, first: dict[str, Any]):
    rebuilt = first["revision"]["rebuilt"]
    assert set(rebuilt["assets"]) == {
        "staging/stg_price_bars",
        "intermediate/int_price_bars__newest",
        "intermediate/int_price_bars__adjusted",
        "marts/market_data",
        "marts/chart_bars",
        "marts/indicators",
        "marts/indicators_extended",
        "features/daily",
        "features/training_set",
    }
    assert rebuilt["months"] == {"raw/price_bars": ["2010-11", "2012-09"]}
    assert rebuilt["assets"]["marts/market_data"].startswith("changed")
    assert rebuilt["assets"]["features/training_set"].startswith("the same")
    assert user.rows("select close from marts.market_data where symbol = 'IBM' and timestamp = '2012-09-13'") == [
        (Decimal("206.630000"),)
    ]


def test_every_earlier_decision_still_replays_after_the_revision(first: dict[str, Any]):
    scene = first["revision"]
    assert scene["decisions"] == scene["decisions_identical"] == first["tables"]["trading.decisions"]


def test_a_second_run_adds_no_row_and_no_model(user: User, first: dict[str, Any]):
    before, models = user.counts(), user.json("models", "list")
    second = user.json("demo")
    assert user.counts() == before
    assert user.json("models", "list") == models
    assert second["last_fill"] == first["last_fill"]
    assert second["revision"]["counts"] == first["revision"]["counts"]


def test_recalled_bars_stop_training_until_the_recall_is_withdrawn(user: User, first: dict[str, Any]):
    which = ("--symbol", "AAPL", "--from", "2005-03-01", "--to", "2005-03-02")
    assert user.json("recall", *which, "--reason", "a test")["changed"] == 2
    found = user.json("blast-radius", *which)
    assert [(one["why"], one["key"]) for one in found["changes"]] == [
        ("recalled", "2005-03-01"),
        ("recalled", "2005-03-02"),
    ]
    assert found["counts"]["training_snapshots"] == 1
    assert {one["symbol"] for one in found["decisions"]} == {"AAPL"}
    with pytest.raises(RecalledDataError, match="DATA_RECALLED: expected a training set without recalled bars"):
        user.freezes_the_training_set()
    assert user.json("recall", *which, "--withdraw", "--reason", "over")["changed"] == 2
    assert [one["status"] for one in user.json("recall", "--list")["recalled"]].count("open") == 0
    assert user.json("blast-radius", *which)["changes"] == []
    assert "either --batch ID or --symbol S" in user.refused("blast-radius")
    assert "no batch 999" in user.refused("blast-radius", "--batch", "999")
