"""A page of 10,000 bars from a vendor on loopback to committed features, beside its own parts measured bare."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pandas as pd
import psycopg
from harness import Bench, Case, Sides

from feature_store.build import dbt_build
from trading.adapters.fetching import fetch
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.registry import vendor_named
from trading.calendar import exchange_sessions
from trading.ingestion.ports import Ask
from trading.quality.gate import Facts, broken_rules, staged

sys.path.append(str(Path(__file__).parents[1] / "vendors"))
from vendor_server import Reply, Request, VendorServer

BARS = int(os.environ.get("BENCH_ROWS", "10000"))
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_BATCH = """
insert into raw.ingestion_batches (
    kind, source, mode, received_at, payload_key, payload_sha256, payload_name, rows_in, rows_published, rows_unchanged,
    rows_merged, rows_quarantined, status, watermark, trace_id
) values ('prices', 'yfinance', 'history', now(), 'k', %s, 'n', %s, %s, 0, 0, 0, 'published', %s, 'bench')
returning batch_id
"""
_COPY = (
    "copy raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at,"
    " known_at, row_hash, watermark, batch_id) from stdin"
)
_COPY_SESSIONS = (
    "copy raw.session_quality (source, interval, session_date, expected_symbols, missing_symbols, is_complete,"
    " watermark) from stdin"
)
_INSTRUMENT = """
insert into trading.instruments (
    symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, is_draft, known_at, watermark, row_hash
)
select %s, 'equity', 'XNYS', 'USD', 0.01, 1, 1, true, '-infinity', raw.take_watermark('bench'), sha256(%s::bytea)
"""


class Vendor:
    """Yahoo with one long history, told under whatever symbol is asked for: each body is another one."""

    def __init__(self) -> None:
        sessions = exchange_sessions("XNYS", NOW.date() - timedelta(days=BARS * 3 // 2), NOW.date() - timedelta(days=1))
        self.days = [session.session_date for session in sessions][-BARS:]
        closes = [100 + 40 * ((7919 * place) % 1000) / 1000 for place in range(len(self.days))]
        self.quote = {
            "open": closes,
            "high": [close + 1.25 for close in closes],
            "low": [close - 1.25 for close in closes],
            "close": closes,
            "volume": [1_000_000 + place for place in range(len(closes))],
        }
        opens = [int(datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC).timestamp()) for day in self.days]
        meta = {"currency": "USD", "symbol": "@", "exchangeTimezoneName": "America/New_York"}
        result = {"meta": meta, "timestamp": opens, "indicators": {"quote": [self.quote]}}
        self.body = json.dumps({"chart": {"result": [result], "error": None}}).encode()

    def answer(self, request: Request) -> Reply:
        return Reply(200, self.body.replace(b"@", request.path.rpartition("/")[2].encode()))

    def lines(self, symbol: str) -> list[str]:
        """The rows of `_COPY`, without watermark and batch."""
        return [self._line(symbol, day, *prices) for day, *prices in zip(self.days, *self.quote.values(), strict=True)]

    def sessions(self, symbol: str) -> list[str]:
        """The rows of `_COPY_SESSIONS`, without the watermark; under a source of their own."""
        return [f"bench {symbol}\t1d\t{day}\t{{{symbol}}}\t{{}}\tt" for day in self.days]

    def frame(self, symbol: str) -> pd.DataFrame:
        """The bars as the gate is given them."""
        ends = [datetime(day.year, day.month, day.day, 21, tzinfo=UTC) for day in self.days]
        bars = pd.DataFrame({"symbol": symbol, "interval": "1d", "timestamp": self.days, **self.quote})
        placed = bars.assign(ends_at=ends, is_in_session=True, nominal_at=ends, adjustment="raw")
        return staged("prices", placed.astype({"timestamp": "datetime64[us]"}), Facts(NOW, "history"))

    @staticmethod
    def _line(symbol: str, day: date, *prices: float) -> str:
        known = f"{day} 21:20+00"
        told = "\t".join(f"{price:.2f}" for price in prices[:4])
        return (
            f"yfinance\t{symbol}\t1d\t{day}\t{told}\t{prices[4]}\traw\t{known}\t{known}\t\\\\x{secrets.token_hex(32)}"
        )


@contextmanager
def page_to_features(bench: Bench) -> Iterator[Sides]:
    """Each round is a symbol that was not there; the peer's symbol is made ready before its clock runs."""
    vendor, numbers, notes = Vendor(), count(), [""]
    with bench.database() as url, bench.object_store() as engine, VendorServer(vendor.answer) as server:
        dbt_build(url, arguments=("run", "--select", "indicators", "indicators_extended", "daily"))
        with psycopg.connect(url) as conn:  # the peer writes of years that nothing was fetched of
            conn.execute("select raw.make_partitions('prices', %s::timestamptz[])", (vendor.days,))
        found = engine.settings
        store = ObjectStore(found.endpoint, found.access_key, found.secret_key, found.bucket)

        def ours() -> float:
            start = datetime.combine(vendor.days[0], datetime.min.time(), UTC)
            ask = Ask("prices", (f"V{next(numbers):04}",), "1d", start, NOW.replace(hour=0))
            begun = perf_counter()
            with vendor_named("yfinance").calls({"TRADELOOM_YFINANCE_URL": server.url}) as calls:
                report = fetch(
                    vendor_named("yfinance"), ask, calls, clock=lambda: NOW, database_url=url, object_store=store
                )
            seconds = perf_counter() - begun
            assert report.rows_published == len(vendor.days), report
            return seconds

        def parts() -> float:
            symbol = f"P{next(numbers):04}"
            lines = vendor.lines(symbol)
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute(_INSTRUMENT, (symbol, symbol))
                address = f"{server.url}/v8/finance/chart/{symbol}"
                took = _parts(conn, store, address, lines, vendor.sessions(symbol), vendor.frame(symbol))
            notes[0] = "The parts: " + ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in took.items())
            return sum(took.values())

        yield Sides(ours, parts, notes=notes)


