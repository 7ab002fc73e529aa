"""An engine gone in the middle of the main job: one clear line, nothing half published, and a rerun completes."""

from __future__ import annotations

import errno
import json
import secrets
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from assets.evaluation import evaluation
from assets.ingestion import news_items, prices
from assets.promotion import promotion
from assets.scope import MarketScope
from assets.sentiment import news_scores, sentiment_head
from assets.training import training_set
from assets.warehouse import dbt_models
from infra.local.postgres import sqlalchemy_url
from orchestration.failures import clear_error, clear_errors
from trading.adapters.ingest import ingest
from trading.adapters.staging import Staging
from trading.errors import BuildError, DiskFullError, EngineUnavailableError, InputError, QualityError
from trading.evaluation.verdicts import VERDICT_TAG, Judged

pytestmark = [
    pytest.mark.engines,
    pytest.mark.filterwarnings("ignore:AssetExecutionContext.op is deprecated"),  # dagster-dbt's own use
]
RAW = ("raw.price_bars", "raw.ingestion_batches", "raw.quarantined_rows", "raw.session_quality", "trading.instruments")


class Registry:
    """Two versions, judged; goes away when the alias shall move, once."""

    def __init__(self, verdict: str = "") -> None:
        self.aliases = {"champion": "1", "challenger": "2"}
        self.verdict = verdict
        self.is_there = False

    def alias(self, name: str, alias: str) -> str:
        return self.aliases[alias]

    def versions(self, name: str) -> list[Any]:
        return [SimpleNamespace(version="2", tags={VERDICT_TAG: self.verdict}), SimpleNamespace(version="1", tags={})]

    def set_alias(self, name: str, alias: str, version: str) -> None:
        if not self.is_there:
            raise EngineUnavailableError("expected MLflow to answer, found no answer")
        self.aliases[alias] = version


def _raw(bench: Any) -> list[int]:
    return [bench.count(table) for table in RAW]


def test_the_object_store_gone_while_prices_come_in(bench: Any) -> None:
    before = _raw(bench)
    line = bench.fails(prices, kind=EngineUnavailableError, payloads=bench.dead_store)
    assert f"expected the object store at http://127.0.0.1:{bench.dead_port} to answer" in line
    assert _raw(bench) == before
    bench.run(prices)
    assert bench.count("raw.price_bars") == bench.bars


