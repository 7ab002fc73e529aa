"""A vendor's lag holds at the gate too: a bar that comes before it is over is no bar yet, whoever forgot to leave it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from vendor_server import Reply, Request, VendorServer, calls_to, json_reply

from trading.adapters.fetching import FetchReport, fetch
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.registry import vendor_named
from trading.ingestion.ports import Ask
from trading.ingestion.reader import FILE_FORMATS, Reader

CLOSE = datetime(2024, 6, 4, 20, 0, tzinfo=UTC)


def careless(request: Request) -> Reply:
    """Alpaca, but that it gives the bar of a day that it was not asked for, five minutes after the close."""
    if request.path != "/v2/stocks/bars":
        return json_reply({"corporate_actions": {}, "next_page_token": None})
    bar = {"o": 10, "h": 11, "l": 9, "c": 10, "v": 100}
    days = [bar | {"t": f"2024-06-0{day}T04:00:00Z"} for day in (3, 4)]
    return json_reply({"bars": {"AAA": days}, "next_page_token": None})


@pytest.fixture
def fetched(database_url: str, object_store_settings: Any) -> Iterator[Callable[[datetime], FetchReport]]:
    """Fetch live what `careless` gives, at some time."""
    s3 = object_store_settings
    store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, s3.bucket)
    with VendorServer(careless) as server:
        secrets = {"APCA_API_KEY_ID": "k3y", "APCA_API_SECRET_KEY": "s3cret"}

        def at(now: datetime) -> FetchReport:
            ask = Ask("prices", ("AAA",), "1d", datetime(2024, 6, 3, tzinfo=UTC), now)
            calls, _ = calls_to(server, "alpaca", secrets=secrets)
            options: dict[str, Any] = {"database_url": database_url, "object_store": store, "mode": "live"}
            with calls:
                return fetch(vendor_named("alpaca"), ask, calls, clock=lambda: now, **options)

        yield at


@pytest.mark.engines
def test_a_bar_that_comes_before_its_vendors_lag_is_over_waits_in_quarantine_for_the_next_poll(fetched, database_url):
    early = fetched(CLOSE + timedelta(minutes=5))
    assert (early.rows_published, early.rows_quarantined) == (1, 1)
    with psycopg.connect(database_url) as conn:
        assert conn.execute("select rule, detail from raw.quarantined_rows").fetchall() == [
            ("from_the_future", "received_at, ends_at: expected that nothing was delivered before it happened")
        ]
    late = fetched(CLOSE + timedelta(minutes=15))
    assert (late.rows_published, late.rows_unchanged, late.rows_quarantined) == (1, 1, 0)
    with psycopg.connect(database_url) as conn:
        known = conn.execute(
            "select known_at, nominal_at from raw.price_bars order by timestamp desc limit 1"
        ).fetchone()
    assert known == (CLOSE + timedelta(minutes=15),) * 2


def test_only_what_a_vendor_was_asked_for_is_held_to_its_lag():
    """A drop says itself when it came, and a stream tells a bar when it has it: theirs count as known no earlier."""
    formats = {
        "alpaca.bars": True,
        "yfinance.chart": True,
        "alpaca.stream": False,
        **dict.fromkeys(FILE_FORMATS, False),
    }
    assert {name: replace(Reader("prices", "csv"), format=name).is_page for name in formats} == formats
