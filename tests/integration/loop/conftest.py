"""A small market of two symbols over eight sessions, and services that answer from a script over HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from serving.trading_loop.bootstrap import LoopSettings, SessionReport, run_session
from serving.trading_loop.session import SessionTerms
from trading.costs import Costs
from trading.identity import row_hash

DAYS = [date(2012, 3, day) for day in (5, 6, 7, 8, 9, 12, 13, 14)]
OPENS = {
    "AAA": ["10.00", "10.50", "11.00", "10.80", "11.20", "11.50", "11.00", "10.90"],
    "BBB": ["50.00", "50.40", "49.80", "50.20", "26.00", "26.20", "26.10", "25.80"],
}
CLOSES = {
    "AAA": ["10.20", "10.80", "10.90", "11.10", "11.40", "11.30", "10.95", "10.85"],
    "BBB": ["50.20", "50.00", "50.10", "51.00", "26.10", "26.30", "25.90", "25.70"],
}
WEIGHTS = "ab" * 32
SENTIMENT = 0.125
COSTS = Costs(per_share_usd=Decimal("0.01"), minimum_usd=Decimal(1), slippage_bps=Decimal(5))


def midnight(day: date) -> datetime:
    """Return the label of a daily bar."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def closing(day: date) -> datetime:
    """Return when a bar is known: 16:00 New York (here 21:00 UTC) and a quarter of an hour."""
    return midnight(day) + timedelta(hours=21, minutes=15)


class Bars:
    """Publishes bars and splits as history or as late deliveries."""

    def __init__(self, url: str) -> None:
        self.url = url

    def publish_all(self) -> None:
        """The whole market, each bar known at its close."""
        self.publish_market()
        for symbol in OPENS:
            for day in DAYS:
                self.publish(symbol, day)

    def publish_market(self) -> None:
        """Sessions and instruments, without a bar."""
        with psycopg.connect(self.url) as conn:
            conn.execute("select raw.make_partitions('prices', %s)", ([midnight(day) for day in DAYS],))
            for day in DAYS:
                opens = midnight(day) + timedelta(hours=14, minutes=30)
                conn.execute(
                    "insert into trading.calendar_sessions values ('XTST', %s, %s, %s)",
                    (day, opens, midnight(day) + timedelta(hours=21)),
                )
            for symbol in OPENS:
                conn.execute(
                    "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size,"
                    " lot_size, multiplier,"
                    " is_draft, known_at, watermark, row_hash) values (%s, 'equity', 'XTST', 'USD', 0.01, 1, 1,"
                    " false, %s,"
                    " raw.take_watermark('test'), %s)",
                    (symbol, midnight(date(2000, 1, 1)), bytes(32)),
                )

    def publish(self, symbol: str, day: date, *, known_at: datetime | None = None, opening: str | None = None) -> None:
        """One version of one bar."""
        place = DAYS.index(day)
        opens, close = Decimal(opening or OPENS[symbol][place]), Decimal(CLOSES[symbol][place])
        known = known_at or closing(day)
        digest = row_hash((symbol, midnight(day), opens, close, known))
        with psycopg.connect(self.url) as conn:
            conn.execute(
                BATCH
                + "insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume,"
                " adjustment, nominal_at, known_at, watermark, batch_id, row_hash)"
                " select 'sample', %(symbol)s, '1d', %(timestamp)s, %(open)s, %(high)s, %(low)s, %(close)s,"
                " 1000, 'raw',"
                " %(nominal)s, %(known)s, b.watermark, b.batch_id, %(hash)s from b",
                {
                    "kind": "prices",
                    "sha": hashlib.sha256(digest).hexdigest(),
                    "symbol": symbol,
                    "timestamp": midnight(day),
                    "open": opens,
                    "high": max(opens, close),
                    "low": min(opens, close),
                    "close": close,
                    "nominal": closing(day),
                    "known": known,
                    "hash": digest,
                },
            )

    def publish_split(self, symbol: str, day: date, ratio: str, *, known_at: datetime | None = None) -> None:
        """One split."""
        digest = row_hash((symbol, day, Decimal(ratio)))
        with psycopg.connect(self.url) as conn:
            conn.execute(
                BATCH + "insert into raw.corporate_actions (source, symbol, kind, ex_date, ratio, nominal_at, known_at,"
                " watermark, batch_id, row_hash) select 'sample', %(symbol)s, 'split', %(day)s, %(ratio)s, %(known)s,"
                " %(known)s, b.watermark, b.batch_id, %(hash)s from b",
                {
                    "kind": "actions",
                    "sha": hashlib.sha256(digest).hexdigest(),
                    "symbol": symbol,
                    "day": day,
                    "ratio": Decimal(ratio),
                    "known": known_at or midnight(day),
                    "hash": digest,
                },
            )


BATCH = (
    "with b as (insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key,"
    " payload_sha256, payload_name,"
    " rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)"
    " select %(kind)s, 'sample', 'history', now(), %(sha)s, %(sha)s, 'x.csv', 1, 1, 0, 0, 0, 'published',"
    " raw.take_watermark('test'), 'test' returning batch_id, watermark) "
)


