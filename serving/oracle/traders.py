"""The models that the oracle serves: loaded from the registry, their weights verified, tested before they answer.

The registry verifies the hash of the weights (ModelHashError: such a model never serves); the self-test here asks a few
fixed states, alone and in one batch, because a model whose answer depends on its batch-mates cannot be replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from feature_store.services import FeatureService
from trading.errors import ModelError
from trading.ports import DecisionModel

if TYPE_CHECKING:
    from trading.adapters.registry import ModelRegistry

# close, rsi, macd, volume, position, sentiment: a dear and a cheap share, rising and falling, held and not.
_TEST_STATES = np.array(
    [
        [450.25, 61.0, 3.2, 1.2e7, 0.0, 0.4],
        [450.25, 61.0, 3.2, 1.2e7, 1.0, 0.4],
        [450.25, 38.0, -3.2, 1.2e7, 1.0, -0.4],
        [2.5, 50.0, 0.0, 3.0e8, 0.0, 0.0],
        [31.0, 85.0, -0.2, 4.0e4, -1.0, 1.0],
    ],
    dtype=np.float64,
)


@dataclass(frozen=True)
class Trader:
    """One version of the oracle's model, ready to decide."""

    name: str
    version: str
    model: DecisionModel
    weights_sha256: str
    snapshot_id: str | None
    features: FeatureService | None

    def described(self) -> dict[str, str | None]:
        """Return which model this is, as every decision names it."""
        return {
            "name": self.name,
            "version": self.version,
            "weights_sha256": self.weights_sha256,
            "snapshot_id": self.snapshot_id,
        }


@dataclass
class RegisteredTraders:
    """The versions of one registered model: a `serving.following.ModelSource`."""

    tracking_url: str
    name: str

    def resolve(self, alias: str) -> str:
        """Return the version that `alias` names."""
        return str(self._registry.alias(self.name, alias))

    def load(self, version: str) -> Trader:
        """Return one version, its weights verified and its answers tested."""
        loaded = self._registry.load(self.name, version=version)
        test(loaded.decides)
        return Trader(
            name=self.name,
            version=loaded.version,
            model=loaded.decides,
            weights_sha256=loaded.card.weights_sha256,
            snapshot_id=loaded.card.snapshot_id,
            # A model registered by hand may name no features; it can still answer for a state.
            features=FeatureService.from_dict(loaded.card.feature_service) if loaded.card.feature_service else None,
        )

    @cached_property
    def _registry(self) -> ModelRegistry:
        from trading.adapters.registry import ModelRegistry

        return ModelRegistry(self.tracking_url)


def test(model: DecisionModel) -> None:
    """Ask `model` the fixed states.

    Raises:
        ModelError: an answer is no decision, or a row alone gets another answer than in a batch.
    """
    together = [_bits(decision) for decision in model.decide(_TEST_STATES)]
    alone = [_bits(model.decide(_TEST_STATES[row : row + 1])[0]) for row in range(len(_TEST_STATES))]
    if together != alone:
        raise ModelError("expected the same answers alone and in a batch, found others; this model cannot be replayed")
    for action, confidence in together:
        if action not in (0, 1, 2) or not 0.0 <= confidence <= 1.0:
            raise ModelError(f"expected action 0-2 and confidence in [0, 1], found {action} and {confidence}")


def _bits(decision: Any) -> tuple[int, float]:
    return int(decision.action), float(decision.confidence)