def test_postgres_cut_off_while_a_batch_is_published_is_tried_again(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, cut = Staging.insert_new, []

    def cut_off_once(staging: Staging, publishing: psycopg.Connection, *rest: Any) -> None:
        original(staging, publishing, *rest)
        if not cut:
            cut.append(publishing.info.backend_pid)
            with psycopg.connect(bench.url, autocommit=True) as conn:
                conn.execute("select pg_terminate_backend(%s)", cut)
            publishing.execute("select 1")

    monkeypatch.setattr(Staging, "insert_new", cut_off_once)
    result = bench.run(prices)
    assert len([event for event in result.all_events if event.is_step_up_for_retry]) == len(cut) == 1
    assert (bench.count("raw.price_bars"), bench.count("raw.ingestion_batches")) == (bench.bars, 1)


def test_postgres_gone_while_dbt_builds(bench: Any) -> None:
    line = bench.fails(dbt_models, kind=EngineUnavailableError, warehouse=bench.dead_warehouse, registry=Registry())
    assert line.startswith("expected PostgreSQL to answer, found: ")
    assert line.endswith("start it with `tradeloom up` and run again")


def test_postgres_cut_off_while_dbt_builds_leaves_no_half_model_and_a_rerun_completes(bench: Any) -> None:
    bench.ingest()
    with psycopg.connect(bench.url) as lock:
        lock.execute("lock table raw.sources in access exclusive mode")  # marts.market_data waits here
        cutter = threading.Thread(target=_cut_off_who_waits, args=(bench.url, lock))
        cutter.start()
        line = bench.fails(dbt_models, kind=BuildError, registry=Registry())
        cutter.join()
    assert line.startswith("dbt build failed: Failure in model market_data")
    assert "connection" in line
    with psycopg.connect(bench.url) as conn:
        assert conn.execute("select to_regclass('marts.market_data')").fetchone() == (None,)
    assert bench.count("marts.indicators") == bench.bars, "what does not rest on it is whole"
    bench.run(dbt_models, registry=Registry())
    assert bench.count("marts.indicators") == bench.count("marts.market_data") == bench.bars


def _cut_off_who_waits(url: str, lock: psycopg.Connection) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        waiting = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'relation'"
        while (found := conn.execute(waiting).fetchone()) is None:
            time.sleep(0.05)
        conn.execute("select pg_terminate_backend(%s)", found)
    lock.rollback()


@pytest.mark.parametrize("asset", [evaluation, promotion, news_scores, dbt_models], ids=lambda one: one.node_def.name)
def test_mlflow_gone_in_a_step(bench: Any, asset: Any) -> None:
    began = time.monotonic()
    line = bench.fails(asset, kind=EngineUnavailableError)
    assert time.monotonic() - began < 60, "MLflow's own patience is minutes, and a person waits"
    assert line.startswith(f"expected MLflow at http://127.0.0.1:{bench.dead_port} to answer for the alias champion of")
    tables = ("trading.promotions", "trading.backtests", "features.news_scores", "features.definitions")
    assert [bench.count(table) for table in tables] == [0, 0, 0, 0]


def test_mlflow_gone_between_the_ledger_and_the_alias_is_aligned_by_the_rerun(bench: Any) -> None:
    registry = Registry(Judged("1", "2", True, (), {}).to_tag())
    assert bench.fails(promotion, kind=EngineUnavailableError, registry=registry)
    assert (bench.count("trading.promotions"), registry.aliases["champion"]) == (1, "1")
    registry.is_there = True
    for _ in range(2):
        bench.run(promotion, registry=registry)
        assert (bench.count("trading.promotions"), registry.aliases["champion"]) == (1, "2")


def test_the_object_store_gone_while_the_head_is_trained_registers_nothing(bench: Any) -> None:
    line = bench.fails(sentiment_head, kind=EngineUnavailableError, payloads=bench.dead_store)
    assert f"object store at http://127.0.0.1:{bench.dead_port}" in line
    assert bench.count("trading.promotions") == 0


def test_postgres_gone_under_dagsters_own_storage_is_one_line(
    bench: Any, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster cannot even record how the step ended, and says so in pages of its own."""
    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", lambda **_: 0.0)  # else it waits for half a minute
    admin, name = make_conninfo(postgres_url, dbname="postgres"), f"dagster_{secrets.token_hex(4)}"
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(SQL("create database {}").format(Identifier(name)))

    @dg.asset
    def unlucky() -> None:
        with psycopg.connect(admin, autocommit=True) as conn:
            conn.execute(SQL("drop database {} with (force)").format(Identifier(name)))

    storage = {"postgres": {"postgres_url": sqlalchemy_url(postgres_url, name)}}
    (tmp_path / "dagster.yaml").write_text(json.dumps({"storage": storage, "telemetry": {"enabled": False}}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        line = bench.fails(unlucky, kind=EngineUnavailableError, instance=instance)
    assert line.startswith("expected PostgreSQL to answer Dagster, found: ")


def test_a_batch_of_bad_rows_fails_the_step_at_once(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    monkeypatch.setattr("assets.ingestion.ingest", lambda *a, **k: (tries.append(k["run_id"]), ingest(*a, **k))[1])
    file = bench.folder / "prices.csv"
    file.write_text(file.read_text().replace(".05,", ".05,-"))
    line = bench.fails(prices, kind=QualityError)
    assert len(tries) == 1, "another try cannot mend it"
    assert f"found 100% ({bench.bars} of {bench.bars}: negative_volume {bench.bars}); nothing was published" in line
    assert (bench.count("raw.price_bars"), bench.count("raw.quarantined_rows")) == (0, bench.bars)


def test_a_short_history_and_an_unknown_symbol_are_refused_before_training(bench: Any) -> None:
    file = bench.folder / "prices.csv"
    file.write_text("\n".join([*file.read_text().splitlines()[:201], ""]))
    bench.ingest()
    line = bench.fails(training_set, kind=InputError)
    assert line.startswith("expected at least 120 sessions to train, judge and replay, found 100")
    line = bench.fails(training_set, kind=InputError, scope=MarketScope(source="files", symbols=["AAA", "ZZZ"]))
    assert line == "expected bars of ZZZ from files, found none; ask for others"


def test_a_run_without_news_goes_on(bench: Any) -> None:
    scope = MarketScope(source="files", prices_file=str(bench.folder / "prices.csv"))
    assert bench.run(news_items, scope=scope).success
    assert bench.count("raw.ingestion_batches") == 0


def test_a_full_disk_is_one_line_and_mistakes_of_ours_pass_through() -> None:
    with pytest.raises(DiskFullError, match="found the disk full; free some and run again"), clear_errors():
        Path("/dev/full").write_text("a report")
    with pytest.raises(ZeroDivisionError), clear_errors():
        1 / 0  # noqa: B018
    assert clear_error(OSError(errno.EACCES, "denied")) is None
