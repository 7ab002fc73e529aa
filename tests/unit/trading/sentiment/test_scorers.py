"""Scorers: verdicts in range, and the head as a scorer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading.errors import ModelError
from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.features import FEATURE_COUNT
from trading.sentiment.head import SentimentHead
from trading.sentiment.scorers import HeadScorer, Text, Verdict

EMBEDDINGS = WordLlamaEmbeddings()


def head(embedding_model: str = EMBEDDINGS.model) -> SentimentHead:
    weights = np.random.default_rng(3).normal(size=(3, 256 + FEATURE_COUNT), scale=0.05)
    return SentimentHead(weights, np.zeros(3), embedding_model)


@pytest.mark.parametrize("score", [1.0000001, -1.5, math.nan, math.inf])
def test_a_score_out_of_range_is_refused(score: float) -> None:
    with pytest.raises(ModelError, match=r"expected a score in \[-1, 1\]"):
        Verdict(score, "neutral")


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ModelError, match="expected a label"):
        Verdict(0.0, "bullish")  # type: ignore[arg-type]


def test_a_text_gets_the_same_verdict_alone_and_among_others() -> None:
    scorer = HeadScorer(head(), EMBEDDINGS, "3")
    texts = [Text("Profit doubled."), Text("The company was sued, and " * 40), Text("A new chief was named.", 7)]
    assert scorer.score(texts) == [scorer.score([text])[0] for text in texts]
    assert [verdict.score for verdict in scorer.score(texts)] == scorer.head.scores(
        [text.text for text in texts], EMBEDDINGS.embed_documents([text.text for text in texts])
    )


def test_a_head_is_refused_vectors_that_it_was_not_trained_on() -> None:
    with pytest.raises(ModelError, match="head version 3 reads wordllama-256@0"):
        HeadScorer(head("wordllama-256@0.0.1"), EMBEDDINGS, "3")
