"""`tradeloom demo` as a user runs it, from an empty state folder: all of it works, and a second run adds nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.endpoints import KEYS, VARIABLES

TABLES = (
    "raw.price_bars",
    "raw.corporate_actions",
    "raw.news_items",
    "raw.ingestion_batches",
    "raw.quarantined_rows",
    "raw.session_quality",
    "raw.watermarks",
    "marts.market_data",
    "marts.indicators",
    "features.daily",
    "features.definitions",
    "features.news_scores",
    "features.news_embeddings",
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
        import psycopg

        from infra.local.endpoints import Endpoints

        with psycopg.connect(Endpoints.resolve(self.environment).postgres_url) as conn:
            return {table: conn.execute(f"select count(*) from {table}").fetchone()[0] for table in TABLES}


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


def test_a_second_run_adds_no_row_and_no_model(user: User, first: dict[str, Any]):
    before, models = user.counts(), user.json("models", "list")
    second = user.json("demo")
    assert user.counts() == before
    assert user.json("models", "list") == models
    assert second["last_fill"] == first["last_fill"]
