"""News as vectors: what is retrieved as of (as_of, watermark), and how embeddings and scores are written.

Retrieval is exact: the window is filtered first and materialised, only then is distance computed. Beside a filter an
approximate index returns rows of other days and drops the ones asked for (recall 0.000, measured), so HNSW serves
`nearest_of_all` alone, which filters nothing. The SQL of the as-of rule and of the daily sentiment is migration
0009_news.sql; the LangChain face of `retrieve` is feature_store/retriever.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from trading.identity import row_hash


@dataclass(frozen=True)
class NewsWindow:
    """Which news is asked for: of one symbol, published after a moment, as known at (as_of, watermark)."""

    symbol: str
    published_after: datetime
    as_of: datetime
    watermark: int


@dataclass(frozen=True)
class Judged:
    """Whose scores are asked for."""

    scorer: str
    scorer_version: str


@dataclass(frozen=True)
class RetrievedNews:
    """One version of a news item; `score` is None where the scorer had not scored it by the watermark."""

    item_id: int
    source: str
    news_id: str
    headline: str
    body: str
    url: str
    published_at: datetime
    known_at: datetime
    score: float | None

    @property
    def text(self) -> str:
        """Return what is embedded and scored."""
        return news_text(self.headline, self.body)


@dataclass(frozen=True)
class DailySentiment:
    """The daily feature's value: in [-1, 1], and the items that made it, in order of item_id."""

    sentiment: float
    item_ids: tuple[int, ...]


@dataclass(frozen=True)
class ScoredRow:
    """One score to be written."""

    item_id: int
    item_hash: bytes
    score: float
    label: str


_COLUMNS = sql.SQL("n.item_id, n.source, n.news_id, n.headline, n.body, n.url, n.published_at, n.known_at, z.score")

_IN_WINDOW = sql.SQL("""
with in_window as materialized (
    select n.*
    from features.news_about(%(symbol)s, %(published_after)s, %(as_of)s, %(watermark)s) as n
)
select {columns}
from in_window as n
left join features.news_scores as z
    on z.item_id = n.item_id
    and z.scorer = %(scorer)s
    and z.scorer_version = %(scorer_version)s
    and z.watermark <= %(watermark)s
""").format(columns=_COLUMNS)

_NEWEST_FIRST = sql.SQL("{} order by n.nominal_at desc, n.item_id desc limit %(k)s").format(_IN_WINDOW)

# An item whose embedding is not written yet is far away, not gone.
_NEAREST_FIRST = sql.SQL("""{}
left join features.news_embeddings as e
    on e.item_id = n.item_id and e.embedding_model = %(embedding_model)s and e.watermark <= %(watermark)s
order by e.embedding <=> %(vector)s::vector nulls last, n.nominal_at desc, n.item_id desc
limit %(k)s""").format(_IN_WINDOW)


def news_text(headline: str, body: str) -> str:
    """Return the text of an item that is embedded and scored: its headline, and its body where it has one."""
    return f"{headline}\n{body}" if body else headline


def retrieve_newest(conn: psycopg.Connection, window: NewsWindow, judged: Judged, k: int) -> list[RetrievedNews]:
    """Return the `k` newest items of the window, newest first."""
    return _fetch(conn, _NEWEST_FIRST, {**vars(window), **vars(judged), "k": k})


def retrieve_nearest(
    conn: psycopg.Connection,
    window: NewsWindow,
    judged: Judged,
    k: int,
    *,
    vector: Sequence[float],
    embedding_model: str,
) -> list[RetrievedNews]:
    """Return the `k` items of the window nearest to `vector` by cosine distance, nearest first; exact."""
    asked = {"k": k, "vector": vector_text(vector), "embedding_model": embedding_model}
    return _fetch(conn, _NEAREST_FIRST, {**vars(window), **vars(judged), **asked})


def retrieve_by_id(
    conn: psycopg.Connection, item_ids: Sequence[int], judged: Judged, watermark: int
) -> list[RetrievedNews]:
    """Return the named items in order of item_id."""
    query = sql.SQL("""
        select {columns}
        from raw.news_items as n
        left join features.news_scores as z
            on z.item_id = n.item_id
            and z.scorer = %(scorer)s
            and z.scorer_version = %(scorer_version)s
            and z.watermark <= %(watermark)s
        where n.item_id = any(%(item_ids)s)
        order by n.item_id""").format(columns=_COLUMNS)
    return _fetch(conn, query, {**vars(judged), "watermark": watermark, "item_ids": list(item_ids)})


def nearest_of_all(
    conn: psycopg.Connection, vector: Sequence[float], *, embedding_model: str, k: int
) -> list[tuple[int, float]]:
    """Return (item_id, cosine distance) of the `k` nearest versions of all news; approximate, for search by people."""
    width = len(vector)
    query = sql.SQL("""
        select e.item_id, e.embedding::vector({width}) <=> %s::vector({width}) as distance
        from features.news_embeddings as e
        where e.embedding_model = {model}
        order by e.embedding::vector({width}) <=> %s::vector({width})
        limit %s""").format(width=sql.Literal(width), model=sql.Literal(embedding_model))
    text = vector_text(vector)
    return [(int(item_id), float(distance)) for item_id, distance in conn.execute(query, (text, text, k))]


