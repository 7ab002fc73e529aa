"""Asks models their stored vectors again, in a pinned process (pinned.py).

`ask_again` hands it the models' bytes and the vectors, and reads bits back. Run as a module this file is that process.
Nothing here knows a database.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving.explanation.pinned import ask_pinned
from trading.errors import TradeloomError

if TYPE_CHECKING:
    from trading.ports import DecisionModel


@dataclass(frozen=True)
class Asked:
    """One model and the vectors to ask it."""

    kind: str
    payload: bytes
    vectors: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Answers:
    """(action, confidence) of each vector of each model, None where it has no answer, and the environment that answered."""

    by_model: dict[str, list[tuple[int, float] | None]]
    environment: dict[str, str]


def ask_again(models: Mapping[str, Asked], *, timeout_seconds: float = 300.0) -> Answers:
    """Return what each model answers now, keyed as given; a vector that no model can read has no answer.

    Raises:
        ModelError: the process failed, or gave no answer in time.
    """
    question = {
        name: {
            "kind": asked.kind,
            "payload": base64.b64encode(asked.payload).decode(),
            "vectors": [[float(value).hex() for value in vector] for vector in asked.vectors],
        }
        for name, asked in models.items()
    }
    answer = ask_pinned(__name__, question, {}, who="models", timeout_seconds=timeout_seconds)
    by_model = {
        name: [None if one is None else (one[0], float.fromhex(one[1])) for one in answers]
        for name, answers in answer["answers"].items()
    }
    return Answers(by_model, answer["environment"])


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    from trading.learners.environment import numeric_environment

    return {
        "answers": {name: _answers_of(asked) for name, asked in question.items()},
        "environment": numeric_environment(),
    }


def _answers_of(asked: dict[str, Any]) -> list[tuple[int, str] | None]:
    """One vector that was tampered with must not keep the others from being answered: asked again, one by one."""
    from trading.learners.loading import model_from_bytes

    vectors = [[float.fromhex(value) for value in vector] for vector in asked["vectors"]]
    try:
        model = model_from_bytes(asked["kind"], base64.b64decode(asked["payload"]))
    except (TradeloomError, ValueError):
        return [None] * len(vectors)
    together = _decided(model, vectors)
    if None not in together:
        return together
    return [answer for vector in vectors for answer in _decided(model, [vector])]


def _decided(model: DecisionModel, vectors: list[list[float]]) -> list[tuple[int, str] | None]:
    import numpy as np

    try:
        decisions = model.decide(np.array(vectors, dtype=np.float64)) if vectors else []
    except (TradeloomError, ValueError):
        return [None] * len(vectors)
    return [(int(decision.action), float(decision.confidence).hex()) for decision in decisions]


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
