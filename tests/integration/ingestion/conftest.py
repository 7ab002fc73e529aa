"""What every ingestion test works with: a fresh warehouse, the session's object store, and files of literal rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.files import Files
from trading.ingestion.report import BatchReport

NOW = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
HEADER = "symbol,timestamp,open,high,low,close,volume"


@pytest.fixture
def store(object_store_settings: Any) -> ObjectStore:
    """The product's client of the session's S3 server."""
    settings = object_store_settings
    return ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection for looking at what was written."""
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as opened:
        yield opened


@pytest.fixture
def deliver(database_url: str, store: ObjectStore, tmp_path: Path) -> Callable[..., BatchReport]:
    """Ingest lines of CSV (the header of prices unless another is given) as the source `files`."""

    def ingest_lines(
        *lines: str, header: str = HEADER, kind: Any = "prices", now: datetime = NOW, **options: Any
    ) -> Any:
        file = Path(tempfile.mkdtemp(dir=tmp_path)) / "delivery.csv"  # calls may run side by side
        file.write_text("\n".join([header, *lines, ""]))
        described = {name: options.pop(name) for name in ("columns", "adjustment", "calendar") if name in options}
        options.setdefault("max_bad_share", 1.0)
        return ingest(Files(file, **described), kind, now=now, database_url=database_url, object_store=store, **options)

    return ingest_lines
