"""`tradeloom feed` as a user runs it, and the features that its transaction makes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from stream_server import StreamServer, binance_greeting

from feature_store.build import dbt_build
from trading.adapters import fetch_log
from trading.adapters.feeds.publishing import FeedPublisher
from trading.adapters.feeds.registry import stream_named
from trading.adapters.feeds.stream import Subscription
from trading.adapters.object_store import ObjectStore
from trading.adapters.warehouse import advance_features

pytestmark = [pytest.mark.engines, pytest.mark.long]

FIRST = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
WANTED = Subscription(("BTC/USDT", "ETH/USDT"), "1m")


def candle(pair: str, minute: int) -> str:
    start = int((FIRST + timedelta(minutes=minute)).timestamp() * 1000)
    close = 100 + minute * 7 % 5
    told = {
        "t": start,
        "s": pair,
        "i": "1m",
        "o": "101",
        "c": str(close),
        "h": "110.5",
        "l": "95.25",
        "v": f"{minute + 1}",
        "x": True,
    }
    return json.dumps({"stream": "x", "data": {"e": "kline", "s": pair, "k": told}})


@pytest.fixture
def defined_url(database_url: str) -> str:
    dbt_build(database_url, arguments=("run", "--select", "indicators", "indicators_extended", "daily"))
    fetch_log.declare(database_url, stream_named("ccxt:binance").vendor)
    return database_url


def test_features_of_the_publishing_transaction_are_those_of_an_advance_of_their_own(
    defined_url: str, object_store_settings: Any
):
    found = object_store_settings
    store = ObjectStore(found.endpoint, found.access_key, found.secret_key, found.bucket)
    stream = stream_named("ccxt:binance")
    with (
        psycopg.connect(defined_url, autocommit=True) as conn,
        FeedPublisher(stream, "1m", WANTED.symbols, database_url=defined_url, object_store=store) as together,
        FeedPublisher(
            stream, "1m", WANTED.symbols, database_url=defined_url, object_store=store, derives=False
        ) as apart,
    ):
        for minute in range(40):
            # BTC in the transaction, ETH in one after it: the same prices, so the same indicators.
            at = FIRST + timedelta(hours=1, minutes=minute)
            together.publish(stream.read(candle("BTCUSDT", minute), WANTED), lambda at=at: at)
            apart.publish(stream.read(candle("ETHUSDT", minute), WANTED), lambda at=at: at)
            advance_features(defined_url)
        columns = "timestamp, known_at, close, ema_12, rsi_14, macd, atr_14, state"
        rows = [
            conn.execute(f"select {columns} from marts.indicators where symbol = %s order by 1", (symbol,)).fetchall()
            for symbol in WANTED.symbols
        ]
        told = conn.execute(
            "select count(*) from marts.indicators as i inner join raw.price_bars as b using (source, symbol, timestamp) "
            "where i.symbol = 'BTC/USDT' and i.watermark = b.watermark"
        ).fetchone()
    assert len(rows[0]) == 40
    assert rows[0] == rows[1]
    assert told is not None
    assert told[0] >= 38  # but the first, which made the instrument


def test_the_command_tells_json_lines_and_ends_well_on_ctrl_c(defined_url: str, object_store_settings: Any):
    found = object_store_settings
    with StreamServer(binance_greeting()) as server:
        environ = {
            **os.environ,
            "TRADELOOM_POSTGRES_URL": defined_url,
            "TRADELOOM_S3_ENDPOINT": found.endpoint,
            "TRADELOOM_S3_ACCESS_KEY": found.access_key,
            "TRADELOOM_S3_SECRET_KEY": found.secret_key,
            "TRADELOOM_S3_BUCKET": found.bucket,
            "TRADELOOM_CCXT_STREAM_URL": server.url,
            "TRADELOOM_CCXT_URL": "http://127.0.0.1:9",
        }
        asked = ["feed", "--source", "ccxt:binance", "--symbols", "BTC/USDT", "--json"]
        command = [sys.executable, "-m", "orchestration.cli", *asked]
        with subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            server.say(*(candle("BTCUSDT", minute) for minute in range(3)))
            _wait_for_bars(defined_url, 3)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines if line["event"] != "published"] == ["connected", "stopped", "report"]
    assert lines[-1]["rows_published"] == 3
    with psycopg.connect(defined_url) as conn:
        assert conn.execute("select count(*) from raw.held_payloads").fetchone() == (0,)
        assert conn.execute("select count(*) from marts.indicators").fetchone() == (3,)


def _wait_for_bars(url: str, bars: int) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        for _ in range(1200):
            row = conn.execute("select count(*) from raw.price_bars").fetchone()
            if row is not None and row[0] >= bars:
                return
            time.sleep(0.1)
    raise AssertionError(f"expected {bars} bars, found {row}")
