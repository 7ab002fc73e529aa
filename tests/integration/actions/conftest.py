"""What every test of actions and universes works with: a fresh warehouse, the object store, and files of literal rows."""

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
HEADERS = {
    "prices": "symbol,timestamp,open,high,low,close,volume",
    "actions": "symbol,kind,ex_date,ratio,amount,currency,new_symbol",
    "universe": "universe,symbol,date,member",
}


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
    """Ingest lines of CSV of a kind as the source `files`; `live` names the moment of a live drop."""

    def ingest_lines(
        kind: Any, *lines: str, header: str | None = None, live: datetime | None = None, **options: Any
    ) -> BatchReport:
        file = Path(tempfile.mkdtemp(dir=tmp_path)) / "delivery.csv"
        file.write_text("\n".join([header or HEADERS[kind], *lines, ""]))
        described = {
            name: options.pop(name) for name in ("columns", "calendar", "gap", "adjustment") if name in options
        }
        if live is not None:
            options |= {"mode": "live", "delivered_at": live}
        options.setdefault("max_bad_share", 1.0)
        source = Files(file, **described)
        return ingest(source, kind, now=NOW, database_url=database_url, object_store=store, **options)

    return ingest_lines
