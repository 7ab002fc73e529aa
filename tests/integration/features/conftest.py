"""A warehouse with the project's definitions, and bars written straight into raw: ingestion is tested elsewhere."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from psycopg import sql

from feature_store import definitions
from feature_store.build import dbt_build
from feature_store.store import FeatureStore


@dataclass(frozen=True)
class Bar:
    """One version of a daily bar; `known_at` is its nominal time unless given."""

    symbol: str
    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    known_at: datetime | None = None

    @property
    def nominal_at(self) -> datetime:
        return nominal(self.day)

    @property
    def known(self) -> datetime:
        return self.known_at or self.nominal_at

    @property
    def row_hash(self) -> bytes:
        return sha256(repr(self).encode()).digest()


@dataclass(frozen=True)
class Split:
    """One version of a split."""

    symbol: str
    ex_date: date
    ratio: Decimal
    known_at: datetime


def nominal(day: date) -> datetime:
    return datetime.fromisoformat(f"{day}T21:15:00+00:00")


def midnight(day: date) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


class Warehouse:
    """A database to publish into and to ask."""

    Bar = Bar
    Split = Split

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = FeatureStore(url)
        self.conn = psycopg.connect(url, autocommit=True, options="-c timezone=UTC")

    def publish(
        self,
        source: str,
        bars: Sequence[Bar] = (),
        splits: Sequence[Split] = (),
        adjustment: str = "raw",
        interval: str = "1d",
    ) -> int:
        """Publish in one transaction and return its watermark."""
        with self.conn.transaction():
            watermark = self.one("select raw.take_watermark('test')")
            batch = self._batch(source, watermark, len(bars) + len(splits))
            self.conn.execute("select raw.make_partitions('prices', %s)", ([midnight(bar.day) for bar in bars],))
            with self.conn.cursor().copy(
                "copy raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment,"
                " nominal_at, known_at, watermark, batch_id, row_hash) from stdin"
            ) as copy:
                for bar in bars:
                    prices = (bar.open, bar.high, bar.low, bar.close, bar.volume, adjustment)
                    when = (bar.nominal_at, bar.known, watermark, batch, bar.row_hash)
                    copy.write_row((source, bar.symbol, interval, midnight(bar.day), *prices, *when))
            for split in splits:
                self.conn.execute(
                    "insert into raw.corporate_actions (source, symbol, kind, ex_date, ratio, nominal_at, known_at,"
                    " watermark, batch_id, row_hash) values (%s, %s, 'split', %s, %s, %s, %s, %s, %s, %s)",
                    (source, split.symbol, split.ex_date, split.ratio, split.known_at, split.known_at, watermark, batch,
                     secrets.token_bytes(32)),
                )  # fmt: skip
        return int(watermark)

    def publish_news(self, news_id: str, symbol: str, published_at: datetime, known_at: datetime | None = None) -> int:
        """Publish one headline and return its item."""
        with self.conn.transaction():
            watermark = self.one("select raw.take_watermark('test')")
            batch = self._batch("wire", watermark, 1, kind="news")
            return int(self.one(
                "insert into raw.news_items (source, news_id, headline, symbols, published_at, is_date_only, nominal_at,"
                " known_at, watermark, batch_id, row_hash) values ('wire', %s, 'x', %s, %s, false, %s, %s, %s, %s, %s)"
                " returning item_id",
                news_id, [symbol], published_at, published_at, known_at or published_at, watermark, batch,
                secrets.token_bytes(32),
            ))  # fmt: skip

    def score(self, item: int, score: float, scorer: str = "head", version: str = "1") -> None:
        """Publish one score."""
        with self.conn.transaction():
            self.conn.execute(
                "insert into features.news_scores (item_id, scorer, scorer_version, score, label, watermark, row_hash)"
                " values (%s, %s, %s, %s, 'neutral', raw.take_watermark('test'), %s)",
                (item, scorer, version, score, secrets.token_bytes(32)),
            )

    def advance(self, to_watermark: int | None = None) -> None:
        definitions.advance(self.url, to_watermark)

    def one(self, query: str, *parameters: Any) -> Any:
        """Return the first field of the first row."""
        row = self.conn.execute(query, parameters).fetchone()
        assert row is not None
        return row[0]

    def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.conn.execute(query, parameters).fetchall()

    def active(self, view: str) -> str:
        return definitions.active(self.url, view)

    def fill_calendar(self, first: date, last: date) -> None:
        """Open the exchange on every weekday of a range."""
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        for day in days:
            if day.weekday() < 5:
                self.conn.execute(
                    "insert into trading.calendar_sessions values ('XNYS', %s, %s, %s)",
                    (day, midnight(day) + timedelta(hours=14, minutes=30), midnight(day) + timedelta(hours=21)),
                )

    def close(self) -> None:
        self.store.close()
        self.conn.close()

    def _batch(self, source: str, watermark: int, rows: int, kind: str = "prices") -> int:
        return int(self.one(
            "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256,"
            " payload_name, rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark,"
            " trace_id) values (%s, %s, 'live', now(), 'k', %s, 'n', %s, %s, 0, 0, 0, 'published', %s, 't')"
            " returning batch_id",
            kind, source, secrets.token_hex(32), rows, rows, watermark,
        ))  # fmt: skip


@pytest.fixture(scope="session")
def built_url(postgres_url: str) -> str:
    """A database with the project's definitions as a dbt build registers them: one build serves all tests."""
    name = f"built_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("create database {} template tradeloom_template strategy file_copy").format(sql.Identifier(name))
        )
    url = psycopg.conninfo.make_conninfo(postgres_url, dbname=name)
    dbt_build(url, arguments=("run", "--select", "config.materialized:versioned"))
    return url


