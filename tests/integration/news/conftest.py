"""A warehouse with ten sessions of January 2012 and a way to publish news into it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

SESSIONS = [date(2012, 1, day) for day in (9, 10, 11, 12, 13, 17, 18, 19, 20, 23)]  # the 16th was a holiday


def close_of(day: date) -> datetime:
    """Return 16:00 New York in winter."""
    return datetime(day.year, day.month, day.day, 21, tzinfo=UTC)


@dataclass
class NewsDesk:
    """Publishes news and scores, each call one transaction with its own watermark."""

    url: str
    _published: int = field(default=0)

    def publish(
        self,
        news_id: str,
        headline: str,
        published_at: datetime,
        *,
        symbols: Sequence[str] = ("AAPL",),
        known_at: datetime | None = None,
    ) -> int:
        """Publish one version of an item; return its item_id."""
        self._published += 1
        sha = hashlib.sha256(f"{news_id}{self._published}".encode()).hexdigest()
        with psycopg.connect(self.url) as conn:
            row = conn.execute(
                """with b as (
                    insert into raw.ingestion_batches (
                        kind, source, mode, received_at, payload_key, payload_sha256, payload_name, rows_in,
                        rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id
                    )
                    select 'news', 'sample', 'history', now(), %(sha)s, %(sha)s, 'n.csv', 1, 1, 0, 0, 0, 'published',
                        raw.take_watermark('test news'), 'test'
                    returning batch_id, watermark
                )
                insert into raw.news_items (
                    source, news_id, headline, url, symbols, published_at, is_date_only, nominal_at, known_at,
                    watermark, batch_id, row_hash
                )
                select 'sample', %(news_id)s, %(headline)s, 'https://news.example/' || %(news_id)s, %(symbols)s,
                    %(published)s, false, %(published)s, %(known)s, b.watermark, b.batch_id,
                    sha256(convert_to(%(sha)s, 'UTF8'))
                from b returning item_id""",
                {
                    "sha": sha,
                    "news_id": news_id,
                    "headline": headline,
                    "symbols": list(symbols),
                    "published": published_at,
                    "known": known_at or published_at,
                },
            ).fetchone()
        assert row is not None
        return int(row[0])

    def score(self, item_id: int, score: float, *, scorer: str = "head", version: str = "1") -> None:
        """Publish one score."""
        with psycopg.connect(self.url) as conn:
            conn.execute(
                """insert into features.news_scores
                    (item_id, scorer, scorer_version, score, label, watermark, row_hash)
                values (%s, %s, %s, %s, 'neutral', raw.take_watermark('test scores'), sha256(''))""",
                (item_id, scorer, version, score),
            )

    def newest_watermark(self) -> int:
        """Return the newest watermark."""
        with psycopg.connect(self.url) as conn:
            row = conn.execute("select raw.newest_watermark()").fetchone()
        assert row is not None
        return int(row[0])

    def sentiment(
        self,
        symbol: str,
        decision_at: datetime,
        *,
        as_of: datetime | None = None,
        watermark: int | None = None,
        version: str = "1",
    ) -> tuple[float, int, list[int]]:
        """Return what features.sentiment_v1 says."""
        with psycopg.connect(self.url) as conn:
            row = conn.execute(
                "select * from features.sentiment_v1(%s, %s, %s, %s, 'head', %s)",
                (
                    symbol,
                    decision_at,
                    as_of or decision_at,
                    self.newest_watermark() if watermark is None else watermark,
                    version,
                ),
            ).fetchone()
        assert row is not None
        return row[0], row[1], row[2]


@pytest.fixture
def desk(database_url: str) -> NewsDesk:
    """A news desk over a fresh warehouse whose calendar knows ten sessions."""
    with psycopg.connect(database_url) as conn, conn.cursor() as cursor:
        cursor.executemany(
            "insert into trading.calendar_sessions values ('XNYS', %s, %s, %s) on conflict do nothing",
            [(day, close_of(day) - timedelta(hours=6, minutes=30), close_of(day)) for day in SESSIONS],
        )
    return NewsDesk(database_url)
