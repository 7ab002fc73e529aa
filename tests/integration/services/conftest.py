"""Both services as users run them (`bentoml serve`), on a warehouse with sixty bars, two items of news and a registry."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from feature_store.build import dbt_build
from feature_store.news_scoring import score_news
from feature_store.store import FeatureStore
from trading.adapters.registry import ModelRegistry
from trading.learners.model_card import ModelCard
from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.features import FEATURE_COUNT
from trading.sentiment.head import SentimentHead
from trading.strategy import BuyAndHold, MacdCross

CHECKOUT = Path(__file__).parents[3]
FIRST_DAY = date(2012, 1, 2)
DAYS = [day for n in range(84) if (day := FIRST_DAY + timedelta(days=n)).weekday() < 5]


def decided_at(day: date) -> datetime:
    """Return a quarter of an hour after the close: when the day's bar can be known."""
    return datetime(day.year, day.month, day.day, 21, 15, tzinfo=UTC)


@dataclass
class Stage:
    """What the services stand on."""

    url: str
    mlflow_url: str
    registry: ModelRegistry
    store: FeatureStore
    days: list[date] = field(default_factory=lambda: DAYS)

    def register(self, model: MacdCross | BuyAndHold) -> str:
        """Register a rule that reads the newest daily features."""
        service = self.store.newest_service("trader-daily").to_dict()
        card = ModelCard(kind=model.kind, weights_sha256=model.sha256, feature_service=service)
        return self.registry.register("trader-daily", model, card)

    def register_head(self, seed: int) -> str:
        """Register a head of made-up weights: what it says is not the point here."""
        head = head_of(seed)
        card = ModelCard(kind="sentiment_head", weights_sha256=head.sha256)
        return self.registry.register("sentiment-head", head.to_bytes(), card)

    def head(self, seed: int) -> SentimentHead:
        return head_of(seed)


@dataclass
class Running:
    """One service process and a client to it."""

    url: str
    client: httpx.Client

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """Post JSON; a text is sent as it is."""
        content = body if isinstance(body, str) else json.dumps(body)
        return self.client.post(path, content=content, headers={"Content-Type": "application/json", **headers})

    def answer(self, path: str, body: object) -> dict:  # type: ignore[type-arg]
        """Post and return what a success says."""
        response = self.post(path, body)
        assert response.status_code == 200, response.text
        found: dict = response.json()  # type: ignore[type-arg]
        return found

    def wait_for(self, is_so: Callable[[httpx.Client], bool], seconds: float = 180) -> None:
        """Wait until something is so; on a busy machine a service starts in minutes."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if is_so(self.client):
                    return
            except httpx.TransportError:
                pass  # it is still starting
            assert time.monotonic() < deadline, "the service did not get there in time"
            time.sleep(0.1)


def head_of(seed: int) -> SentimentHead:
    weights = np.random.default_rng(seed).normal(size=(3, 256 + FEATURE_COUNT), scale=0.05)
    return SentimentHead(weights, np.zeros(3), WordLlamaEmbeddings().model)


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(name: str, folder: Path, **settings: str) -> Iterator[Running]:
    """Run a service; ends it, and its workers, exactly."""
    port = a_free_port()
    target = f"serving.{name}.service:{name.capitalize()}"
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True", **settings}
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=10) as client:
            running = Running(url, client)
            running.wait_for(lambda c: c.get("/livez").status_code == 200)
            yield running
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


@pytest.fixture
def free_port() -> int:
    """A port on which nothing answers yet."""
    return a_free_port()


@pytest.fixture(scope="session")
def run_service() -> Callable[..., object]:
    """Give `serving` to tests."""
    return serving


@pytest.fixture(scope="session")
def stage(postgres_url: str, mlflow_url: str) -> Iterator[Stage]:
    """A warehouse and a registry with everything that the services need."""
    name = f"services_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("create database {} template tradeloom_template strategy file_copy").format(sql.Identifier(name))
        )
    url = make_conninfo(postgres_url, dbname=name)
    found = Stage(url, mlflow_url, ModelRegistry(mlflow_url), FeatureStore(url))
    head_version = found.register_head(1)
    found.registry.set_alias("sentiment-head", "champion", head_version)
    dbt_build(
        found.url,
        arguments=("run", "--select", "indicators", "daily"),
        variables={"scorer": "head", "scorer_version": head_version},
    )
    _publish(found.url)
    score_news(found.url, head_of(1), "head", head_version, WordLlamaEmbeddings())
    found.registry.set_alias("trader-daily", "champion", found.register(MacdCross()))
    yield found
    found.store.close()


@pytest.fixture(scope="session")
def settings(stage: Stage) -> dict[str, str]:
    """The environment of both services."""
    return {
        "TRADELOOM_POSTGRES_URL": stage.url,
        "TRADELOOM_MLFLOW_URL": stage.mlflow_url,
        "TRADELOOM_ALIAS_POLL_SECONDS": "0.2",
    }


@pytest.fixture(scope="session")
def oracle(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The oracle, ready."""
    with serving("oracle", tmp_path_factory.mktemp("oracle"), **settings) as running:
        running.wait_for(lambda c: c.get("/readyz").status_code == 200)
        yield running


