"""Embeds and scores the news that came in: one publishing transaction per scorer version.

Idempotent: what has an embedding or a score keeps it, and a run that finds nothing new takes no watermark. Run again
after a crash it completes, because the features are advanced to the newest watermark whether or not this run
published. Which texts exist is raw.news_items'; what a score is, trading/sentiment/scorers.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from feature_store.vectors import (
    Judged,
    ScoredRow,
    ensure_vector_index,
    news_text,
    write_embeddings,
    write_scores,
)
from trading.adapters.postgres import connection
from trading.sentiment.scorers import HeadScorer, Scorer, Text

if TYPE_CHECKING:
    from trading.sentiment.embeddings import WordLlamaEmbeddings
    from trading.sentiment.head import SentimentHead


@dataclass(frozen=True)
class ScoreReport:
    """What one run of scoring did; `watermark` is None if there was nothing to publish."""

    scorer: str
    scorer_version: str
    embedded: int
    scored: int
    watermark: int | None


def score_news(
    database_url: str,
    head: SentimentHead,
    scorer: str,
    scorer_version: str,
    embeddings: WordLlamaEmbeddings,
) -> ScoreReport:
    """Embed and score with one version of the local head whatever has no embedding or no score of it yet.

    Args:
        database_url: The warehouse.
        head: The loaded head.
        scorer: The name kept beside the scores, `head`.
        scorer_version: The head's version in the registry, as text.
        embeddings: What the head was trained on.
    """
    return publish_scores(database_url, HeadScorer(head, embeddings, scorer_version, scorer), embeddings)


def publish_scores(database_url: str, scorer: Scorer, embeddings: WordLlamaEmbeddings) -> ScoreReport:
    """Embed and score the news with any scorer, then bring the features up to date.

    Raises:
        EngineUnavailableError: the warehouse or the scorer does not answer; nothing of this run was published.
        ModelError: the scorer's answer was refused; nothing of this run was published.
    """
    judged = Judged(scorer.name, scorer.version)
    report = _publish(database_url, judged, scorer, embeddings)
    _advance_features(database_url)
    return report


def active_scorers(database_url: str) -> list[Judged]:
    """Return each (scorer, version) that an active feature definition reads."""
    with connection(database_url) as conn:
        if not _exists(conn, "to_regclass('features.definition_status')"):
            return []
        rows = conn.execute(
            """select distinct d.parameters ->> 'scorer', d.parameters ->> 'scorer_version'
            from features.definition_status as d
            where d.status = 'active' and d.parameters ? 'scorer' and d.parameters ? 'scorer_version'
            order by 1, 2"""
        ).fetchall()
    return [Judged(scorer, version) for scorer, version in rows]


def _publish(database_url: str, judged: Judged, scorer: Scorer, embeddings: WordLlamaEmbeddings) -> ScoreReport:
    # What is slow is done before the transaction: its watermark's lock holds every other publisher back.
    with connection(database_url) as conn:
        unembedded = _without(conn, "news_embeddings", "embedding_model = %s", [embeddings.model])
        unscored = _without(conn, "news_scores", "scorer = %s and scorer_version = %s", [*vars(judged).values()])
    vectors = embeddings.embed_documents([item.text for item in unembedded])
    rows = _scored(scorer, unscored)
    if not vectors and not rows:
        return ScoreReport(judged.scorer, judged.scorer_version, 0, 0, None)
    with connection(database_url) as conn:
        watermark = _take_watermark(conn)
        by_item = {item.item_id: vector for item, vector in zip(unembedded, vectors, strict=True)}
        embedded = write_embeddings(conn, embeddings.model, by_item, watermark)
        if vectors:
            ensure_vector_index(conn, embeddings.model, len(vectors[0]))
        scored = write_scores(conn, judged, rows, watermark)
    return ScoreReport(judged.scorer, judged.scorer_version, embedded, scored, watermark)


@dataclass(frozen=True)
class _Item:
    item_id: int
    row_hash: bytes
    text: str


def _without(conn: psycopg.Connection, table: str, condition: str, values: Sequence[object]) -> list[_Item]:
    found = conn.execute(
        f"""select n.item_id, n.row_hash, n.headline, n.body
        from raw.news_items as n
        where not exists (select from features.{table} as t where t.item_id = n.item_id and {condition})
        order by n.item_id""",
        values,
    )
    return [_Item(item_id, row_hash, news_text(headline, body)) for item_id, row_hash, headline, body in found]


def _scored(scorer: Scorer, items: Sequence[_Item]) -> list[ScoredRow]:
    if not items:
        return []
    verdicts = scorer.score([Text(item.text, item.item_id) for item in items])
    return [
        ScoredRow(item.item_id, item.row_hash, verdict.score, verdict.label)
        for item, verdict in zip(items, verdicts, strict=True)
    ]


def _take_watermark(conn: psycopg.Connection) -> int:
    row = conn.execute("select raw.take_watermark('news_scores')").fetchone()
    assert row is not None, "raw.take_watermark answers with one row"
    return int(row[0])


def _advance_features(database_url: str) -> None:
    with connection(database_url) as conn:
        if _exists(conn, "to_regproc('features.advance')"):
            conn.execute("call features.advance(raw.newest_watermark())")


def _exists(conn: psycopg.Connection, lookup: str) -> bool:
    row = conn.execute(f"select {lookup} is not null").fetchone()
    return row is not None and bool(row[0])
