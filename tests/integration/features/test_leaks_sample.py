"""No false alarm on the sample's real prices, splits and news: everything that the learner rests on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from feature_store import definitions
from feature_store.leaks.gate import verdict_on
from feature_store.services import newest_service
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.sample import Sample

pytestmark = [pytest.mark.engines, pytest.mark.long]


def test_the_sample_has_no_leak(warehouse, object_store_settings):
    made = object_store_settings
    store = ObjectStore(made.endpoint, made.access_key, made.secret_key, made.bucket)
    for kind in ("prices", "actions", "news"):
        ingest(Sample(), kind, now=datetime(2026, 1, 5, tzinfo=UTC), database_url=warehouse.url, object_store=store)
    for (item,) in warehouse.all("select item_id from raw.news_items"):
        warehouse.score(item, (item % 7 - 3) / 4, "none", "0")
    definitions.advance(warehouse.url)
    service = newest_service(warehouse.url, "trader-daily")
    symbols = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    verdict = verdict_on(warehouse.url, service, "sample", symbols, "cd" * 32)
    assert verdict.passed, verdict.sentence()
    assert {report["rows"] for report in verdict.reports if report["kind"] == "definition"} != {0}
