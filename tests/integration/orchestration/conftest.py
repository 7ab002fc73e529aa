"""Single assets run through Dagster, handed plain objects: some that work, some whose engine is gone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from assets.scope import MarketScope
from orchestration.failures import clear_errors
from orchestration.main_job import FIRST_KEY, LAST_KEY
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.registry import ModelRegistry
from trading.adapters.sources.files import Files
from trading.errors import TradeloomError

HEADER = "symbol,timestamp,open,high,low,close,volume"
HOLIDAYS = {
    date(2023, 1, 2),
    date(2023, 1, 16),
    date(2023, 2, 20),
    date(2023, 4, 7),
    date(2023, 5, 29),
    date(2023, 6, 19),
}
DAYS = [day for n in range(180) if (day := date(2023, 1, 2) + timedelta(days=n)).weekday() < 5 and day not in HOLIDAYS]


@dataclass(frozen=True)
class Bench:
    """A warehouse, an object store, two files, and a way to run one asset with some of its resources replaced."""

    url: str
    store: ObjectStore
    folder: Path
    dead_port: int

    @property
    def scope(self) -> MarketScope:
        return MarketScope(
            source="files", prices_file=str(self.folder / "prices.csv"), news_file=str(self.folder / "news.csv")
        )

    @property
    def bars(self) -> int:
        """How many bars the file of prices has: two symbols, each session of half a year."""
        return 2 * len(DAYS)

    @property
    def dead_store(self) -> ObjectStore:
        """An object store that is gone."""
        return ObjectStore(f"http://127.0.0.1:{self.dead_port}", "k" * 20, "s" * 40)

    @property
    def dead_warehouse(self) -> Warehouse:
        """A PostgreSQL that is gone."""
        return Warehouse(f"postgresql://nobody:x@127.0.0.1:{self.dead_port}/tradeloom")

    @property
    def dead_registry(self) -> ModelRegistry:
        """An MLflow that is gone."""
        return ModelRegistry(f"http://127.0.0.1:{self.dead_port}")

    def run(self, *assets: Any, instance: dg.DagsterInstance | None = None, **replaced: Any) -> Any:
        """Materialize assets as the command does; raises what the command would say."""
        resources = {
            "scope": self.scope,
            "warehouse": Warehouse(self.url),
            "payloads": self.store,
            "registry": self.dead_registry,
            **replaced,
        }
        months = {FIRST_KEY: f"{DAYS[0]:%Y-%m}-01", LAST_KEY: f"{DAYS[-1]:%Y-%m}-01"}
        asked = set().union(*(one.required_resource_keys for one in assets))
        with clear_errors():
            return dg.materialize(
                list(assets),
                instance=instance,
                resources={name: value for name, value in resources.items() if name in asked},
                tags=months if any(one.partitions_def for one in assets) else None,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )

    def fails(self, *assets: Any, kind: type[TradeloomError], **replaced: Any) -> str:
        """Materialize assets and return the one line that it ends with."""
        with pytest.raises(kind) as caught:
            self.run(*assets, **replaced)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        with psycopg.connect(self.url) as conn:
            row = conn.execute(f"select count(*) from {table}").fetchone()
        assert row is not None
        return int(row[0])

    def ingest(self) -> None:
        """Publish both files."""
        now = datetime(2024, 6, 3, tzinfo=UTC)
        for kind in ("prices", "news"):
            file = Files(self.folder / f"{kind}.csv")
            ingest(file, kind, now=now, database_url=self.url, object_store=self.store)  # type: ignore[arg-type]


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port on which nobody listens while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def bench(database_url: str, object_store_settings: Any, tmp_path: Path, dead_port: int) -> Bench:
    settings = object_store_settings
    bars = [
        f"{symbol},{day},{base + n % 7}.10,{base + n % 7 + 2}.00,{base + n % 7 - 1}.00,{base + n % 7 + 1}.05,{1000 + n}"
        for n, day in enumerate(DAYS)
        for symbol, base in (("AAA", 20), ("BBB", 70))
    ]
    news = [f"n{n},{day},AAA,AAA opens plant number {n},," for n, day in enumerate(DAYS[::20])]
    (tmp_path / "prices.csv").write_text("\n".join([HEADER, *bars, ""]))
    (tmp_path / "news.csv").write_text("\n".join(["id,published_at,symbols,headline,url,body", *news, ""]))
    store = ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)
    return Bench(database_url, store, tmp_path, dead_port)
