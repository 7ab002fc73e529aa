"""The run that a schedule requests after a close: the vendor first, then what follows from its bars, in one run."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import psycopg
import pytest
from vendor_server import VendorServer
from yahoo_server import Listing, yahoo

from assets.ingestion import PRICE_BARS, SESSION_QUALITY
from assets.vendor_keys import vendor_key
from orchestration.daily import SESSION_TAG, _of_vendor
from orchestration.definitions import defs
from trading.adapters.followed import Followed
from trading.calendar import exchange_sessions

LISTING = Listing([(date(2024, 6, day), 10.0, 11.5, 9.75, 11.25, 1000) for day in (3, 25, 26, 27, 28)])


@pytest.mark.engines
@pytest.mark.long
def test_the_vendor_is_asked_for_the_last_week_and_completeness_is_judged_after_it(
    database_url: str, object_store_settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    s3 = object_store_settings
    session = exchange_sessions("XNYS", date(2024, 6, 28), date(2024, 6, 28))[0]
    series = Followed("yfinance", "1d", {"prices": ["AAA"], "actions": ["AAA"]})
    request = _of_vendor("XNYS 2024-06-28", session, "XNYS", series, [])
    with VendorServer(yahoo({"AAA": LISTING})) as server, dg.instance_for_test() as instance:
        for name, value in {
            "HOME": str(tmp_path),
            "POSTGRES_URL": database_url,
            "S3_ENDPOINT": s3.endpoint,
            "S3_ACCESS_KEY": s3.access_key,
            "S3_SECRET_KEY": s3.secret_key,
            "S3_BUCKET": s3.bucket,
            "YFINANCE_URL": server.url,
        }.items():
            monkeypatch.setenv(f"TRADELOOM_{name}", value)
        assert request.asset_selection is not None
        done = defs.resolve_job_def("daily_update").execute_in_process(
            instance=instance,
            asset_selection=list(request.asset_selection),
            run_config={**request.run_config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=dict(request.tags),
        )
        assert instance.get_runs_count(dg.RunsFilter(tags={SESSION_TAG: "XNYS 2024-06-28"})) == 1
    made = [event.asset_key for event in done.get_asset_materialization_events()]
    assert set(made) == {
        vendor_key("yfinance", "prices"),
        vendor_key("yfinance", "actions"),
        PRICE_BARS,
        SESSION_QUALITY,
    }
    assert made.index(vendor_key("yfinance", "prices")) < made.index(PRICE_BARS)
    with psycopg.connect(database_url) as conn:
        bars = conn.execute("select timestamp::date, known_at from raw.price_bars order by 1").fetchall()
    assert [day for day, _ in bars] == [date(2024, 6, day) for day in (25, 26, 27, 28)]  # a week back from the 28th
    assert all(known_at > datetime(2026, 1, 1, tzinfo=UTC) for _, known_at in bars)  # live: known when they came
