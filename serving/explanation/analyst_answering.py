"""Asks the analyst its recorded questions again, in a process whose numeric environment is pinned before any import.

The analyst is the service's own, without HTTP: retrieval as known then, stored scores, and the pinned head for what had
none. Run as a module this file is that process; scores travel as hexadecimal text, which loses nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trading.errors import EngineError, ModelError, TradeloomError

Items = list[tuple[int, float]]


@dataclass(frozen=True)
class AnalystAnswers:
    """(score, items) of each question, or why there is none; and the environment that answered."""

    answers: list[tuple[float, Items] | str]
    environment: dict[str, str]


def ask_analyst(
    questions: Sequence[Mapping[str, Any]], settings: Mapping[str, str], *, timeout_seconds: float = 600.0
) -> AnalystAnswers:
    """Return what the analyst answers now to whole requests; `settings` are the variables that say where engines are.

    Raises:
        ModelError: the process failed, or gave no answer in time.
    """
    from trading.learners.environment import pin_numeric_environment

    try:
        done = subprocess.run(
            [sys.executable, "-m", "serving.explanation.analyst_answering"],
            input=json.dumps([dict(question) for question in questions]),
            env={**os.environ, **pin_numeric_environment({}), **settings},
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"expected the analyst to answer within {timeout_seconds:g} s, found silence") from error
    if done.returncode != 0:
        raise ModelError(
            f"expected the analyst to answer, found: {(done.stderr.strip() or 'nothing').splitlines()[-1]}"
        )
    answer = json.loads(done.stdout)
    return AnalystAnswers([_read(one) for one in answer["answers"]], answer["environment"])


def _read(answer: dict[str, Any]) -> tuple[float, Items] | str:
    if "problem" in answer:
        return str(answer["problem"])
    items = [(int(item_id), float.fromhex(score)) for item_id, score in answer["items"]]
    return float.fromhex(answer["score"]), items


def _answer(questions: list[dict[str, Any]]) -> dict[str, Any]:
    from serving.analyst.bootstrap import AnalystSettings, assemble
    from trading.learners.environment import numeric_environment

    analyst = assemble(AnalystSettings.from_environment(os.environ))
    return {"answers": [_answer_to(analyst, one) for one in questions], "environment": numeric_environment()}


def _answer_to(analyst: Any, question: dict[str, Any]) -> dict[str, Any]:
    from serving.analyst.wire import SentimentRequest

    try:
        found = analyst.sentiment(SentimentRequest.model_validate_json(json.dumps(question)))
    except EngineError:
        raise
    except (TradeloomError, ValueError) as error:
        return {"problem": " ".join(str(error).split())}
    items = [(item.item_id, item.score.hex()) for item in found.items]
    return {"score": found.score.hex(), "items": items}


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
