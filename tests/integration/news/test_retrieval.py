"""Retrieval as of a moment: exact in its window, and never wiser than one was."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import psycopg
import pytest
from langchain_core.embeddings import Embeddings

from feature_store.retriever import NewsRetriever
from feature_store.vectors import (
    Judged,
    NewsWindow,
    ensure_vector_index,
    nearest_of_all,
    retrieve_nearest,
    write_embeddings,
)
from trading.adapters.postgres import connection

pytestmark = pytest.mark.engines

MODEL = "letters"
HEAD = Judged("head", "1")
AS_OF = datetime(2012, 1, 20, 21, 15, tzinfo=UTC)


class Letters(Embeddings):
    """How often a, e, i and o occur in a text: an embedding one can check by hand."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(text.count(letter)) for letter in "aeio"]


def retriever(url: str, watermark: int, *, hours: float = 24, k: int = 3, as_of: datetime = AS_OF) -> NewsRetriever:
    window = NewsWindow("AAPL", as_of - timedelta(hours=hours), as_of, watermark)
    return NewsRetriever(
        connect=partial(connection, url), window=window, judged=HEAD, k=k, embeddings=Letters(), embedding_model=MODEL
    )


def embed(desk: Any, vectors: dict[int, Sequence[float]]) -> None:
    with psycopg.connect(desk.url) as conn:
        row = conn.execute("select raw.take_watermark('test embeddings')").fetchone()
        assert row is not None
        write_embeddings(conn, MODEL, vectors, row[0])


def hours_before(hours: float) -> datetime:
    return AS_OF - timedelta(hours=hours)


def test_without_a_query_the_newest_come_first(desk: Any) -> None:
    items = [desk.publish(f"n{hour}", f"Event {hour}", hours_before(hour)) for hour in (5, 1, 3, 2)]
    desk.score(items[1], 0.75)
    found = retriever(desk.url, desk.newest_watermark()).invoke("")
    assert [document.metadata["news_id"] for document in found] == ["n1", "n2", "n3"]
    assert [document.metadata["score"] for document in found] == [0.75, None, None]
    assert found[0].page_content == "Event 1"
    assert found[0].metadata["url"] == "https://news.example/n1"


def test_a_query_brings_the_nearest_whatever_their_age(desk: Any) -> None:
    texts = {"far": "ooo", "near": "aaa", "middle": "aao"}
    ids = {name: desk.publish(name, text, hours_before(place)) for place, (name, text) in enumerate(texts.items())}
    embed(desk, {ids[name]: Letters().embed_query(text) for name, text in texts.items()})
    found = retriever(desk.url, desk.newest_watermark(), k=2).invoke("aa")
    assert [document.metadata["news_id"] for document in found] == ["near", "middle"]


def test_an_item_not_embedded_yet_is_far_but_not_lost(desk: Any) -> None:
    embedded = desk.publish("embedded", "ooo", hours_before(3))
    desk.publish("fresh", "aaa", hours_before(1))
    embed(desk, {embedded: [0, 0, 0, 3]})
    found = retriever(desk.url, desk.newest_watermark()).invoke("aaa")
    assert [document.metadata["news_id"] for document in found] == ["embedded", "fresh"]


@pytest.mark.parametrize("query", ["", "aaa"])
def test_nothing_known_later_or_published_outside_the_window_comes_back(desk: Any, query: str) -> None:
    wanted = desk.publish("wanted", "In the window", hours_before(1))
    others = [
        desk.publish("later", "Known a second later", hours_before(1), known_at=AS_OF + timedelta(seconds=1)),
        desk.publish("older", "Published before the window", hours_before(24)),
        desk.publish("other", "Of somebody else", hours_before(1), symbols=["MSFT"]),
    ]
    watermark = desk.newest_watermark()
    others.append(desk.publish("backdated", "Ingested after the watermark", hours_before(1)))
    desk.score(wanted, 0.5)
    embed(desk, {item: [1, 1, 1, 1] for item in (wanted, *others)})
    found = retriever(desk.url, watermark, k=10).invoke(query)
    assert [document.metadata["news_id"] for document in found] == ["wanted"]
    assert found[0].metadata["score"] is None, "a score published after the watermark is not known at it"