def daily_sentiment(
    conn: psycopg.Connection, symbol: str, decision_at: datetime, as_of: datetime, watermark: int, judged: Judged
) -> DailySentiment:
    """Return the daily feature's value as `features.sentiment_v1` computes it, to the bit."""
    row = conn.execute(
        "select sentiment, item_ids from features.sentiment_v1(%s, %s, %s, %s, %s, %s)",
        (symbol, decision_at, as_of, watermark, judged.scorer, judged.scorer_version),
    ).fetchone()
    assert row is not None, "features.sentiment_v1 answers with exactly one row"
    return DailySentiment(sentiment=row[0], item_ids=tuple(row[1]))


def decision_time(
    conn: psycopg.Connection, symbol: str, as_of: datetime, watermark: int, source: str | None = None
) -> datetime | None:
    """Return `decision_at` of the symbol's latest daily feature row as of (as_of, watermark), None if there is none.

    Without a source the one of best precedence that has a row then answers, as it does for the feature row itself.
    """
    row = conn.execute(
        """select r.decision_at
        from raw.sources as s
        cross join lateral (
            select d.decision_at from features.daily as d
            where d.source = s.source and d.symbol = %(symbol)s
                and d.known_at <= %(as_of)s and d.watermark <= %(watermark)s
            order by d.timestamp desc, d.known_at desc, d.watermark desc, d.row_id desc
            limit 1
        ) as r
        where %(source)s::text is null or s.source = %(source)s
        order by s.precedence
        limit 1""",
        {"symbol": symbol, "as_of": as_of, "watermark": watermark, "source": source},
    ).fetchone()
    return None if row is None else row[0]


def ensure_vector_index(conn: psycopg.Connection, embedding_model: str, width: int) -> None:
    """Create the HNSW index of one embedding model, partial and on a cast, unless it is there.

    A column of free width holds every model's vectors; an index needs one width, hence one per model.
    """
    name = "news_embeddings_hnsw_" + hashlib.sha256(f"{embedding_model}/{width}".encode()).hexdigest()[:12]
    conn.execute(
        sql.SQL(
            "create index if not exists {name} on features.news_embeddings "
            "using hnsw ((embedding::vector({width})) vector_cosine_ops) where embedding_model = {model}"
        ).format(name=sql.Identifier(name), width=sql.Literal(width), model=sql.Literal(embedding_model))
    )


def write_embeddings(
    conn: psycopg.Connection, embedding_model: str, vectors: Mapping[int, Sequence[float]], watermark: int
) -> int:
    """Append the embeddings that are not there yet (item_id -> vector); return how many were new."""
    return conn.execute(
        """insert into features.news_embeddings (item_id, embedding_model, embedding, watermark)
        select v.item_id, %s, v.embedding::vector, %s
        from unnest(%s::bigint[], %s::text[]) as v (item_id, embedding)
        on conflict do nothing""",
        (embedding_model, watermark, list(vectors), [vector_text(v) for v in vectors.values()]),
    ).rowcount


def write_scores(conn: psycopg.Connection, judged: Judged, rows: Sequence[ScoredRow], watermark: int) -> int:
    """Append the scores that are not there yet; return how many were new."""
    return conn.execute(
        """insert into features.news_scores (item_id, scorer, scorer_version, score, label, watermark, row_hash)
        select v.item_id, %(scorer)s, %(scorer_version)s, v.score, v.label, %(watermark)s, v.row_hash
        from unnest(%(item_ids)s::bigint[], %(scores)s::double precision[], %(labels)s::text[], %(hashes)s::bytea[])
            as v (item_id, score, label, row_hash)
        order by v.item_id
        on conflict do nothing""",
        {
            **vars(judged),
            "watermark": watermark,
            "item_ids": [row.item_id for row in rows],
            "scores": [row.score for row in rows],
            "labels": [row.label for row in rows],
            "hashes": [score_row_hash(judged, row) for row in rows],
        },
    ).rowcount


def score_row_hash(judged: Judged, row: ScoredRow) -> bytes:
    """Return the identity of one score: of the item's content, the scorer and what it said."""
    return row_hash([row.item_hash, judged.scorer, judged.scorer_version, row.score, row.label])


def vector_text(vector: Sequence[float]) -> str:
    """Return pgvector's text form; `repr` keeps every bit of a 32-bit float."""
    return "[" + ",".join(repr(float(part)) for part in vector) + "]"


def _fetch(conn: psycopg.Connection, query: sql.Composed, asked: dict[str, Any]) -> list[RetrievedNews]:
    with conn.cursor(row_factory=class_row(RetrievedNews)) as cursor:
        return cursor.execute(query, asked).fetchall()
