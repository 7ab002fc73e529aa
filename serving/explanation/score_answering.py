"""Asks the analyst's scorers the recorded texts again, in a pinned process (pinned.py).

The scorers are the service's own, without HTTP: the head by its version, a language model by its kept answers. Run as a
module this file is that process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from serving.explanation.pinned import ask_pinned
from trading.errors import EngineError, TradeloomError


@dataclass(frozen=True)
class AskedScores:
    """One request: whose scores of which texts; `model_name` is the registered model of a head."""

    model_name: str
    scorer: str
    scorer_version: str
    texts: Sequence[str]


@dataclass(frozen=True)
class Scored:
    """The scores and labels of one request, and the sha256 of the weights that gave them (None: no weights here)."""

    scores: Sequence[float]
    labels: Sequence[str]
    weights_sha256: str | None


@dataclass(frozen=True)
class ScoreAnswers:
    """What became of each request, or why there is no answer; and the environment that answered."""

    answers: list[Scored | str]
    environment: dict[str, str]


def ask_scores(
    asked: Sequence[AskedScores], settings: Mapping[str, str], *, timeout_seconds: float = 600.0
) -> ScoreAnswers:
    """Return what the analyst's scorers answer now; `settings` are the variables that say where engines are.

    Raises:
        ModelError: the process failed, or gave no answer in time.
    """
    question = [{**vars(one), "texts": list(one.texts)} for one in asked]
    answer = ask_pinned(__name__, question, settings, who="analyst", timeout_seconds=timeout_seconds)
    return ScoreAnswers([_read(one) for one in answer["answers"]], answer["environment"])


def _read(answer: dict[str, Any]) -> Scored | str:
    if "problem" in answer:
        return str(answer["problem"])
    return Scored([float.fromhex(score) for score in answer["scores"]], answer["labels"], answer["weights_sha256"])


def _answer(questions: list[dict[str, Any]]) -> dict[str, Any]:
    from serving.analyst.bootstrap import AnalystSettings, assemble
    from trading.learners.environment import numeric_environment

    settings = AnalystSettings.from_environment(os.environ)
    names = {question["model_name"] for question in questions}
    analysts = {name: assemble(replace(settings, model=name)) for name in names}
    answers = [_answer_to(analysts[question["model_name"]], question) for question in questions]
    return {"answers": answers, "environment": numeric_environment()}


def _answer_to(analyst: Any, question: dict[str, Any]) -> dict[str, Any]:
    scorer, version = question["scorer"], question["scorer_version"]
    try:
        found = analyst.scores(question["texts"], scorer, version)
        weights = analyst.scorings.weights_sha256(scorer, version)
    except EngineError:
        raise
    except (TradeloomError, ValueError) as error:
        return {"problem": " ".join(str(error).split())}
    return {"scores": [score.hex() for score in found.scores], "labels": found.labels, "weights_sha256": weights}


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
