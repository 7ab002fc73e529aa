"""A trained policy in NumPy: what serves, replays and judges. Torch is for training only (trading/learners/ppo.py).

Every row is computed by itself, in float64, with each sum in one fixed order and an exponential of our own: nothing but
IEEE 754's + - * / and comparisons. So an answer does not depend on batch-mates, threads, BLAS or the width of the CPU's
vectors. A tanh or a matrix product of a library would not give that: a PPO policy in torch gives other bits for most
rows in a batch than alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trading.errors import ModelError
from trading.learners.standardisation import Standardisation
from trading.learners.tensors import pack_tensors, unpack_tensors
from trading.nouns import Action, Decision
from trading.strategy import STATE_WIDTH, checked_vectors

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # fdlibm's split of ln 2
_INVERSE_LN2 = 1.4426950408889634
_TAYLOR = tuple(1.0 / math.factorial(power) for power in range(13, -1, -1))  # |r| <= ln(2)/2: the rest is below 1e-17


class PolicyNetwork:
    """Standardisation, affine layers with ReLU between them, softmax over the three actions.

    Tensors by name, float32: `standardisation.{scales,mean,deviation}`, `layers.N.weight` [out, in], `layers.N.bias`
    [out].
    """

    kind = "policy_network"

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        """Refuse tensors that are not a policy of six inputs and three actions.

        Raises:
            ModelError: a tensor is missing, does not fit its neighbour, or is not finite.
        """
        self.tensors = dict(tensors)
        try:
            self._standardisation = Standardisation(
                *(tensors[f"standardisation.{name}"] for name in ("scales", "mean", "deviation"))
            )
            count = sum(name.startswith("layers.") for name in tensors) // 2
            self._layers = [_layer(tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]) for i in range(count)]
        except (KeyError, ValueError) as error:
            raise ModelError(f"expected the tensors of a policy network, found {sorted(tensors)}") from error
        widths = [STATE_WIDTH, *(len(bias) for _, bias in self._layers)]
        fits = [weight.shape == (widths[i], widths[i + 1]) for i, (weight, _) in enumerate(self._layers)]
        if not self._layers or not all(fits) or widths[-1] != len(Action):
            raise ModelError(
                f"expected layers from {STATE_WIDTH} inputs to {len(Action)} actions, found widths {widths}"
            )
        if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
            raise ModelError("expected finite weights, found NaN or infinity")

    def decide(self, vectors: NDArray[np.float64]) -> list[Decision]:
        """Return the likeliest action per row with its probability; equal ones go to the lower action."""
        decisions = []
        for row in self.probabilities(vectors).tolist():
            best = max(range(len(row)), key=row.__getitem__)
            decisions.append(Decision(Action(best), row[best]))
        return decisions

    def probabilities(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of HOLD, BUY and SELL per row, float64[n, 3]."""
        inputs = self._standardisation.apply(checked_vectors(vectors))
        return np.array([self._row(row) for row in inputs], dtype=np.float64).reshape(-1, len(Action))

    def to_bytes(self) -> bytes:
        """Return the state dict as canonical bytes."""
        return pack_tensors(self.kind, self.tensors)

    @classmethod
    def from_bytes(cls, payload: bytes) -> PolicyNetwork:
        """Return the network that `to_bytes` wrote."""
        return cls(unpack_tensors(cls.kind, payload))

    @cached_property
    def sha256(self) -> str:
        """The hash of the state dict."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def _row(self, values: NDArray[np.float64]) -> list[float]:
        *hidden, (last_weight, last_bias) = self._layers
        for weight, bias in hidden:
            values = np.maximum(_affine(values, weight, bias), 0.0)
        return softmax(_affine(values, last_weight, last_bias).tolist())


def softmax(logits: list[float]) -> list[float]:
    """Return probabilities that follow from the logits by + - * / alone."""
    top = max(logits)
    powers = [exponential(logit - top) for logit in logits]
    whole = sum(powers)
    return [power / whole for power in powers]


def exponential(x: float) -> float:
    """Return e**x for x <= 0 to about one unit in the last place.

    e**x = 2**k * e**r with k the nearest integer to x / ln 2, and e**r by its Taylor sum. `math.exp` follows the C
    library, which differs from machine to machine; this does not.
    """
    if x < -700.0:
        return 0.0
    k = math.floor(x * _INVERSE_LN2 + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    total = 0.0
    for coefficient in _TAYLOR:
        total = total * r + coefficient
    return math.ldexp(total, k)


def _layer(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.ascontiguousarray(weight.T, dtype=np.float64), bias.astype(np.float64)


def _affine(values: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values @ weight + bias, summed over the inputs in their order (a reduction over the slow axis adds
    rows)."""
    total: NDArray[np.float64] = np.add.reduce(values[:, None] * weight, axis=0) + bias
    return total