def _parts(
    conn: psycopg.Connection[Any],
    store: ObjectStore,
    address: str,
    lines: list[str],
    sessions: list[str],
    frame: pd.DataFrame,
) -> dict[str, float]:
    took, begun = {}, perf_counter()
    body = httpx.get(address).content
    took["the request"] = perf_counter() - begun
    begun = perf_counter()
    json.loads(body)
    took["reading its JSON"] = perf_counter() - begun
    begun = perf_counter()
    store.put(body)
    took["the payload to S3"] = perf_counter() - begun
    begun = perf_counter()
    broken_rules("prices", frame, len(frame))
    took["the checks"] = perf_counter() - begun
    begun = perf_counter()
    with conn.transaction():
        watermark = conn.execute("select raw.take_watermark('bench')").fetchone()[0]
        values = (secrets.token_hex(32), len(lines), len(lines), watermark)
        batch = conn.execute(_BATCH, values).fetchone()[0]
        with conn.cursor().copy(_COPY) as copy:
            copy.write("".join(f"{line}\t{watermark}\t{batch}\n" for line in lines))
        took["COPY of the bars"] = perf_counter() - begun
        begun = perf_counter()
        with conn.cursor().copy(_COPY_SESSIONS) as copy:
            copy.write("".join(f"{line}\t{watermark}\n" for line in sessions))
        took["COPY of the sessions' completeness"] = perf_counter() - begun
    begun = perf_counter()
    conn.execute("call features.advance()")
    took["the features"] = perf_counter() - begun
    return took


CASES = [
    Case(
        "vendor page",
        f"{BARS:,} bars, from the vendor to features",
        "its own parts, one by one and bare",
        page_to_features,
        2.0,
    )
]
