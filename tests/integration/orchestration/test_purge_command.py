"""`tradeloom purge` as a user runs it: nothing without --delete, what is referred to stays, and each says so."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from infra.local.postgres import database_url as url_of
from infra.local.sizes import measure
from orchestration.cli import tradeloom
from orchestration.commands.purge import purge
from trading.adapters.postgres import connection
from trading.adapters.registry import ModelRegistry
from trading.adapters.served_models import ServedModel, ServedModelIds
from trading.adapters.served_predictions import PredictionLog, ServedPrediction
from trading.adapters.served_scores import ServedScores, record_scores
from trading.errors import EngineUnavailableError
from trading.learners.model_card import ModelCard
from trading.strategy import BuyAndHold

NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=100)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of this process, to be changed by the test and by the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRADELOOM_")}
    changed = kept | {"TRADELOOM_HOME": str(tmp_path)}
    monkeypatch.setattr(os, "environ", changed)
    return changed


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(purge, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


# Recorded answers.


class Answers:
    """Answers of the services, as they record them, and words of parity on them."""

    def __init__(self, url: str) -> None:
        self.url, self.model = url, ServedModel("rule", "1", "a" * 64, {})

    def connect(self) -> Any:
        return connection(self.url)

    def predicted(self, *given: tuple[datetime, str]) -> None:
        """Record answers of /predict by when they were given, under which trace; numbered from 1."""
        rows = [ServedPrediction(self.model, [1.0] * 5, 0, 0.5, trace, at) for at, trace in given]
        PredictionLog(self.connect, ServedModelIds(self.connect)).write(rows)

    def scored(self, at: datetime) -> None:
        row = ServedScores(self.model, "head", [b"up"], [0.5], ["positive"], "t", at)
        record_scores(self.connect, ServedModelIds(self.connect), row)

    def say(self, kind: str, first: int, last: int, outcome: str) -> None:
        """Record one run of parity with one word on these answers."""
        cause = ("answer_differs", "otherwise") if outcome == "differs" else (None, None)
        with self.connect() as conn:
            parity = conn.execute(_PARITY).fetchone()[0]
            conn.execute(
                "insert into trading.parity_spans values (%s, %s, %s, %s, %s, %s, %s, %s)",
                (parity, kind, first, last, outcome, last - first + 1, *cause),
            )

    def left(self, table: str = "served_predictions") -> list[int]:
        with self.connect() as conn:
            rows = conn.execute(f"select served_id from trading.{table} order by 1").fetchall()
        return [one for (one,) in rows]


_PARITY = """
insert into trading.parity_runs (mode, environment, environment_facts, checked, identical, elsewhere, differing,
    served_in_all, identical_in_all, causes, seconds, trace_id)
values ('new', repeat('e', 64), '{}', 0, 0, 0, 0, 0, 0, '{}', 0, 'none')
returning parity_id
"""
_DECISION = """
insert into trading.decisions (decision_id, session_id, symbol, timestamp, as_of, watermark, decided_at, source, bar_id,
    bar_row_hash, model_name, model_version, weights_sha256, price_usd, position_quantity, cash_usd, equity_usd, outcome,
    reason_code, trace_id, row_hash)
values ('d', 's', 'A', now(), now(), 1, now(), 'files', 1, sha256('b'), 'rule', '1', 'a', 1, 0, 1, 1, 'denied', 'TEST',
    'of a decision', sha256('d'))
