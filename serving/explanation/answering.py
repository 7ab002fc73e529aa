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

from trading.errors import ModelError, TradeloomError


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
    import numpy as np

    from trading.learners.loading import model_from_bytes

    numbers = [[float.fromhex(value) for value in vector] for vector in asked["vectors"]]
    try:
        model = model_from_bytes(asked["kind"], base64.b64decode(asked["payload"]))
        decisions = model.decide(np.array(numbers, dtype=np.float64)) if numbers else []
    except (TradeloomError, ValueError):
        if len(numbers) == 1:
            return [None]
        return [answer for vector in asked["vectors"] for answer in _answers_of({**asked, "vectors": [vector]})]
    return [(int(decision.action), float(decision.confidence).hex()) for decision in decisions]


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
