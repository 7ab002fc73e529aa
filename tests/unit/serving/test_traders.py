"""What serves must answer the same alone and in a batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.oracle import traders
from trading.errors import ModelError
from trading.nouns import Action, Decision
from trading.strategy import BuyAndHold, MacdCross


class Answers:
    """A model that answers as a test says."""

    kind, sha256 = "test", "00"

    def __init__(self, answer: Callable[[NDArray[np.float64]], list[Decision]]) -> None:
        self.decide = answer

    def to_bytes(self) -> bytes:
        return b""


@pytest.mark.parametrize("model", [MacdCross(), BuyAndHold()])
def test_the_rules_pass(model: MacdCross | BuyAndHold) -> None:
    traders.test(model)


def test_a_model_that_looks_at_its_batch_mates_is_refused() -> None:
    model = Answers(lambda rows: [Decision(Action.HOLD, 1.0 / len(rows)) for _ in rows])
    with pytest.raises(ModelError, match="cannot be replayed"):
        traders.test(model)


@pytest.mark.parametrize("confidence", [1.5, -0.1])
def test_a_confidence_that_is_no_probability_is_refused(confidence: float) -> None:
    model = Answers(lambda rows: [Decision(Action.HOLD, confidence) for _ in rows])
    with pytest.raises(ModelError, match="confidence in"):
        traders.test(model)