"""


@pytest.fixture
def answers(database_url: str, environment: dict[str, str]) -> Answers:
    environment["TRADELOOM_POSTGRES_URL"] = database_url
    return Answers(database_url)


@pytest.mark.engines
def test_old_answers_go_once_parity_has_made_them_again(answers: Answers) -> None:
    answers.predicted(*[(OLD, "t")] * 8, (NOW, "t"), (OLD, "t"))
    answers.scored(OLD)
    answers.say("prediction", 1, 4, "differs")
    answers.say("prediction", 4, 7, "identical")  # 4 was mended
    answers.say("prediction", 9, 9, "identical")  # young
    answers.say("score", 1, 1, "elsewhere")
    with answers.connect() as conn:
        assert conn.execute("select trading.identical_answers(repeat('e', 64))").fetchone() == (5,)
    kept = {"unchecked": 2, "differing": 3, "of_decisions": 0}
    told = {"endpoint": "/predict", "answers": 4, **kept, "more": False}
    dry = run("answers")
    assert (dry["deleted"], dry["endpoints"][0]) == (False, told)
    assert answers.left() == list(range(1, 11))

    assert run("answers", "--delete", "--most", "3")["endpoints"][0] == {**told, "answers": 3, "more": True}
    assert answers.left() == [1, 2, 3, 7, 8, 9, 10]
    assert answers.left("served_scores") == []
    done = CliRunner().invoke(purge, ["answers", "--delete"], catch_exceptions=False)
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            "/predict: 1 answers taken away; 2 that parity has not made again yet stay; 3 that came out otherwise stay",
            *(f"{one}: 0 answers taken away" for one in ("/score", "/decide", "/sentiment")),
        ],
    )
    with answers.connect() as conn:
        rows = conn.execute("select kind, answers, first_id, last_id from trading.answer_purges order by purge_id")
        assert rows.fetchall() == [("prediction", 3, 4, 6), ("score", 1, 1, 1), ("prediction", 1, 7, 7)]
        # What is gone counts neither as served nor as identical, nor is it asked again.
        assert conn.execute("select trading.identical_answers(repeat('e', 64))").fetchone() == (1,)
        asked = "select * from trading.outstanding_answers(repeat('f', 64), 'prediction', 10)"
        assert conn.execute(asked).fetchall() == [(1, 10)]


@pytest.mark.engines
def test_the_database_itself_keeps_every_other_answer(answers: Answers) -> None:
    answers.predicted((OLD, "t"), (OLD, "t"))
    answers.say("prediction", 1, 1, "identical")
    for before, told in (
        ("", "append-only: a delete is refused"),
        ("prediction", "answer 2 of .* is unchecked; it stays"),
    ):
        with psycopg.connect(answers.url) as conn:
            conn.execute("select set_config('tradeloom.purging', %s, true)", (before,))
            with pytest.raises(psycopg.errors.IntegrityError, match=told):
                conn.execute("delete from trading.served_predictions")
            conn.rollback()
    assert answers.left() == [1, 2]


@pytest.mark.engines
def test_an_answer_under_the_trace_of_a_decision_stays(answers: Answers) -> None:
    answers.predicted((OLD, "of a decision"), (OLD, "other"))
    answers.say("prediction", 1, 2, "identical")
    with answers.connect() as conn:
        conn.execute("set session_replication_role = replica")  # without all that a decision rests on
        conn.execute(_DECISION)
    assert run("answers", "--delete")["endpoints"][0]["of_decisions"] == 1
    assert answers.left() == [1]


# Runs of Dagster, and what `doctor` says of its log.


@pytest.mark.long
@pytest.mark.engines
def test_old_runs_leave_dagsters_own_storage_and_doctor_sees_its_log_shrink(
    postgres_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    import dagster as dg

    from infra.local.dagster import environment as dagster_environment
    from infra.local.dagster import write_instance
    from infra.local.home import Home

    @dg.asset
    def report() -> None: ...

    environment |= {"TRADELOOM_POSTGRES_URL": postgres_url, **dagster_environment(postgres_url)}
    environment["DAGSTER_HOME"] = str(write_instance(Home(tmp_path)))
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.get() as instance:
        first, second, newest = (dg.materialize([report], instance=instance, run_config=quiet).run_id for _ in range(3))
    before = _looked_at(postgres_url, environment, NOW)
    assert (before.count > 20, before.note) == (True, f"since {datetime.now(UTC):%Y-%m-%d}")
    assert run("runs")["runs"] == 0  # all are young
    with psycopg.connect(url_of(postgres_url, "dagster")) as conn:
        long_ago = "timezone('UTC', now()) - interval '100 days'"
        conn.execute(f"update runs set update_timestamp = {long_ago}, create_timestamp = {long_ago}")

    dry = run("runs")
    assert (dry["deleted"], dry["runs"], dry["kept"], dry["more"]) == (False, 2, 1, False)
    assert run("runs", "--older-than", "101")["runs"] == 0
    one = run("runs", "--delete", "--most", "1")
    assert (one["deleted"], one["runs"], one["more"]) == (True, 1, True)
    told = CliRunner().invoke(purge, ["runs", "--delete"], catch_exceptions=False).stdout
    assert f"1 with {dry['events'] - one['events']} events taken out, 1 kept as the newest of an asset" in told
    with dg.DagsterInstance.get() as instance:
        assert instance.get_run_ids() == [newest]
        assert {first, second}.isdisjoint({one.dagster_run.run_id for one in instance.get_run_records()})
        kept = instance.get_latest_materialization_event(report.key)
        assert (kept and kept.run_id) == newest
    after = _looked_at(postgres_url, environment, NOW + timedelta(hours=2))
    assert after.count == before.count - dry["events"]
    assert (after.grown <= 0, after.since[:10]) == (True, f"{NOW:%Y-%m-%d}")


def _looked_at(postgres_url: str, environment: dict[str, str], now: datetime) -> Any:
    """Return what `doctor` says of Dagster's event log, its rows counted afresh."""
    with psycopg.connect(url_of(postgres_url, "dagster"), autocommit=True) as conn:
        conn.execute("vacuum full analyze event_logs")
        conn.execute("select pg_stat_force_next_flush()")
    (found,) = [one for one in measure(environment, now) if one.name == "Dagster's event log"]
    assert "purge runs" in found.remedy
    return found