def test_retrieval_in_a_window_has_recall_one(desk: Any) -> None:
    """3,000 vectors, an HNSW index beside them, windows of every size: always the brute-force answer."""
    draw = np.random.default_rng(7)
    moments = random.Random(7)
    vectors = draw.normal(size=(3000, 8))
    published = [hours_before(moments.uniform(0, 2000)) for _ in vectors]
    ids = _publish_many(desk, published)
    embed(desk, dict(zip(ids, vectors.tolist(), strict=True)))
    watermark = desk.newest_watermark()
    stored = vectors.astype(np.float32).astype(np.float64)
    with psycopg.connect(desk.url, options="-c timezone=UTC") as conn:
        ensure_vector_index(conn, MODEL, 8)
        conn.execute("analyze")
        for hours in (1, 24, 240, 1900):
            for question in draw.normal(size=(8, 8)):
                window = NewsWindow("AAPL", hours_before(hours), AS_OF, watermark)
                found = retrieve_nearest(conn, window, HEAD, 5, vector=question.tolist(), embedding_model=MODEL)
                inside = [place for place, moment in enumerate(published) if hours_before(hours) < moment <= AS_OF]
                expected = sorted(inside, key=lambda place: _distance(stored[place], question))[:5]
                assert [item.item_id for item in found] == [ids[place] for place in expected]


def test_search_over_all_news_uses_the_index_of_its_model(desk: Any) -> None:
    vectors = np.random.default_rng(1).normal(size=(400, 8))
    ids = _publish_many(desk, [AS_OF] * 400)
    embed(desk, dict(zip(ids, vectors.tolist(), strict=True)))
    with psycopg.connect(desk.url) as conn:
        ensure_vector_index(conn, MODEL, 8)
        ensure_vector_index(conn, MODEL, 8)
        conn.execute("set local enable_seqscan = off")
        nearest = nearest_of_all(conn, vectors[11].tolist(), embedding_model=MODEL, k=1)
        scans = conn.execute(
            "select indexrelname from pg_stat_user_indexes where indexrelname like '%hnsw%'"
        ).fetchall()
    assert nearest[0][0] == ids[11]
    assert len(scans) == 1


def test_the_view_gives_headline_url_embedding_and_newest_score_in_one_row(desk: Any) -> None:
    desk.publish("a", "First wording", hours_before(2))
    item = desk.publish("a", "Second wording", hours_before(2), known_at=hours_before(1))
    embed(desk, {item: [1, 2, 3, 4]})
    desk.score(item, 0.25)
    desk.score(item, -0.25, version="2")
    with psycopg.connect(desk.url) as conn:
        rows = conn.execute(
            "select headline, url, embedding::text, sentiment_score, scorer_version from features.news_with_sentiment"
        ).fetchall()
    assert rows == [("Second wording", "https://news.example/a", "[1,2,3,4]", -0.25, "2")]


def _distance(left: Any, right: Any) -> float:
    return 1 - float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def _publish_many(desk: Any, published: list[datetime]) -> list[int]:
    first = desk.publish("first", "The batch's row", hours_before(5000))
    with psycopg.connect(desk.url) as conn:
        rows = conn.execute(
            """insert into raw.news_items (source, news_id, headline, symbols, published_at, is_date_only, nominal_at,
                known_at, watermark, batch_id, row_hash)
            select n.source, 'm' || m.place, 'Event', n.symbols, m.moment, false, m.moment, m.moment, n.watermark,
                n.batch_id, n.row_hash
            from raw.news_items n, unnest(%s::timestamptz[]) with ordinality as m (moment, place)
            where n.item_id = %s order by m.place returning item_id""",
            (published, first),
        ).fetchall()
    return [item_id for (item_id,) in rows]
