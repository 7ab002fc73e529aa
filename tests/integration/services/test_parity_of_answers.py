"""The answers of /predict and /score, computed again from their records: what is identical, and why one is not."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest
from click.testing import CliRunner

from feature_store.store import FeatureStore
from orchestration.commands.parity import parity
from orchestration.parity_meter import OfflineParity
from serving.explanation import kept_answers
from serving.explanation.answering import ask_again
from serving.explanation.parity import Measured, Sources, measure
from serving.explanation.score_answering import AskedScores, ScoreAnswers, Scored
from serving.explanation.spans import newest_settled
from trading.adapters.answer_purges import AnswerPurge, purge_answers
from trading.adapters.postgres import Warehouse, connection
from trading.adapters.served_models import ServedModel, ServedModelIds
from trading.adapters.served_predictions import PredictionLog, ServedPrediction
from trading.adapters.served_scores import ServedScores, record_scores
from trading.adapters.unused_versions import held_versions
from trading.errors import InputError, ModelError, ModelHashError
from trading.learners.model_card import ModelCard
from trading.strategy import BuyAndHold, MacdCross

pytestmark = pytest.mark.engines

NOON = datetime(2012, 3, 5, 12, tzinfo=UTC)
RULE = MacdCross()
STATES = [
    [450.25, 61.0, 3.2, 1.2e7, 0.0, 0.4],
    [450.25, 38.0, -3.2, 1.2e7, 1.0],  # five numbers: no sentiment
    [math.nextafter(0.1, 1.0), 50.0, -0.0, 5e-324, -1.0, -0.4],
    [1.7976931348623157e308, 99.9, 1e-300, 2.0**53 + 2, 0.0],
]


class Registry:
    """Holds the rule as version 1; version 2 has been tampered with, and there is no other."""

    def load(self, name: str, *, alias: str | None = None, version: str | None = None) -> Any:
        if version == "2":
            raise ModelHashError(f"expected other weights of {name}")
        if version != "1":
            raise ModelError(f"there is no version {version} of {name}")
        return SimpleNamespace(payload=RULE.to_bytes(), card=SimpleNamespace(kind=RULE.kind))


@dataclass
class Ledger:
    """A warehouse with answers in it, and parity over it."""

    url: str
    environment: dict[str, str]

    def connect(self) -> Any:
        return connection(self.url)

    def model(self, **changes: Any) -> ServedModel:
        return replace(ServedModel("rule", "1", RULE.sha256, self.environment), **changes)

    def predict(self, states: Sequence[Sequence[float]], model: ServedModel | None = None, **changes: Any) -> None:
        """Record what the rule answers to these states, or something else."""
        rows = [replace(self.answer(state, model or self.model()), **changes) for state in states]
        PredictionLog(self.connect, ServedModelIds(self.connect)).write(rows)

    def answer(self, state: Sequence[float], model: ServedModel) -> ServedPrediction:
        (decision,) = RULE.decide(np.array([[*state, *[0.0] * (6 - len(state))]]))
        return ServedPrediction(model, state, int(decision.action), float(decision.confidence), "t", NOON)

    def score(self, texts: Sequence[str], scores: Sequence[float], labels: Sequence[str], **changes: Any) -> None:
        model = self.model(model_name="sentiment-head", weights_sha256="a" * 64, **changes)
        row = ServedScores(model, "head", [text.encode() for text in texts], scores, labels, "t", NOON)
        record_scores(self.connect, ServedModelIds(self.connect), row)

    def measure(self, *, full: bool = False) -> Measured:
        with closing(FeatureStore(self.url)) as store:
            sources = Sources(self.connect, store, Registry(), _no_analyst, self._ask_scores)
            return measure(sources, full=full, trace_id="test")

    def rows(self, query: str) -> list[Any]:
        with self.connect() as conn:
            return conn.execute(query).fetchall()

    @contextmanager
    def tampered(self, change: str, undo: str) -> Iterator[None]:
        """Edit a table behind its own back; put it right again after."""
        try:
            self._edit(change)
            yield
        finally:
            self._edit(undo)

    def _edit(self, statement: str) -> None:
        with self.connect() as conn:
            conn.execute("set session_replication_role = replica")
            conn.execute(statement)

    def _ask_scores(self, asked: Sequence[AskedScores]) -> ScoreAnswers:
        """Score by the length of the text; version 9 is gone."""
        answers = ["there is no version 9" if one.scorer_version == "9" else _by_length(one.texts) for one in asked]
        return ScoreAnswers(answers, self.environment)


def _by_length(texts: Sequence[str]) -> Scored:
    return Scored([len(text) / 100 for text in texts], ["positive"] * len(texts), "a" * 64)


def _no_analyst(asked: Sequence[Any]) -> Any:
    raise AssertionError(f"nothing was asked of /sentiment, found {asked}")


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    """The pinned environment of the process that answers."""
    return ask_again({}).environment


@pytest.fixture
def ledger(database_url: str, here: dict[str, str]) -> Ledger:
    return Ledger(database_url, here)


def test_a_state_and_a_text_come_back_from_their_records_to_the_last_bit(ledger: Ledger) -> None:
    texts = ["a\x00b", "  two  spaces \n", "\U0001f4c8 \u00e9 e\u0301", "'); drop table x; --"]
    ledger.predict(STATES)
    ledger.score(texts, [0.1, -0.0, 5e-324, -1.0], ["positive"] * 4)
    (predictions,) = kept_answers.predictions_in(ledger.connect, 1, 10)
    (scores,) = kept_answers.scores_in(ledger.connect, 1, 10)
    assert [[x.hex() for x in one.row.state] for one in predictions] == [[float(x).hex() for x in s] for s in STATES]
    assert [text.decode() for text in scores[0].row.texts] == texts
    assert [score.hex() for score in scores[0].row.scores] == [x.hex() for x in (0.1, -0.0, 5e-324, -1.0)]
    assert all(one.is_intact for one in (*predictions, *scores))


def test_what_is_identical_is_one_row_however_many_answers_and_is_asked_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "PREDICTIONS_AT_ONCE", 3)
    monkeypatch.setattr(kept_answers, "TEXT_BYTES_AT_ONCE", 1)
    ledger.predict(STATES * 2)
    for _ in range(3):
        ledger.score(["four", "sixsix"], [0.04, 0.06], ["positive", "positive"])
    first = ledger.measure()
    assert (first.checked, first.identical, first.served_in_all, first.identical_in_all) == (11, 11, 11, 11)
    assert first.kinds == {"prediction": {"identical": 8}, "score": {"identical": 3}}
    assert ledger.rows("select kind, first_id, last_id, outcome, answers from trading.parity_spans order by 1") == [
        ("prediction", 1, 8, "identical", 8),
        ("score", 1, 3, "identical", 3),
    ]
    ledger.predict(STATES[:1])
    second, full = ledger.measure(), ledger.measure(full=True)
    assert (second.checked, second.identical_in_all, second.served_in_all) == (1, 12, 12)
    assert (full.checked, full.identical_in_all, full.served_in_all, full.mode) == (12, 12, 12, "full")


def test_each_planted_difference_of_a_prediction_is_found_and_its_cause_named(ledger: Ledger) -> None:
    elsewhere = ledger.model(environment={**ledger.environment, "machine": "another"})
    ledger.predict(STATES)  # 1 to 4
    ledger.predict(STATES[:1], confidence=0.5)  # 5: by somebody who knows how the hash is made
    ledger.predict(STATES[:1], ledger.model(model_version="2"))  # 6
    ledger.predict(STATES[:1], ledger.model(model_version="7"))  # 7
    ledger.predict(STATES[:1], ledger.model(weights_sha256="b" * 64))  # 8
    ledger.predict(STATES[:1], elsewhere)  # 9
    ledger.predict(STATES[:1], elsewhere, action=2)  # 10
    ledger.predict(STATES[:1])  # 11
    change = "update trading.served_predictions set state[2] = state[2] + {} where served_id in (2, 3)"
    with ledger.tampered(change.format(1), change.format(-1)):
        found = ledger.measure()
    spans = ledger.rows("select first_id, last_id, outcome, cause, detail from trading.parity_spans order by first_id")
    assert [one[:4] for one in spans] == [
        (1, 1, "identical", None),
        (2, 3, "differs", "record_changed"),
        (4, 4, "identical", None),
        (5, 5, "differs", "answer_differs"),
        (6, 8, "differs", "model_unusable"),
        (9, 9, "elsewhere", None),
        (10, 10, "differs", "environment_differs"),
        (11, 11, "identical", None),
    ]
    assert "expected other weights of rule" in spans[4][4]
    assert found.causes == {
        "record_changed": 2, "answer_differs": 1, "model_unusable": 3, "environment_differs": 1
    }  # fmt: skip
    assert found.first_difference is not None
    assert (found.first_difference["kind"], found.first_difference["id"]) == ("prediction", "2")
    assert (found.identical, found.elsewhere, found.identical_in_all, found.served_in_all) == (3, 1, 3, 11)
    mended = ledger.measure()
    assert (mended.checked, mended.identical, mended.identical_in_all) == (7, 2, 5), "what differed is asked again"
    again = ledger.measure()
    assert (again.checked, again.differing, again.identical_in_all) == (5, 5, 5)
    shown, as_json = _command(ledger, []), _command(ledger, ["--json"])
    assert (shown.exit_code, as_json.exit_code) == (1, 1)
    headline, *lines = shown.stdout.splitlines()
    assert headline.startswith("5 of 11 served in all are identical (run 3, new, 20")
    assert lines == [
        "asked in it, prediction differs 5",
        "causes: model_unusable 3, answer_differs 1, environment_differs 1",
        f"first: prediction 5: answer_differs: {again.first_difference['detail']}",  # type: ignore[index]
    ]
    told = json.loads(as_json.stdout)
    assert (told["kinds"], told["share_identical"]) == ({"prediction": {"differs": 5}}, 5 / 11)


def _command(ledger: Ledger, arguments: list[str]) -> Any:
    return CliRunner().invoke(parity, arguments, env={"TRADELOOM_POSTGRES_URL": ledger.url})


def test_before_the_first_run_the_command_says_where_one_is_made(ledger: Ledger) -> None:
    refused = _command(ledger, [])
    assert isinstance(refused.exception, InputError)
    assert "materialize trading/parity_runs" in str(refused.exception)


def test_a_changed_model_row_is_found_by_every_answer_that_names_it(ledger: Ledger) -> None:
    ledger.predict(STATES)
    change = "update trading.served_models set model_version = '{}'"
    with ledger.tampered(change.format("3"), change.format("1")):
        assert ledger.measure(full=True).causes == {"record_changed": 4}


def test_each_planted_difference_of_a_score_is_found_and_its_cause_named(ledger: Ledger) -> None:
    right = (["four", "sixsix"], [0.04, 0.06], ["positive", "positive"])
    ledger.score(*right)  # 1
    ledger.score(right[0], [0.04, math.nextafter(0.06, 1.0)], right[2])  # 2
    ledger.score(*right[:2], ["positive", "neutral"])  # 3
    ledger.score(*right, model_version="9")  # 4
    ledger.score(*right)  # 5
    ledger.score(right[0], [0.04, 0.06 + 1e-9], right[2], environment={"machine": "another"})  # 6
    change = "update trading.served_scores set texts[2] = '\\x{}' where served_id = 5"
    with ledger.tampered(change.format(b"tampered".hex()), change.format(b"sixsix".hex())):
        found = ledger.measure()
    spans = ledger.rows("select first_id, last_id, outcome, cause, detail from trading.parity_spans order by 1")
    assert [one[:4] for one in spans] == [
        (1, 1, "identical", None),
        (2, 3, "differs", "answer_differs"),
        (4, 4, "differs", "model_unusable"),
        (5, 5, "differs", "record_changed"),
        (6, 6, "elsewhere", None),
    ]
    assert (
        spans[1][4] == f"the scorer answers positive (0.06) to text 2 of 2, it was positive ({math.nextafter(0.06, 1)})"
    )
    assert found.kinds == {"score": {"identical": 1, "differs": 4, "elsewhere": 1}}


def test_a_version_that_answered_once_is_held_and_a_record_is_never_edited(ledger: Ledger) -> None:
    ledger.predict(STATES[:1])
    with ledger.connect() as conn:
        assert ("rule", "1") in held_versions(conn)
    changed = {"parity_spans": "answers"}
    for table in ("served_models", "served_predictions", "served_scores", "parity_spans"):
        column = changed.get(table, "row_hash")
        for statement in (f"update {{}} set {column} = {column}", "delete from {}", "truncate {} cascade"):
            with pytest.raises(psycopg.errors.IntegrityError, match="append-only"), ledger.connect() as conn:
                conn.execute(statement.format(f"trading.{table}"))


def test_what_was_taken_away_after_parity_counts_neither_as_served_nor_as_identical(ledger: Ledger) -> None:
    ledger.predict(STATES)
    ledger.predict(STATES[:1], confidence=0.123)
    ledger.score(["four"], [0.04], ["positive"])
    assert [(one.endpoint, one.answers) for one in _purged(ledger) if one.answers] == []  # nothing was made again yet
    before = ledger.measure()
    assert (before.served_in_all, before.identical_in_all) == (6, 5)
    assert [(one.endpoint, one.answers) for one in _purged(ledger) if one.answers] == [("/predict", 4), ("/score", 1)]
    ledger.predict(STATES[:2])
    after = ledger.measure()
    assert (after.checked, after.served_in_all, after.identical_in_all) == (3, 3, 2)
    assert (full := ledger.measure(full=True)).kinds == {"prediction": {"identical": 2, "differs": 1}}
    assert (full.served_in_all, full.identical_in_all) == (3, 2)


def _purged(ledger: Ledger) -> list[AnswerPurge]:
    with ledger.connect() as conn:
        return purge_answers(conn, datetime.now(UTC), 10, delete=True)


def test_an_answer_whose_commit_was_overtaken_is_not_left_out(ledger: Ledger) -> None:
    ledger.predict(STATES[:1])
    settled: list[int] = []
    with psycopg.connect(ledger.url) as late:
        late.execute(
            "insert into trading.served_predictions (served_model_id, state, action, confidence, trace_id, served_at, row_hash)"
            " select served_model_id, state, action, confidence, trace_id, served_at, row_hash from trading.served_predictions"
        )
        ledger.predict(STATES[:1])  # takes a later number and commits first
        waiting = threading.Thread(target=_settled, args=(ledger.connect, settled))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive(), "an earlier number is still on its way"
        ledger.predict(STATES[1:2])  # nobody else is kept waiting
        late.commit()
    waiting.join(10)
    assert settled == [3]
    assert ledger.measure().identical == 4


def _settled(connect: Callable[[], Any], into: list[int]) -> None:
    with connect() as conn:
        into.append(newest_settled(conn, "prediction"))


def test_what_the_services_answered_is_made_again_and_what_was_planted_is_not(
    oracle: Any, analyst: Any, stage: Any
) -> None:
    """The services as users run them, the registry as it is, and the processes that answer again."""
    card = ModelCard(
        kind=BuyAndHold().kind, weights_sha256=BuyAndHold().sha256, config={"test": "parity"}
    )  # a version of its own
    other, head = stage.registry.register("trader-daily", BuyAndHold(), card), stage.register_head(3)
    first = _there(stage.url)
    asked = [{"state": state} for state in STATES * 8] + [{"state": STATES[0], "model_version": other}]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: oracle.answer("/predict", body), asked))
    texts = {"texts": ["Profit doubled.", "a\x00b \U0001f4c8", "It was sued."]}
    scored = [analyst.answer("/score", texts), analyst.answer("/score", {**texts, "scorer_version": head})]
    with psycopg.connect(stage.url) as conn:
        predictions = conn.execute(
            "select p.state, p.action, p.confidence, m.model_version from trading.served_predictions as p"
            " join trading.served_models as m using (served_model_id) where p.served_id > %s",
            (first["prediction"],),
        ).fetchall()
        scores = conn.execute(
            "select texts, scores, labels from trading.served_scores where served_id > %s order by served_id",
            (first["score"],),
        ).fetchall()
    champion = stage.registry.alias("trader-daily", "champion")
    assert sorted(predictions) == sorted(
        (body["state"], answer["action"], answer["confidence"], body.get("model_version", champion))
        for body, answer in zip(asked, answers, strict=True)
    )
    assert scores == [([text.encode() for text in texts["texts"]], one["scores"], one["labels"]) for one in scored]
    try:
        stage.registry.set_tags("trader-daily", other, {"weights_sha256": "0" * 64})
        stage.registry.set_tags("sentiment-head", head, {"weights_sha256": "0" * 64})
        _edit(
            stage.url,
            "update trading.served_predictions set confidence = (confidence + 0.123) / 2 where served_id = ("
            " select min(served_id) from trading.served_predictions where served_id > %s and confidence <> 1)",
            first["prediction"],
        )
        found = OfflineParity(Warehouse(stage.url), stage.registry).measure(full=False, trace_id="test")
    finally:
        stage.registry.set_tags("trader-daily", other, {"weights_sha256": BuyAndHold().sha256})
        stage.registry.set_tags("sentiment-head", head, {"weights_sha256": stage.head(3).sha256})
    predicted, scored_in_all = found.kinds["prediction"], found.kinds["score"]
    assert predicted == {"identical": first["predictions"] + len(asked) - 2, "differs": 2}
    assert scored_in_all == {"identical": first["scores"] + 1, "differs": 1}
    causes = {cause: count for cause, count in found.causes.items() if cause in ("record_changed", "model_unusable")}
    assert causes == {"record_changed": 1, "model_unusable": 2}


def _there(url: str) -> dict[str, int]:
    """Return the newest number and the count of each kind; other tests have asked these services too."""
    with psycopg.connect(url) as conn:
        row = conn.execute(
            "select (select coalesce(max(served_id), 0) from trading.served_predictions),"
            " (select coalesce(max(served_id), 0) from trading.served_scores),"
            " (select count(*) from trading.served_predictions), (select count(*) from trading.served_scores)"
        ).fetchone()
    assert row is not None
    return dict(zip(("prediction", "score", "predictions", "scores"), row, strict=True))


def _edit(url: str, statement: str, served_id: int) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(statement, (served_id,))
