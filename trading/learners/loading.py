"""From a kind and bytes back to a model: what the registry, the oracle and replay load by. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable

from trading.errors import ModelError
from trading.learners.policy_network import PolicyNetwork
from trading.ports import DecisionModel
from trading.strategy import BuyAndHold, MacdCross

LOADERS: dict[str, Callable[[bytes], DecisionModel]] = {
    MacdCross.kind: MacdCross.from_bytes,
    BuyAndHold.kind: BuyAndHold.from_bytes,
    PolicyNetwork.kind: PolicyNetwork.from_bytes,
}


def model_from_bytes(kind: str, payload: bytes) -> DecisionModel:
    """Return the decision model that wrote `payload`.

    Raises:
        ModelError: no such kind, or other bytes.
    """
    loader = LOADERS.get(kind)
    if loader is None:
        raise ModelError(f"expected a kind of {', '.join(sorted(LOADERS))}, found {kind!r}")
    return loader(payload)
