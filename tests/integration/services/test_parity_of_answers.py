"""The answers of /predict and /score, computed again from their records: what is identical, and why one is not."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest

from feature_store.store import FeatureStore
from serving.explanation import kept_answers
from serving.explanation.answering import ask_again
from serving.explanation.parity import Measured, Sources, measure
from serving.explanation.score_answering import AskedScores, ScoreAnswers, Scored
from serving.explanation.spans import newest_settled
from trading.adapters.postgres import connection
from trading.adapters.served_models import ServedModel, ServedModelIds
from trading.adapters.served_predictions import PredictionLog, ServedPrediction
from trading.adapters.served_scores import ServedScores, record_scores
from trading.adapters.unused_versions import held_versions
from trading.errors import ModelError, ModelHashError
from trading.strategy import MacdCross

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
    assert ledger.measure().identical_in_all == 12


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


def test_a_changed_model_row_is_found_by_every_answer_that_names_it(ledger: Ledger) -> None:
    ledger.predict(STATES)
    change = "update trading.served_models set model_version = '{}'"
    with ledger.tampered(change.format("3"), change.format("1")):
        assert ledger.measure(full=True).causes == {"record_changed": 4}
    kept = "create temp table kept as select * from trading.served_models; delete from trading.served_models"
    with ledger.tampered(kept, "select"):
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
