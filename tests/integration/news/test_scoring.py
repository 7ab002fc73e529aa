"""Scoring what came in: one publishing transaction, nothing twice, nothing half."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from feature_store.news_scoring import ScoreReport, publish_scores, score_news
from feature_store.vectors import Judged, ScoredRow, retrieve_by_id, score_row_hash
from trading.errors import EngineUnavailableError
from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.features import FEATURE_COUNT
from trading.sentiment.head import SentimentHead
from trading.sentiment.scorers import Text, Verdict

pytestmark = pytest.mark.engines

EMBEDDINGS = WordLlamaEmbeddings()
MORNING = datetime(2012, 1, 20, 15, tzinfo=UTC)


def head() -> SentimentHead:
    weights = np.random.default_rng(3).normal(size=(3, 256 + FEATURE_COUNT), scale=0.05)
    return SentimentHead(weights, np.zeros(3), EMBEDDINGS.model)


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url) as conn:
        return conn.execute(query).fetchall()  # type: ignore[arg-type]


def test_what_came_in_is_embedded_and_scored_in_one_publishing_transaction(desk: Any) -> None:
    first = desk.publish("a", "Profit doubled.", MORNING)
    second = desk.publish("b", "The company was sued.", MORNING + timedelta(hours=1))
    before = desk.newest_watermark()
    report = score_news(desk.url, head(), "head", "4", EMBEDDINGS)
    assert report == ScoreReport("head", "4", embedded=2, scored=2, watermark=before + 1)
    texts = ["Profit doubled.", "The company was sued."]
    vectors = EMBEDDINGS.embed_documents(texts)
    expected = head().scores(texts, vectors)
    assert rows(desk.url, "select item_id, score, watermark from features.news_scores order by 1") == [
        (first, expected[0], before + 1),
        (second, expected[1], before + 1),
    ]
    stored = rows(
        desk.url, "select embedding::real[], embedding_model, watermark from features.news_embeddings order by item_id"
    )
    assert [row[1:] for row in stored] == [(EMBEDDINGS.model, before + 1)] * 2
    found = np.array([row[0] for row in stored], dtype=np.float32)
    assert found.tolist() == vectors, "no bit of a vector is lost"


def test_scored_again_it_adds_nothing_and_takes_no_watermark(desk: Any) -> None:
    desk.publish("a", "Profit doubled.", MORNING)
    score_news(desk.url, head(), "head", "4", EMBEDDINGS)
    before = desk.newest_watermark()
    assert score_news(desk.url, head(), "head", "4", EMBEDDINGS) == ScoreReport("head", "4", 0, 0, None)
    assert desk.newest_watermark() == before


def test_another_version_scores_beside_the_first_and_embeds_nothing_again(desk: Any) -> None:
    desk.publish("a", "Profit doubled.", MORNING)
    score_news(desk.url, head(), "head", "4", EMBEDDINGS)
    report = score_news(desk.url, head(), "head", "5", EMBEDDINGS)
    assert (report.embedded, report.scored) == (0, 1)
    assert rows(desk.url, "select scorer_version from features.news_scores order by score_id") == [("4",), ("5",)]


def test_a_correction_is_scored_as_a_text_of_its_own(desk: Any) -> None:
    desk.publish("a", "Profit doubled.", MORNING)
    score_news(desk.url, head(), "head", "4", EMBEDDINGS)
    desk.publish("a", "Profit halved.", MORNING, known_at=MORNING + timedelta(hours=2))
    assert score_news(desk.url, head(), "head", "4", EMBEDDINGS).scored == 1


def test_a_scorer_that_fails_leaves_nothing_behind(desk: Any) -> None:
    class Gone:
        name, version = "llm:gone", "1"

        def score(self, texts: Sequence[Text]) -> list[Verdict]:
            raise EngineUnavailableError(f"no answer to {len(texts)} texts")

    desk.publish("a", "Profit doubled.", MORNING)
    with pytest.raises(EngineUnavailableError):
        publish_scores(desk.url, Gone(), EMBEDDINGS)
    assert rows(desk.url, "select 1 from features.news_embeddings") == []


def test_a_score_verifies_by_its_hash_and_cannot_be_changed(desk: Any) -> None:
    item = desk.publish("a", "Profit doubled.", MORNING)
    score_news(desk.url, head(), "head", "4", EMBEDDINGS)
    ((item_hash, score, label, found),) = rows(
        desk.url,
        """select n.row_hash, z.score, z.label, z.row_hash
        from features.news_scores z join raw.news_items n using (item_id)""",
    )
    assert found == score_row_hash(Judged("head", "4"), ScoredRow(item, item_hash, score, label))
    with psycopg.connect(desk.url) as conn, pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        conn.execute("update features.news_scores set score = 0")


def test_named_items_come_with_their_scores_of_that_time(desk: Any) -> None:
    item = desk.publish("a", "Profit doubled.", MORNING)
    before = desk.newest_watermark()
    desk.score(item, 0.5)
    with psycopg.connect(desk.url) as conn:
        (now,) = retrieve_by_id(conn, [item], Judged("head", "1"), desk.newest_watermark())
        (then,) = retrieve_by_id(conn, [item], Judged("head", "1"), before)
    assert (now.score, then.score, now.headline) == (0.5, None, "Profit doubled.")
