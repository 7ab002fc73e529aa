"""A market of 130 sessions to deliver into: 20 to replay, 20 to judge, 35 to train on. Prices are 100 unless told."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from feature_store.definitions import register
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.files import Files
from trading.calendar import exchange_sessions

DAYS = [one.session_date for one in exchange_sessions("XNYS", date(2012, 1, 3), date(2012, 12, 31))][:130]
JUDGED = DAYS[90:110]
NOW = datetime(2013, 1, 2, tzinfo=UTC)
HEADERS = {"prices": "symbol,timestamp,open,high,low,close,volume", "universe": "universe,symbol,date,member"}


@dataclass(frozen=True)
class Market:
    """A warehouse and a store; called with lines it ingests them as one file."""

    url: str
    store: ObjectStore
    folder: Path

    def __call__(self, kind: Any, *lines: str, now: datetime = NOW, **options: Any) -> Any:
        file = Path(tempfile.mkdtemp(dir=self.folder)) / "delivery.csv"
        file.write_text("\n".join([HEADERS[kind], *lines, ""]))
        return ingest(Files(file), kind, now=now, database_url=self.url, object_store=self.store, **options)

    def bars(self, symbol: str, days: Sequence[date], closes: Mapping[date, int] | None = None) -> list[str]:
        """Return the lines of a symbol whose close moves on the days told and stays."""
        lines, close = [], 100
        for day in days:
            opened, close = close, (closes or {}).get(day, close)
            lines.append(f"{symbol},{day},{opened},{max(opened, close)},{min(opened, close)},{close},1000")
        return lines


@pytest.fixture
def market(
    database_url: str, object_store_settings: Any, tmp_path: Path, default_definitions: list[tuple[str, str, str]]
) -> Market:
    """AAA is always there and ends at 110; DEAD halves and goes; NEW comes when training is over."""
    settings = object_store_settings
    store = ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)
    for view, text, parameters in default_definitions:
        register(database_url, view, text, json.loads(parameters))
    made = Market(database_url, store, tmp_path)
    made("prices", *made.bars("AAA", DAYS, {JUDGED[-1]: 110}), *made.bars("DEAD", DAYS[:103], {JUDGED[10]: 50}))
    made("prices", *made.bars("NEW", DAYS[100:]))
    return made
