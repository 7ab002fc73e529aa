"""A whole platform in a state folder of its own, and a desk that does the main job on it in small: half a year, five symbols.

Everything is the product's own: engines by `tradeloom up`, data through the source `files`, dbt, the registry, both
services over HTTP, the loop. Only the order of the steps, which Dagster knows, is written here by hand.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from feature_store.build import DBT_PROJECT, dbt_build
from feature_store.news_scoring import score_news
from feature_store.services import newest_service
from feature_store.store import FeatureStore
from infra.local.endpoints import KEYS, VARIABLES, Endpoints
from serving.explanation.replay import Sources
from serving.trading_loop.bootstrap import LoopSettings, SessionReport, run_session
from serving.trading_loop.session import SessionTerms
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import connection
from trading.adapters.registry import ModelRegistry
from trading.adapters.sources.files import Files
from trading.adapters.sources.sample import Sample
from trading.learners.environment import lock_hash, numeric_environment
from trading.learners.model_card import ModelCard
from trading.sentiment.corpus import load_corpus
from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.head import HeadConfig, train_head
from trading.strategy import MacdCross

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
FIRST_BAR, LAST_BAR = "2011-08-01", "2012-06-29"
DELIVERED = datetime(2012, 7, 2, 12, tzinfo=UTC)
LATE_BAR = ("IBM", "2012-03-15")
PRICE_COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume")


@dataclass
class Desk:
    """The main job by hand on one running platform."""

    home: Path
    files: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a command of this platform."""
        ours = {*VARIABLES.values(), *KEYS}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return {**kept, "TRADELOOM_HOME": str(self.home)}

    @property
    def endpoints(self) -> Endpoints:
        """Return where the engines are now: a restart may move them."""
        return Endpoints.resolve(self.environment)

    @property
    def url(self) -> str:
        """The warehouse."""
        return self.endpoints.postgres_url

    @property
    def objects(self) -> ObjectStore:
        """The object store."""
        found = self.endpoints
        return ObjectStore(found.s3_endpoint, found.s3_access_key, found.s3_secret_key, found.s3_bucket)

    @property
    def registry(self) -> ModelRegistry:
        """The registry."""
        return ModelRegistry(self.endpoints.mlflow_url)

    def command(self, *arguments: str, code: int = 0) -> str:
        """Run a `tradeloom` command as a user would; return what it printed."""
        return self._run(arguments, code).stdout

    def refused(self, *arguments: str) -> str:
        """Run a command that must end with exit code 1 and one line; return the line."""
        done = self._run(arguments, 1)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stderr
        return done.stderr

    def _run(self, arguments: Sequence[str], code: int) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        return done

    def up(self) -> None:
        """Start the engines and services that a session needs."""
        self.command("up", "--detach", "oracle", "analyst")

    def down(self) -> None:
        """Stop them."""
        self.command("down")

    def deliver(
        self, name: str, kind: Any, columns: Sequence[str], rows: Sequence[Mapping[str, str]], **when: Any
    ) -> Any:
        """Ingest rows as one CSV file of the source `files`."""
        path = self.files / name
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        when.setdefault("now", DELIVERED)
        return ingest(Files(path), kind, database_url=self.url, object_store=self.objects, **when)

    def train_head(self, config: HeadConfig | None = None) -> str:
        """Train the sentiment head, register it, move its alias, score all news with it; return its version."""
        sentences, embeddings = load_corpus(), WordLlamaEmbeddings()
        texts = [one.text for one in sentences]
        labels = [one.label for one in sentences]
        vectors = embeddings.embed_documents(texts)
        head = train_head(texts, vectors, labels, seed=7, embedding_model=embeddings.model, config=config)
        card = ModelCard(kind="sentiment_head", weights_sha256=head.sha256, lock_hash=lock_hash())
        version = self.registry.register("sentiment-head", head.to_bytes(), card)
        self.registry.set_alias("sentiment-head", "champion", version)
        score_news(self.url, head, "head", version, embeddings)
        return version

    def build(self, head_version: str, project: Path = DBT_PROJECT, *options: str) -> None:
        """Build the marts and features under one version of the head."""
        scorer = {"scorer": "head", "scorer_version": head_version}
        dbt_build(self.url, variables=scorer, arguments=("run", *options), project=project)

    def register_rule(self) -> str:
        """Register the MACD rule on the newest definitions as `champion`; return its version."""
        service, rule = newest_service(self.url, "trader-daily"), MacdCross()
        card = ModelCard(
            kind=rule.kind,
            weights_sha256=rule.sha256,
            feature_service=service.to_dict(),
            definitions={service.view: service.definition},
            lock_hash=lock_hash(),
            numeric_environment=numeric_environment(),
        )
        version = self.registry.register("trader-daily", rule, card)
        self.registry.set_alias("trader-daily", "champion", version)
        return version

    def trade(self, name: str) -> SessionReport:
        """Replay the last months as one session."""
        terms = SessionTerms(
            name=name,
            source="files",
            symbols=SYMBOLS,
            first_timestamp=datetime(2012, 1, 3, tzinfo=UTC),
            last_timestamp=datetime(2012, 6, 29, tzinfo=UTC),
        )
        return run_session(terms, LoopSettings.from_environment(self.endpoints.environment()))

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query."""
        with psycopg.connect(self.url, options="-c timezone=UTC") as conn:
            return conn.execute(query, values).fetchall()

    @contextmanager
    def sources(self) -> Iterator[Sources]:
        """Yield what explanations read, without the start of a command each time."""
        with connection(self.url) as conn:
            features = FeatureStore(self.url)
            yield Sources(conn, features, self.objects, self.registry)
            features.close()

    def explained(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """Run `tradeloom explain` and return its list."""
        (found,) = json.loads(self.command("explain", *arguments, "--json", code=code)).values()
        return list(found)

    def replayed(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """Run `tradeloom replay` and return its list."""
        return list(json.loads(self.command("replay", *arguments, "--json", code=code))["decisions"])


def sample_prices() -> list[dict[str, str]]:
    """Return the sample's bars of the months and symbols of the desk, as the vendor wrote them."""
    lines = csv.DictReader(gzip.decompress(Sample().deliver("prices", None).payload).decode().splitlines())
    return [
        {
            "symbol": line["Ticker"],
            "timestamp": line["Date"],
            **{name: line[name.capitalize()] for name in PRICE_COLUMNS[2:]},
        }
        for line in lines
        if line["Ticker"] in SYMBOLS and FIRST_BAR <= line["Date"] <= LAST_BAR
    ]


def sample_news() -> list[dict[str, str]]:
    """Return the sample's news of the desk's months."""
    lines = csv.DictReader(Sample().deliver("news", None).payload.decode().splitlines())
    return [line for line in lines if "2011-12" <= line["published_at"] <= LAST_BAR]


@contextmanager
def prepared_desk() -> Iterator[Desk]:
    """Yield a platform with half a year of data, a head, definitions and one traded session."""
    home = Path(tempfile.mkdtemp(prefix="tl-e2e-")).resolve()
    files = Path(tempfile.mkdtemp(prefix="tl-e2e-files-"))
    desk = Desk(home, files)
    try:
        desk.up()
        on_time = [bar for bar in sample_prices() if (bar["symbol"], bar["timestamp"]) != LATE_BAR]
        desk.deliver("prices.csv", "prices", PRICE_COLUMNS, on_time)
        news = sample_news()
        desk.deliver("news.csv", "news", tuple(news[0]), news)
        desk.build(desk.train_head())
        desk.register_rule()
        desk.trade("first")
        yield desk
    finally:
        desk.down()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(files, ignore_errors=True)
