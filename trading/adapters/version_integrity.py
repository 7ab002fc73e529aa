"""What holds a version together: its tags, its card and its weights name each other by hash. Pure; registry.py connects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from trading.errors import ModelError, ModelHashError
from trading.learners.model_card import ModelCard

CONTENT_KEY = "content_key"
TRAINING_KEY = "training_key"
WEIGHTS_SHA256 = "weights_sha256"
CARD_SHA256 = "card_sha256"


def card_tags(card: ModelCard) -> dict[str, str]:
    """Return what of a card is searched and shown by, as a version's tags."""
    named = {
        CONTENT_KEY: card.content_key,
        TRAINING_KEY: card.training_key,
        "kind": card.kind,
        WEIGHTS_SHA256: card.weights_sha256,
        "snapshot_id": card.snapshot_id,
        "parquet_sha256": card.parquet_sha256,
        "feature_service": card.feature_service.get("name"),
        "code_revision": card.code_revision,
        "lock_hash": card.lock_hash,
        "seeds": ",".join(str(seed) for seed in card.seeds),
    }
    return {name: str(value) for name, value in named.items() if value}


def agree(name: str, payload: bytes, card: ModelCard, kind: str | None) -> None:
    """Refuse to register weights or a kind that the card does not name.

    Raises:
        ModelHashError: other weights.
        ModelError: another kind.
    """
    found = hashlib.sha256(payload).hexdigest()
    if found != card.weights_sha256:
        raise ModelHashError(f"expected weights {card.weights_sha256[:12]} for {name} by its card, found {found[:12]}")
    if kind is not None and kind != card.kind:
        raise ModelError(f"expected a {card.kind} for {name} by its card, found a {kind}")


def verified_card(tags: Mapping[str, str], payload: bytes, card_bytes: bytes, what: str) -> ModelCard:
    """Return a version's card, refusing weights or a card other than its tags recorded.

    The card is hashed as it was stored, not as today's code would write it: a later format must open old versions.

    Raises:
        ModelHashError: either was changed.
        ModelError: it is no card.
    """
    card = ModelCard.from_json(card_bytes)
    weights = hashlib.sha256(payload).hexdigest()
    recorded = tags.get(WEIGHTS_SHA256)
    if not weights == card.weights_sha256 == recorded:
        raise ModelHashError(
            f"expected weights {recorded} of {what}, found {weights}; the artefact was changed, so it is not loaded"
        )
    if hashlib.sha256(card_bytes).hexdigest() != tags.get(CARD_SHA256):
        raise ModelHashError(f"expected the card that {what} was registered with, found another; it is not loaded")
    return card
