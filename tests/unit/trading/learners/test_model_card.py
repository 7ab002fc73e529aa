from dataclasses import replace

import pytest

from trading.errors import ModelError
from trading.learners.model_card import ModelCard

CARD = ModelCard(
    kind="policy_network",
    weights_sha256="ab" * 32,
    feature_service={"name": "daily", "columns": ["close"]},
    snapshot_id="cd" * 32,
    config={"hidden": [64, 64], "gamma": 0.97},
    seeds=[7, 8],
    metrics={"sharpe_ratio": 0.5},
    verdict={"promoted": False, "reasons": ["BEATS_HOLDING: no"]},
)


def test_a_card_survives_json_unchanged():
    assert ModelCard.from_json(CARD.to_json()) == CARD
    assert ModelCard.from_json(CARD.to_json()).to_json() == CARD.to_json()


def test_a_card_of_a_later_format_is_read_for_what_is_known():
    assert ModelCard.from_json(CARD.to_json().replace('"format":1', '"format":2,"novelty":1')) == CARD


@pytest.mark.parametrize("text", ["", "[]", "7", "{}", b"\xff"])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(ModelError, match="model card"):
        ModelCard.from_json(text)


def test_content_is_weights_snapshot_service_and_configuration():
    told_later = replace(CARD, metrics={}, verdict=None, code_revision="x", numeric_environment={"python": "4"})
    assert told_later.content_key == CARD.content_key
    for change in ({"weights_sha256": "0"}, {"snapshot_id": None}, {"feature_service": {}}, {"config": {}}):
        assert replace(CARD, **change).content_key != CARD.content_key


def test_training_is_known_before_its_weights():
    assert replace(CARD, weights_sha256="").training_key == CARD.training_key
    assert replace(CARD, seeds=[7]).training_key != CARD.training_key
