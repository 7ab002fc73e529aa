"""The run that a schedule requests after a close: the vendor first, then what follows from its bars, in one run."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from exchange_protocols import binance
from vendor_server import Reply, Request, VendorServer, json_reply
from yahoo_server import Listing, yahoo

from assets.ingestion import PRICE_BARS, SESSION_QUALITY
from assets.paper import ANCHORS
from assets.parity import PARITY
from assets.vendor_keys import vendor_key
from orchestration.daily import SESSION_TAG, SETTLING, _of_vendor, daily_schedule
from orchestration.definitions import defs
from orchestration.jobs import daily_update
from trading.adapters.fetching import fetch
from trading.adapters.followed import Followed
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.sources.registry import vendor_named
from trading.calendar import bar_label, exchange_sessions
from trading.closed_sessions import last_settled
from trading.ingestion.ports import Ask

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


DAY = timedelta(days=1)


def yahoo_of_today(days: list[date]) -> Callable[[Request], Reply]:
    return yahoo(
        {"AAA": Listing([(day, 10.0, 11.5, 9.75, 10 + number % 9 / 8, 1000) for number, day in enumerate(days)])}
    )


def binance_of_today(days: list[date]) -> Callable[[Request], Reply]:
    starts = [int(bar_label(day).timestamp()) * 1000 for day in days]

    def answer(request: Request) -> Reply:
        if request.path != "/api/v3/klines":
            return binance()(request)
        since, limit = int(request.query["startTime"]), int(request.query["limit"])
        return json_reply([_kline(start) for start in starts if start >= since][:limit])

    return answer


def _kline(start: int) -> list[Any]:
    return [start, "10", "20", "9.75", str(10 + start // 86_400_000 % 7), "1000", start + 1, "1", 2, "1", "1", "0"]


# What is listed, the sessions up to today and the running one too, and what answers for the vendor.
KINDS = {
    "XNYS": ("yfinance", "AAA", yahoo_of_today),
    "24/7": ("ccxt:binance", "BTC/USDT", binance_of_today),
}


@pytest.mark.engines
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:AssetExecutionContext.op is deprecated")  # dagster-dbt still asks for it
def test_the_schedule_of_each_kind_of_exchange_runs_whole_from_the_vendor_to_features_anchors_and_parity(
    database_url: str, object_store_settings: Any, mlflow_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Days before the last week are fetched by hand; then each schedule is asked, and does the run that it requests."""
    s3, now = object_store_settings, datetime.now(UTC)
    settings = {
        "HOME": str(tmp_path),
        "POSTGRES_URL": database_url,
        "S3_ENDPOINT": s3.endpoint,
        "MLFLOW_URL": mlflow_url,
    }
    settings |= {"S3_ACCESS_KEY": s3.access_key, "S3_SECRET_KEY": s3.secret_key, "S3_BUCKET": s3.bucket}
    for name, value in settings.items():
        monkeypatch.setenv(f"TRADELOOM_{name}", value)
    store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, s3.bucket)
    days = {
        calendar: [one.session_date for one in exchange_sessions(calendar, (now - 60 * DAY).date(), now.date())]
        for calendar in KINDS
    }
    with ExitStack() as stack:
        instance = stack.enter_context(dg.instance_for_test())
        for calendar, (source, symbol, answer) in KINDS.items():
            server = stack.enter_context(VendorServer(answer(days[calendar])))
            monkeypatch.setenv(f"TRADELOOM_{source.partition(':')[0].upper()}_URL", server.url)
            vendor = vendor_named(source)
            ask = Ask("prices", (symbol,), "1d", now - 60 * DAY, now - 5 * DAY, vendor.calendar)
            with vendor.calls(os.environ) as calls:
                fetch(vendor, ask, calls, clock=lambda: now, database_url=database_url, object_store=store)
        for calendar in KINDS:
            run_what_the_schedule_requests(calendar, instance, database_url, now)
    with psycopg.connect(database_url) as conn:
        for calendar, (source, symbol, _) in KINDS.items():
            newest = last_settled(calendar, now, SETTLING)
            assert newest is not None
            bars = [
                day
                for (day,) in conn.execute(
                    "select timestamp::date from raw.price_bars where source = %s order by 1", (source,)
                )
            ]
            wanted = [day for day in days[calendar] if bar_label(day) >= now - 60 * DAY and day <= newest.session_date]
            assert bars == wanted  # every day once, the running session not among them
            made = "select max(timestamp)::date from features.daily where symbol = %s"
            assert conn.execute(made, (symbol,)).fetchone() == (newest.session_date,)


def run_what_the_schedule_requests(calendar: str, instance: dg.DagsterInstance, url: str, now: datetime) -> None:
    """Ask the schedule of a calendar as the daemon does, and run its only request; a second question has none."""
    schedule = daily_schedule(calendar, daily_update)

    def asked() -> Any:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=now,
            repository_def=defs.get_repository_def(),
            resources={"warehouse": Warehouse(url)},
        )
        return schedule.evaluate_tick(context)

    (request,) = asked().run_requests or ()
    assert request.asset_selection is not None
    done = defs.resolve_job_def("daily_update").execute_in_process(
        instance=instance,
        asset_selection=list(request.asset_selection),
        run_config={**request.run_config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags=dict(request.tags),
    )
    made = {event.asset_key for event in done.get_asset_materialization_events()}
    assert {PRICE_BARS, SESSION_QUALITY, ANCHORS, PARITY, dg.AssetKey(["features", "daily"])} <= made
    assert "has its run" in (asked().skip_message or "")