# Model versions, and copies of feature rows.


@pytest.mark.long
@pytest.mark.engines
def test_unused_versions_of_models_go_and_what_is_referred_to_stays(
    mlflow_url: str, database_url: str, environment: dict[str, str]
) -> None:
    environment |= {"TRADELOOM_POSTGRES_URL": database_url, "TRADELOOM_MLFLOW_URL": mlflow_url}
    registry, rule = ModelRegistry(mlflow_url), BuyAndHold()
    aliased, unused, decided, newest = (
        registry.register("purged", rule, ModelCard(rule.kind, rule.sha256, config={"n": n})) for n in range(4)
    )
    registry.set_alias("purged", "champion", aliased)
    with psycopg.connect(database_url) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(_DECISION.replace("'rule', '1'", f"'purged', '{decided}'"))
    later = SimpleNamespace(now=lambda zone: datetime.now(zone) + timedelta(days=100))  # nothing is old here yet
    assert [one for one in run("models")["versions"] if one["name"] == "purged"] == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.commands.purge.datetime", later)
        dry = [one for one in run("models", "--most", "1000")["versions"] if one["name"] == "purged"]
        assert [one["version"] for one in dry] == [unused]
        assert dry[0]["bytes"] > 0
        assert {one.version for one in registry.versions("purged")} == {aliased, unused, decided, newest}
        told = CliRunner().invoke(purge, ["models", "--most", "1000", "--delete"], catch_exceptions=False).stdout
        assert f"purged version {unused} of " in told
        assert told.endswith("taken away\n")
        assert [one for one in run("models", "--delete")["versions"] if one["name"] == "purged"] == []
    assert {one.version for one in registry.versions("purged")} == {aliased, decided, newest}


def test_copies_that_nobody_used_go_and_without_engines_the_rest_ends_in_one_line(
    environment: dict[str, str], tmp_path: Path, dead_port: int
) -> None:
    for name, days in (("old", 100), ("used", 1)):
        folder = tmp_path / "cache" / "features" / name
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_bytes(b"x" * 5000)
        then = (NOW - timedelta(days=days)).timestamp()
        for path in (folder / "rows.parquet", folder):
            os.utime(path, (then, then))
    dry = run("cache")
    assert [(Path(one["path"]).name, dry["deleted"]) for one in dry["copies"]] == [("old", False)]
    told = CliRunner().invoke(purge, ["cache"], catch_exceptions=False).stdout
    assert told.endswith("would go; say --delete to take them away\n")
    assert len(run("cache", "--delete")["copies"]) == 1
    assert [one.name for one in (tmp_path / "cache" / "features").iterdir()] == ["used"]
    assert run("cache", "--delete")["copies"] == []

    environment["TRADELOOM_POSTGRES_URL"] = f"postgresql://nobody:x@127.0.0.1:{dead_port}/tradeloom"
    environment["TRADELOOM_MLFLOW_URL"] = f"http://127.0.0.1:{dead_port}"
    for command in ("answers", "models"):
        done = CliRunner().invoke(tradeloom, ["purge", command, "--delete"])
        assert isinstance(done.exception, EngineUnavailableError)
        assert (done.stdout, "\n" in str(done.exception)) == ("", False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["answers", "--older-than", "0"], "0 is not in the range 1<=x<=36500"),
        (["runs", "--most", "0"], "0 is not in the range x>=1"),
        (["everything"], "No such command 'everything'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(words: list[str], told: str) -> None:
    done = CliRunner().invoke(purge, words)
    assert (done.exit_code, told in done.output) == (2, True)
