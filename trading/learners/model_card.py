"""What a model version carries besides its weights: enough to say where it comes from and to find the same again.
Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from trading.errors import ModelError

CARD_FORMAT = 1


@dataclass(frozen=True)
class ModelCard:
    """One version's provenance; plain values only, so that it survives JSON unchanged.

    Attributes:
        kind: How the bytes are read again (`trading.learners.loading`, or `sentiment_head`).
        weights_sha256: The hash of what decides: of the state dict or the rule, never of a zip.
        snapshot_id: The hash of the training rows; None for a rule.
        parquet_sha256: The hash of the stored file of those rows.
        feature_service: What the model reads (`feature_store.services`), empty for a model of texts.
        definitions: The feature definitions by view, as hashes of their compiled SQL.
        config: What it was trained with.
        seeds: The seed of this version first, then those of the spread.
        numeric_environment: `trading.learners.environment.numeric_environment()` where it was trained.
        metrics: Numbers with their spread over seeds.
        verdict: The gate's verdict as plain values, None if it was not judged yet.
    """

    kind: str
    weights_sha256: str
    feature_service: dict[str, Any] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    snapshot_id: str | None = None
    parquet_sha256: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    code_revision: str = ""
    lock_hash: str = ""
    numeric_environment: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    verdict: dict[str, Any] | None = None

    @property
    def training_key(self) -> str:
        """The hash of what the training was given: a version with this key need not be trained again."""
        return _hash([self.kind, self.snapshot_id, self.feature_service, self.config, self.seeds, self.lock_hash])

    @property
    def content_key(self) -> str:
        """The hash of what the version is: registering the same content again adds nothing."""
        return _hash([self.kind, self.weights_sha256, self.snapshot_id, self.feature_service, self.config])

    def with_verdict(self, verdict: Mapping[str, Any]) -> ModelCard:
        """Return the card of a version that was judged."""
        return replace(self, verdict=dict(verdict))

    def to_json(self) -> str:
        """Return the card as canonical JSON."""
        return _canonical({"format": CARD_FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelCard:
        """Return the card that `to_json` wrote; names that a later format added are left out.

        Raises:
            ModelError: it is no card.
        """
        try:
            stored = json.loads(text)
            known = {one.name for one in fields(cls)}
            return cls(**{name: value for name, value in stored.items() if name in known})
        except (ValueError, TypeError, AttributeError) as error:
            raise ModelError(f"expected a model card, found {text[:60]!r}") from error


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _hash(values: list[Any]) -> str:
    return hashlib.sha256(_canonical(values).encode()).hexdigest()
