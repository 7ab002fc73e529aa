"""What is wrong with something that was served, and why: a cause from a short list, and the words.

Every check of serving/explanation/{feature_rows,models,sentiments} says both; `replay` shows the words, parity counts
the causes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why something is not made again as it was served."""

    RECORD_CHANGED = "record_changed"
    DEFINITION_GONE = "definition_gone"
    FEATURE_ROW_GONE = "feature_row_gone"
    FEATURE_ROW_CHANGED = "feature_row_changed"
    DATA_REVISED = "data_revised"
    VECTOR_DIFFERS = "vector_differs"
    MODEL_UNUSABLE = "model_unusable"
    ANSWER_DIFFERS = "answer_differs"
    ENVIRONMENT_DIFFERS = "environment_differs"
    SENTIMENT_DIFFERS = "sentiment_differs"


MEANING = {
    Cause.RECORD_CHANGED: "the stored record is not what was written: its hash is not that of its columns",
    Cause.DEFINITION_GONE: "the definition, or a function that it names, is gone or another",
    Cause.FEATURE_ROW_GONE: "the feature row that was served is not there",
    Cause.FEATURE_ROW_CHANGED: "the feature row that was served says something else now",
    Cause.DATA_REVISED: "the data beneath gives another row for the same question, or the served row is not made of it",
    Cause.VECTOR_DIFFERS: "the vector that was served is not the one that its feature row makes",
    Cause.MODEL_UNUSABLE: "the model version is gone, or its weights are not the recorded ones",
    Cause.ANSWER_DIFFERS: "the model answers the same question otherwise, in the same environment",
    Cause.ENVIRONMENT_DIFFERS: "the model answers otherwise, in another numeric environment",
    Cause.SENTIMENT_DIFFERS: "the analyst's score or its items are not those that the news gives",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    cause: Cause
    what: str


def record_changed() -> Finding:
    """Return that a record says something else than its hash."""
    return Finding(Cause.RECORD_CHANGED, "the stored record was changed: its hash is not that of its columns")
