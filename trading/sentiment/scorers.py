"""Scorers: what turns a text into a score in [-1, 1] and a label.

A scorer has a name and a version, and both are kept beside every score it gives: `head` with the version of the
registered sentiment head, or `llm:<model>` with the hash of its prompt (trading/sentiment/llm.py). What is scored
alone and what is scored among others gets the same score. Retrieval and storage live in feature_store.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from trading.errors import ModelAnswerError, ModelError

if TYPE_CHECKING:
    from trading.sentiment.embeddings import WordLlamaEmbeddings
    from trading.sentiment.head import SentimentHead

Label = Literal["positive", "neutral", "negative"]
LABELS: tuple[Label, ...] = ("positive", "neutral", "negative")
HEAD_SCORER = "head"


@dataclass(frozen=True)
class Text:
    """One text to be scored; `item_id` is the news item it is of, None for a text that somebody sent."""

    text: str
    item_id: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What a scorer says of one text: a score in [-1, 1] and a label.

    Raises:
        ModelAnswerError: the score is out of range or not a number, or the label is unknown.
    """

    score: float
    label: Label

    def __post_init__(self) -> None:
        if not (math.isfinite(self.score) and -1.0 <= self.score <= 1.0):
            raise ModelAnswerError(f"expected a score in [-1, 1], found {self.score}; the answer is refused")
        if self.label not in LABELS:
            raise ModelAnswerError(
                f"expected a label of {', '.join(LABELS)}, found {self.label!r}; the answer is refused"
            )


class Scorer(Protocol):
    """Scores texts; the same text gets the same score alone or among others."""

    @property
    def name(self) -> str:
        """Return the scorer's name as kept beside its scores."""
        ...

    @property
    def version(self) -> str:
        """Return the scorer's version as kept beside its scores."""
        ...

    def score(self, texts: Sequence[Text]) -> list[Verdict]:
        """Return one verdict per text, in order."""
        ...


@dataclass(frozen=True)
class HeadScorer:
    """The local default: a logistic head on word embeddings, a version of the registered `sentiment-head`."""

    head: SentimentHead
    embeddings: WordLlamaEmbeddings
    version: str
    name: str = HEAD_SCORER

    def __post_init__(self) -> None:
        """Refuse vectors that the head was not trained on.

        Raises:
            ModelError: the head reads another embedding model.
        """
        if self.head.embedding_model != self.embeddings.model:
            raise ModelError(
                f"head version {self.version} reads {self.head.embedding_model}, found {self.embeddings.model}; "
                "train the head again, or install what it was trained on"
            )

    def score(self, texts: Sequence[Text]) -> list[Verdict]:
        """Return one verdict per text.

        Raises:
            ValueError: a text is empty or blank.
        """
        plain = [text.text for text in texts]
        vectors = self.embeddings.embed_documents(plain)
        rows = self.head.probabilities(plain, vectors)
        return [Verdict(float(row[0] - row[2]), LABELS[int(row.argmax())]) for row in rows]
