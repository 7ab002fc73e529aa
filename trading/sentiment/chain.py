"""One LangChain chain: what is known of a symbol, and what a scorer says of it.

    retriever | scorer

The retriever is handed in (feature_store/retriever.py makes it over the warehouse), so is the scorer; this module
only joins them. Stored scores are taken as they are; what has none is scored here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from trading.sentiment.scorers import Scorer, Text

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.runnables import Runnable


@dataclass(frozen=True)
class JudgedNews:
    """The sentiment of some news: the mean of its items' scores, in the retriever's order; 0 of no items."""

    score: float
    items: tuple[tuple[Document, float], ...]


def sentiment_chain(retriever: Runnable[str, list[Document]], scorer: Scorer) -> Runnable[str, JudgedNews]:
    """Return the chain; its input is the query, "" for the newest first.

    Args:
        retriever: Gives documents with `item_id` and `score` (None where the scorer has not scored it) as metadata.
        scorer: Scores the documents that have no score yet.
    """
    from langchain_core.runnables import RunnableLambda

    return retriever | RunnableLambda(partial(judge, scorer), name="scorer")


def judge(scorer: Scorer, documents: Sequence[Document]) -> JudgedNews:
    """Return the judgement of `documents`.

    Raises:
        ModelError: the scorer gave an answer that is refused.
        EngineUnavailableError: the scorer does not answer.
    """
    unscored = [document for document in documents if document.metadata["score"] is None]
    verdicts = (
        iter(scorer.score([Text(d.page_content, d.metadata["item_id"]) for d in unscored])) if unscored else iter(())
    )
    scores = [
        next(verdicts).score if document.metadata["score"] is None else float(document.metadata["score"])
        for document in documents
    ]
    mean = sum(scores) / len(scores) if scores else 0.0
    return JudgedNews(mean, tuple(zip(documents, scores, strict=True)))