@pytest.fixture(scope="session")
def analyst(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The analyst, ready."""
    with serving("analyst", tmp_path_factory.mktemp("analyst"), **settings) as running:
        running.wait_for(lambda c: c.get("/readyz").status_code == 200)
        yield running


def _publish(url: str) -> None:
    """Publish sixty bars of AAPL that rise and fall, and three headlines."""
    with psycopg.connect(url) as conn:
        for day in DAYS:
            close = decided_at(day) - timedelta(minutes=15)
            conn.execute(
                "insert into trading.calendar_sessions values ('XNYS', %s, %s, %s) on conflict do nothing",
                (day, close - timedelta(hours=6, minutes=30), close),
            )
        batch, watermark = _batch(conn, "prices")
        conn.execute("select raw.make_partitions('prices', %s::timestamptz[])", (list(DAYS),))
        for place, day in enumerate(DAYS):
            price = round(400 + 20 * float(np.sin(place / 6)) + place / 10, 2)
            conn.execute(
                """insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume,
                    adjustment, nominal_at, known_at, watermark, batch_id, row_hash)
                values ('sample', 'AAPL', '1d', %(day)s::timestamp at time zone 'UTC', %(price)s, %(price)s + 1,
                    %(price)s - 1, %(price)s, 1000000, 'raw', %(at)s, %(at)s, %(watermark)s, %(batch)s,
                    sha256(convert_to(%(name)s, 'UTF8')))""",
                {
                    "day": day,
                    "price": price,
                    "at": decided_at(day),
                    "watermark": watermark,
                    "batch": batch,
                    "name": f"bar {day}",
                },
            )
    with psycopg.connect(url) as conn:
        batch, watermark = _batch(conn, "news")
        for name, day, headline in [
            ("old", DAYS[50], "Apple opened a store."),
            ("phone", DAYS[-3], "Apple sold a record number of phones."),
            ("suit", DAYS[-1], "Apple was sued over a patent."),
        ]:
            conn.execute(
                """insert into raw.news_items (source, news_id, headline, url, symbols, published_at, is_date_only,
                    nominal_at, known_at, watermark, batch_id, row_hash)
                values ('sample', %(name)s, %(headline)s, 'https://news.example/' || %(name)s, '{AAPL}', %(at)s, false,
                    %(at)s, %(at)s, %(watermark)s, %(batch)s, sha256(convert_to(%(name)s, 'UTF8')))""",
                {
                    "name": name,
                    "headline": headline,
                    "at": decided_at(day) - timedelta(hours=5),
                    "watermark": watermark,
                    "batch": batch,
                },
            )


def _batch(conn: psycopg.Connection, kind: str) -> tuple[int, int]:
    row = conn.execute(
        """insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name,
            rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)
        select %s, 'sample', 'history', now(), 'k', %s, 'n', 1, 1, 0, 0, 0, 'published', raw.take_watermark('test'), 't'
        returning batch_id, watermark""",
        (kind, secrets.token_hex(32)),
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
