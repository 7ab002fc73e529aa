"""What the analyst does: from a symbol and a moment to a score and its items, and from texts to scores.

Knows no HTTP. Whatever is asked without a pinned version is answered by the head that the alias names, or by the
language model if the service was given one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from langchain_core.runnables import Runnable

from feature_store.retriever import NewsRetriever
from feature_store.vectors import Judged, NewsWindow, daily_sentiment, decision_time, retrieve_by_id
from serving.analyst.heads import PinnedHead
from serving.analyst.recording import Scorings
from serving.analyst.wire import ScoreRequest, Scores, Sentiment, SentimentRequest, UsedItem
from serving.following import AliasFollower, VersionCache
from serving.refusals import NotReady
from serving.warehouse import WarehouseConnections
from trading.adapters.served_sentiments import ServedSentiment, record_sentiment
from trading.errors import ModelError
from trading.sentiment.chain import JudgedNews, sentiment_chain
from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.llm import LlmScorer
from trading.sentiment.scorers import HEAD_SCORER, HeadScorer, Scorer, Text
from trading.telemetry import current_trace_id


@dataclass(frozen=True)
class Analyst:
    """The warehouse's news and the scorers in service."""

    warehouse: WarehouseConnections
    embeddings: WordLlamaEmbeddings
    versions: VersionCache[HeadScorer]
    follower: AliasFollower[HeadScorer]
    llm: LlmScorer | None
    environment: dict[str, str]
    scorings: Scorings

    def sentiment(self, asked: SentimentRequest) -> Sentiment:
        """Return the sentiment of a symbol.

        Raises:
            NotReady: no head is served yet and none was pinned.
            EngineUnavailableError: the warehouse or the language model does not answer.
            ModelError: the scorer cannot be had, or its answer was refused.
        """
        scorer = self._scorer(asked.scorer, asked.scorer_version)
        judged = Judged(scorer.name, scorer.version)
        as_of = asked.as_of or datetime.now(UTC)
        with self.warehouse.connect() as conn:
            watermark = _newest_watermark(conn) if asked.watermark is None else asked.watermark
            daily = None if asked.window_sessions is None else _daily(conn, asked, judged, as_of, watermark)
        score, items = daily or _answer(self._chain(asked, scorer, as_of, watermark).invoke(asked.query or ""))
        return Sentiment(
            score=score,
            items=items,
            scorer=judged.scorer,
            scorer_version=judged.scorer_version,
            as_of=as_of,
            watermark=watermark,
        )

    def keep(self, asked: SentimentRequest, answer: Sentiment) -> None:
        """Record an answer with its whole request, its moment and scorer filled in, so that it can be asked again.

        Raises:
            EngineUnavailableError: the warehouse cannot be written to; the answer is not given then.
        """
        filled = {name: getattr(answer, name) for name in ("as_of", "watermark", "scorer", "scorer_version")}
        whole = asked.model_copy(update=filled).model_dump(mode="json", exclude={"kept_by_caller"})
        row = ServedSentiment(
            symbol=asked.symbol,
            **filled,
            asked=whole,
            score=answer.score,
            items=[item.model_dump(mode="json") for item in answer.items],
            environment=self.environment,
            trace_id=current_trace_id(),
            served_at=datetime.now(UTC),
        )
        with self.warehouse.connect() as conn:
            record_sentiment(conn, row)

    def score(self, asked: ScoreRequest) -> Scores:
        """Return one score and one label per text; `scorings` keeps them."""
        scorer = self._scorer(None, asked.scorer_version)
        verdicts = scorer.score([Text(text) for text in asked.texts])
        return Scores(
            scores=[verdict.score for verdict in verdicts],
            labels=[verdict.label for verdict in verdicts],
            scorer=scorer.name,
            scorer_version=scorer.version,
        )

    def state(self) -> dict[str, object]:
        """Return what is served, for /version."""
        served = self.follower.served
        return {
            "alias": self.follower.alias,
            "scorer": HEAD_SCORER if self.llm is None else self.llm.name,
            "head_version": None if served is None else served.version,
            "head_sha256": None if served is None else served.model.head.sha256,
            "embedding_model": self.embeddings.model,
            "problem": self.follower.problem,
        }

    def problem(self) -> str | None:
        """Return why the analyst cannot answer now, None if it can."""
        if self.llm is None and self.follower.served is None:
            return f"no sentiment head is served yet: {self.follower.problem}"
        return self.warehouse.problem()

    def _scorer(self, name: str | None, version: str | None) -> Scorer:
        if self.llm is not None and name in (None, self.llm.name):
            if version not in (None, self.llm.version):
                raise ModelError(
                    f"{self.llm.name} has version {self.llm.version} here, found version {version} asked for"
                )
            return self.llm
        if name not in (None, HEAD_SCORER):
            raise ModelError(f"expected scorer {HEAD_SCORER} or the configured language model, found {name!r}")
        if version is not None:
            return PinnedHead(version, self.versions)
        served = self.follower.served
        if served is None:
            raise NotReady(f"no sentiment head is served yet: {self.follower.problem}")
        return served.model

    def _chain(
        self, asked: SentimentRequest, scorer: Scorer, as_of: datetime, watermark: int
    ) -> Runnable[str, JudgedNews]:
        retriever = NewsRetriever(
            connect=self.warehouse.connect,
            window=NewsWindow(asked.symbol, as_of - timedelta(hours=asked.window_hours), as_of, watermark),
            judged=Judged(scorer.name, scorer.version),
            k=asked.k,
            embeddings=self.embeddings,
            embedding_model=self.embeddings.model,
        )
        return sentiment_chain(retriever, scorer)


def _daily(
    conn: psycopg.Connection, asked: SentimentRequest, judged: Judged, as_of: datetime, watermark: int
) -> tuple[float, list[UsedItem]]:
    decision_at = asked.decision_at or decision_time(conn, asked.symbol, as_of, watermark, asked.source) or as_of
    value = daily_sentiment(conn, asked.symbol, decision_at, as_of, watermark, judged)
    items = retrieve_by_id(conn, value.item_ids, judged, watermark) if value.item_ids else []
    return value.sentiment, [
        UsedItem(
            item_id=item.item_id,
            news_id=item.news_id,
            headline=item.headline,
            url=item.url,
            published_at=item.published_at,
            score=item.score,
        )
        for item in items
        if item.score is not None
    ]


def _answer(judged: JudgedNews) -> tuple[float, list[UsedItem]]:
    return judged.score, [
        UsedItem(
            item_id=document.metadata["item_id"],
            news_id=document.metadata["news_id"],
            headline=document.metadata["headline"],
            url=document.metadata["url"],
            published_at=document.metadata["published_at"],
            score=score,
        )
        for document, score in judged.items
    ]


def _newest_watermark(conn: psycopg.Connection) -> int:
    row = conn.execute("select raw.newest_watermark()").fetchone()
    assert row is not None, "raw.newest_watermark answers with one row"
    return int(row[0])
