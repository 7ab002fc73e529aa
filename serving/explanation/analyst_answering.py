"""Asks the analyst its recorded questions again, in a pinned process (pinned.py).

The analyst is the service's own, without HTTP: retrieval as known then, stored scores, and the pinned head for what had
none; a language model by its kept answers. Run as a module this file is that process.
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
    asked = [dict(question) for question in questions]
    answer = ask_pinned(__name__, asked, settings, who="analyst", timeout_seconds=timeout_seconds)
    return AnalystAnswers([_read(one) for one in answer["answers"]], answer["environment"])


def _read(answer: dict[str, Any]) -> tuple[float, Items] | str:
    if "problem" in answer:
        return str(answer["problem"])
    items = [(int(item_id), float.fromhex(score)) for item_id, score in answer["items"]]
    return float.fromhex(answer["score"]), items


def _answer(questions: list[dict[str, Any]]) -> dict[str, Any]:
    from serving.analyst.bootstrap import AnalystSettings, assemble
    from trading.learners.environment import numeric_environment

    settings = AnalystSettings.from_environment(os.environ)
    analyst = assemble(settings)
    answers = [_answer_to(_with_its_llm(analyst, settings, one), one) for one in questions]
    return {"answers": answers, "environment": numeric_environment()}


def _with_its_llm(analyst: Any, settings: Any, question: dict[str, Any]) -> Any:
    """Return the analyst with the language model that answered then: it may not be configured here any more."""
    from serving.explanation.kept_llm import PREFIX, kept_llm

    name = str(question.get("scorer"))
    return replace(analyst, llm=kept_llm(name, settings.postgres_url)) if name.startswith(PREFIX) else analyst


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
