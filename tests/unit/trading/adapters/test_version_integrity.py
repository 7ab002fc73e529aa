import hashlib
import json

import pytest

from trading.adapters.version_integrity import CARD_SHA256, WEIGHTS_SHA256, agree, card_tags, verified_card
from trading.errors import ModelError, ModelHashError
from trading.learners.model_card import ModelCard

PAYLOAD = b"weights"
CARD = ModelCard(kind="macd_cross", weights_sha256=hashlib.sha256(PAYLOAD).hexdigest(), snapshot_id="ab")


def tags_of(card_bytes: bytes) -> dict[str, str]:
    return {WEIGHTS_SHA256: CARD.weights_sha256, CARD_SHA256: hashlib.sha256(card_bytes).hexdigest()}


def test_card_and_weights_that_name_each_other_are_verified():
    stored = CARD.to_json().encode()
    assert verified_card(tags_of(stored), PAYLOAD, stored, "m version 1") == CARD


def test_a_card_written_with_fewer_or_more_fields_still_verifies():
    """The hash is of the stored bytes: a release that adds a field must open what an older one wrote."""
    fields = json.loads(CARD.to_json())
    del fields["verdict"]
    fields["novelty"] = 1
    stored = json.dumps(fields).encode()
    assert verified_card(tags_of(stored), PAYLOAD, stored, "m version 1") == CARD


def test_any_change_is_refused():
    stored = CARD.to_json().encode()
    with pytest.raises(ModelHashError, match="not loaded"):
        verified_card(tags_of(stored), PAYLOAD + b"x", stored, "m version 1")
    with pytest.raises(ModelHashError, match="card"):
        verified_card(tags_of(stored), PAYLOAD, stored.replace(b'"ab"', b'"cd"'), "m version 1")
    with pytest.raises(ModelHashError, match="expected weights None"):
        verified_card({}, PAYLOAD, stored, "m version 1")


def test_what_the_card_does_not_name_is_not_registered():
    with pytest.raises(ModelHashError, match="by its card"):
        agree("m", b"other", CARD, "macd_cross")
    with pytest.raises(ModelError, match="found a policy_network"):
        agree("m", PAYLOAD, CARD, "policy_network")
    agree("m", PAYLOAD, CARD, None)


def test_tags_leave_out_what_is_empty():
    assert set(card_tags(ModelCard(kind="k", weights_sha256="w"))) == {
        "content_key",
        "training_key",
        "kind",
        "weights_sha256",
    }