@pytest.fixture(scope="session")
def built_definitions(built_url: str) -> list[tuple[str, str, str]]:
    """What a dbt build registers of the indicators and of the day, as (view, sql, parameters)."""
    with psycopg.connect(built_url) as conn:
        found = conn.execute(
            "select view, sql, parameters from features.definitions where view <> 'marts.indicators_extended'"
            " order by view desc"
        ).fetchall()
    return [
        (view, text, json.dumps({k: v for k, v in parameters.items() if k != "indicators"}))
        for view, text, parameters in found
    ]


@pytest.fixture(scope="session")
def extended_definition(built_url: str) -> tuple[str, str, str]:
    """What a dbt build registers of the second view of indicators, as (view, sql, parameters)."""
    with psycopg.connect(built_url) as conn:
        found = conn.execute(
            "select view, sql, parameters::text from features.definitions where view = 'marts.indicators_extended'"
        ).fetchone()
    assert found is not None
    return found


@pytest.fixture
def empty_warehouse(database_url: str) -> Iterator[Warehouse]:
    """Migrated, nothing built."""
    opened = Warehouse(database_url)
    yield opened
    opened.close()


@pytest.fixture
def warehouse(empty_warehouse: Warehouse, built_definitions: list[tuple[str, str, str]]) -> Warehouse:
    """Migrated, with the project's definitions and no data."""
    for view, text, parameters in built_definitions:
        definitions.register(empty_warehouse.url, view, text, json.loads(parameters))
    return empty_warehouse


@pytest.fixture
def extended_warehouse(empty_warehouse: Warehouse, extended_definition: tuple[str, str, str]) -> Warehouse:
    """Migrated, with the second view of indicators alone and no data."""
    view, text, parameters = extended_definition
    definitions.register(empty_warehouse.url, view, text, json.loads(parameters))
    return empty_warehouse


@pytest.fixture(scope="module")
def shared_extended_warehouse(postgres_url: str, extended_definition: tuple[str, str, str]) -> Iterator[Warehouse]:
    """The same for all tests of a file: they only read what its own fixture publishes."""
    name = sql.Identifier(f"extended_{secrets.token_hex(6)}")
    view, text, parameters = extended_definition
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {} template tradeloom_template strategy file_copy").format(name))
        opened = Warehouse(psycopg.conninfo.make_conninfo(postgres_url, dbname=name.as_string(conn).strip('"')))
        definitions.register(opened.url, view, text, json.loads(parameters))
        yield opened
        opened.close()
        conn.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture
def built_warehouse(postgres_url: str, built_url: str) -> Iterator[Warehouse]:
    """A copy of what the dbt build made, the words on each feature included, and no data."""
    name, built = f"built_{secrets.token_hex(6)}", psycopg.conninfo.conninfo_to_dict(built_url)["dbname"]
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        copied = sql.SQL("create database {} template {} strategy file_copy")
        conn.execute(copied.format(sql.Identifier(name), sql.Identifier(str(built))))
        opened = Warehouse(psycopg.conninfo.make_conninfo(postgres_url, dbname=name))
        yield opened
        opened.close()
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
