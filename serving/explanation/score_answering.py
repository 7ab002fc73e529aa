"""Asks the analyst's scorers the recorded texts again, in a pinned process (pinned.py).

The scorers are the service's own, without HTTP: the head by its version, a language model by its kept answers. Run as a
module this file is that process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from serving.explanation.pinned import ask_pinned
from trading.errors import EngineError, ModelError, TradeloomError


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
    from serving.analyst.bootstrap import AnalystSettings
    from trading.learners.environment import numeric_environment

    scorer = cache(partial(_scorer, AnalystSettings.from_environment(os.environ)))
    return {"answers": [_answer_to(scorer, one) for one in questions], "environment": numeric_environment()}


def _scorer(settings: Any, model_name: str, name: str, version: str) -> Any:
    from serving.analyst.heads import RegisteredHeads
    from serving.explanation.kept_llm import kept_llm
    from trading.sentiment.scorers import HEAD_SCORER

    if name == HEAD_SCORER:
        return RegisteredHeads(settings.mlflow_url, model_name).load(version)
    llm = kept_llm(name, settings.postgres_url)
    if llm.version != version:
        raise ModelError(f"{name} has version {llm.version} here, found version {version} recorded")
    return llm


def _answer_to(scorer: Callable[..., Any], question: dict[str, Any]) -> dict[str, Any]:
    from trading.sentiment.scorers import HeadScorer, Text

    try:
        asked = scorer(question["model_name"], question["scorer"], question["scorer_version"])
        found = asked.score([Text(text) for text in question["texts"]])
    except EngineError:
        raise
    except (TradeloomError, ValueError) as error:
        return {"problem": " ".join(str(error).split())}
    return {
        "scores": [verdict.score.hex() for verdict in found],
        "labels": [verdict.label for verdict in found],
        "weights_sha256": asked.head.sha256 if isinstance(asked, HeadScorer) else None,
    }


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
