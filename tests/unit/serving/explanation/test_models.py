"""The model level: bits within one numeric environment, 1e-6 in another, and another is said to be another."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from serving.explanation.answering import Asked, ask_again
from serving.explanation.models import Models
from serving.explanation.stored import StoredDecision
from trading.adapters.ledger_rows import DecisionRow
from trading.errors import ModelHashError
from trading.strategy import MacdCross

NOON = datetime(2012, 3, 5, 12, tzinfo=UTC)
RULE = MacdCross()
VECTOR = (100.0, 55.0, 1.25, 1e6, 0.0, 0.1)


class Registry:
    """Holds the rule as version 1; version 2 has been tampered with."""

    def load(self, name, *, alias=None, version=None):
        if version != "1":
            raise ModelHashError(f"expected other weights of {name}")
        return SimpleNamespace(payload=RULE.to_bytes(), card=SimpleNamespace(kind=RULE.kind))


def decision_of(environment, **changes) -> StoredDecision:
    (answer,) = ask_again({"rule": Asked(RULE.kind, RULE.to_bytes(), [VECTOR])}).by_model["rule"]
    row = DecisionRow(
        decision_id="d-1", session_id="s-1", symbol="AAA", timestamp=NOON, as_of=NOON, watermark=1, source="sample",
        bar_id=1, bar_row_hash=bytes(32), definition="d", feature_row_id=1, feature_row_hash=bytes(32),
        feature_timestamp=NOON, vector=VECTOR, model_name="rule", model_version="1", weights_sha256=RULE.sha256,
        snapshot_id=None, scorer="head", scorer_version="1", sentiment=0.1, analyst_sentiment=0.1, sentiment_items=[],
        action=answer[0], confidence=answer[1], price_usd=Decimal("100.000000"), position_quantity=Decimal("0E-8"),
        cash_usd=Decimal("1.00000000"), equity_usd=Decimal("1.00000000"), outcome="held", reason_code="hold", reason={},
        environment=environment, decided_at=NOON, trace_id="t",
    )  # fmt: skip
    row = replace(row, **changes)
    return StoredDecision(row, row.row_hash, "1d")


@pytest.fixture(scope="module")
def here():
    """The pinned environment of the process that answers."""
    return ask_again({}).environment


def asked(decision: StoredDecision) -> Models:
    models = Models(Registry())
    models.ask([decision])
    return models


def test_same_vector_gives_the_same_bits(here):
    decision = decision_of(here)
    models = asked(decision)
    assert models.differences(decision) == []
    assert models.is_same_environment(decision)


def test_last_bit_of_a_confidence_is_a_difference_here(here):
    right = decision_of(here)
    decision = decision_of(here, confidence=right.row.confidence + 2**-52)
    assert "the model answers" in asked(decision).differences(decision)[0]


def test_elsewhere_a_millionth_is_near_enough_but_never_the_same_environment(here):
    elsewhere = {**here, "cpu_capability": "another"}
    right = decision_of(elsewhere)
    decision = decision_of(elsewhere, confidence=right.row.confidence + 1e-9)
    models = asked(decision)
    assert models.differences(decision) == []
    assert models.environment_differences(decision) == ["cpu_capability"]


def test_elsewhere_another_action_is_a_difference(here):
    decision = decision_of({**here, "machine": "another"}, action=2)
    assert asked(decision).differences(decision)


def test_version_whose_weights_do_not_match_is_said(here):
    decision = decision_of(here, model_version="2")
    assert "expected other weights" in asked(decision).differences(decision)[0]


def test_model_that_cannot_be_made_gives_no_answer():
    assert ask_again({"rule": Asked(RULE.kind, b"not a rule", [VECTOR, VECTOR])}).by_model["rule"] == [None, None]


def test_vector_that_was_tampered_with_keeps_no_other_from_being_answered(here):
    good, bad = decision_of(here), decision_of(here, decision_id="d-2", vector=(*VECTOR[:4], 7.0, 0.1))
    models = Models(Registry())
    models.ask([good, bad])
    assert models.differences(good) == []
    assert models.differences(bad) == ["the model gave no answer"]


def test_answer_that_is_no_number_differs(here):
    models = asked(decision_of(here))
    models._answers["d-1"] = (models._answers["d-1"][0], float("nan"))
    assert models.differences(decision_of(here))