@dataclass
class Script:
    """What the services answer: an action per (symbol, date), HOLD where nothing is said."""

    actions: dict[tuple[str, date], int] = field(default_factory=dict)
    feature_dates: dict[tuple[str, date], date] = field(default_factory=dict)
    without_features: set[tuple[str, date]] = field(default_factory=set)
    analyst_scores: dict[tuple[str, date], float] = field(default_factory=dict)
    oracle_silent_on: set[date] = field(default_factory=set)
    analyst_broken_on: set[date] = field(default_factory=set)
    asked: list[tuple[str, str, date]] = field(default_factory=list)

    def decide(self, question: dict[str, Any], version: str) -> dict[str, Any]:
        """Answer one request of /decide."""
        symbol, day = question["symbol"], datetime.fromisoformat(question["as_of"]).date()
        self.asked.append(("oracle", symbol, day))
        if day in self.oracle_silent_on:
            time.sleep(1.0)
        feature_day = self.feature_dates.get((symbol, day), day)
        known = (symbol, day) not in self.without_features
        row = {
            "row_id": feature_day.toordinal(),
            "row_hash": hashlib.sha256(f"{symbol}{feature_day}".encode()).hexdigest(),
            "timestamp": midnight(feature_day).isoformat(),
            "known_at": closing(feature_day).isoformat(),
            "definition": "d" * 64,
            "source": question["source"],
            "values": {"sentiment": SENTIMENT},
        }
        return {
            "symbol": symbol,
            "action": self.actions.get((symbol, day), 0) if known else None,
            "confidence": 0.75 if known else None,
            "vector": [10.0, 55.0, 0.1, 1000.0, float(question["position"]), SENTIMENT] if known else None,
            "feature_row": row if known else None,
            "reason": None if known else "no feature row is known at that moment",
            "model": {"name": "trader-daily", "version": version, "weights_sha256": WEIGHTS, "snapshot_id": None},
            "environment": {"lock": "test"},
        }

    def sentiment(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer /sentiment."""
        symbol, day = question["symbol"], datetime.fromisoformat(question["as_of"]).date()
        self.asked.append(("analyst", symbol, day))
        score = self.analyst_scores.get((symbol, day), SENTIMENT)
        item = {"item_id": 1, "news_id": "n1", "headline": "A deal", "url": "", "published_at": None, "score": score}
        return {"score": score, "items": [item], "scorer": "head", "scorer_version": question["scorer_version"]}


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def services_url(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status = 200
            if self.path == "/decide":
                answer = {"decisions": [script.decide(one, body["model_version"]) for one in body["requests"]]}
            elif datetime.fromisoformat(body["as_of"]).date() in script.analyst_broken_on:
                status, answer = 503, {"error": "no model is served yet"}
            else:
                answer = script.sentiment(body)
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Registry:
    """Names one version of one model."""

    def __init__(self, version: str = "3", scorer: str = "head") -> None:
        service = {"name": "daily", "scorer": scorer, "scorer_version": "1"}
        self.version = version
        self.card = SimpleNamespace(feature_service=service, weights_sha256=WEIGHTS)

    def load(self, name: str, *, alias: str | None = None, version: str | None = None) -> Any:
        """Return the version."""
        return SimpleNamespace(version=version or self.version, card=self.card)


class Shelf:
    """Keeps objects in memory, as the object store does."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_at(self, key: str, payload: bytes) -> None:
        """Keep an object."""
        self.objects.setdefault(key, payload)

    def get(self, key: str, sha256: str) -> bytes:
        """Return an object."""
        assert hashlib.sha256(self.objects[key]).hexdigest() == sha256
        return self.objects[key]


TERMS = SessionTerms(
    name="test",
    source="sample",
    symbols=("BBB", "AAA"),
    first_timestamp=midnight(DAYS[0]),
    last_timestamp=midnight(DAYS[-1]),
    alias="champion",
    starting_cash_usd=Decimal(10_000),
)


@dataclass
class World:
    """The small market with everything a session needs."""

    url: str
    services_url: str
    bars: Bars
    script: Script
    registry: Registry = field(default_factory=Registry)
    shelf: Shelf = field(default_factory=Shelf)

    def settings(self, **changes: Any) -> LoopSettings:
        """Return where everything is."""
        base = LoopSettings(self.url, self.services_url, self.services_url, "", "", "", "", timeout_seconds=0.5)
        return replace(base, **changes)

    def terms(self, **changes: Any) -> SessionTerms:
        """Return the session's terms, with others where given."""
        return replace(TERMS, **changes)

    def run(self, **changes: Any) -> SessionReport:
        """Run the session, with other terms where given."""
        return run_session(self.terms(**changes), self.settings(), registry=self.registry, anchors=self.shelf)

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query."""
        with psycopg.connect(self.url, options="-c timezone=UTC") as conn:
            return conn.execute(query, values).fetchall()


@pytest.fixture
def world(database_url: str, services_url: str, script: Script) -> World:
    bars = Bars(database_url)
    bars.publish_all()
    return World(database_url, services_url, bars, script)


@pytest.fixture
def empty_world(database_url: str, services_url: str, script: Script) -> World:
    bars = Bars(database_url)
    bars.publish_market()
    return World(database_url, services_url, bars, script)
