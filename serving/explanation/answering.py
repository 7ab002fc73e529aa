"""Asks models their stored vectors again, in a process whose numeric environment is pinned before anything is imported.

`ask_again` starts that process, hands it the models' bytes and the vectors, and reads bits back (floats go as
hexadecimal text, which loses nothing). Run as a module this file is that process. Nothing here knows a database.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading.errors import ModelError


@dataclass(frozen=True)
class Asked:
    """One model and the vectors to ask it."""

    kind: str
    payload: bytes
    vectors: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Answers:
    """(action, confidence) of each vector of each model, and the environment that answered."""

    by_model: dict[str, list[tuple[int, float]]]
    environment: dict[str, str]


def ask_again(models: Mapping[str, Asked], *, timeout_seconds: float = 300.0) -> Answers:
    """Return what each model answers now, keyed as given.

    Raises:
        ModelError: the process failed: a model that cannot be made from its bytes, or no answer in time.
    """
    from trading.learners.environment import pin_numeric_environment

    question = {
        name: {
            "kind": asked.kind,
            "payload": base64.b64encode(asked.payload).decode(),
            "vectors": [[float(value).hex() for value in vector] for vector in asked.vectors],
        }
        for name, asked in models.items()
    }
    environment = {**os.environ, **pin_numeric_environment({})}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "serving.explanation.answering"],
            input=json.dumps(question),
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"expected the models to answer within {timeout_seconds:g} s, found silence") from error
    if done.returncode != 0:
        raise ModelError(f"expected the models to answer, found: {(done.stderr.strip() or 'nothing').splitlines()[-1]}")
    answer = json.loads(done.stdout)
    by_model = {
        name: [(action, float.fromhex(confidence)) for action, confidence in answers]
        for name, answers in answer["answers"].items()
    }
    return Answers(by_model, answer["environment"])


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from trading.learners.environment import numeric_environment
    from trading.learners.loading import model_from_bytes

    answers = {}
    for name, asked in question.items():
        model = model_from_bytes(asked["kind"], base64.b64decode(asked["payload"]))
        numbers = [[float.fromhex(value) for value in vector] for vector in asked["vectors"]]
        decisions = model.decide(np.array(numbers, dtype=np.float64)) if numbers else []
        answers[name] = [(int(decision.action), float(decision.confidence).hex()) for decision in decisions]
    return {"answers": answers, "environment": numeric_environment()}


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
