"""A paper session follows a live feed: woken by each bar, it decides, orders, and its fills explain themselves.

The feed's clock is the test's, a day per bar; everything else is the product's own: websocket, gate, features, services,
the command `tradeloom trade` in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stream_server import StreamServer, binance_greeting
from vendor_server import Reply, Request, VendorServer, calls_to, json_reply

from trading.adapters import fetch_log
from trading.adapters.feeds.backfill import Backfill
from trading.adapters.feeds.events import FeedEvents
from trading.adapters.feeds.publishing import FeedPublisher
from trading.adapters.feeds.registry import stream_named
from trading.adapters.feeds.running import Feed
from trading.adapters.feeds.stream import Subscription
from trading.adapters.feeds.terms import FeedTerms
from trading.adapters.fetching import fetch
from trading.calendar import Sessions
from trading.feed.backoff import Backoff
from trading.feed.silence import Schedule
from trading.ingestion.ports import Ask

pytestmark = [pytest.mark.engines, pytest.mark.long]

DAY = timedelta(days=1)
FIRST, HISTORY, LIVE = datetime(2024, 3, 1, tzinfo=UTC), 60, 14
LIVE_FROM = FIRST + HISTORY * DAY
PAIRS = {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT"}


def close_of(pair: str, day: int) -> float:
    """ETH falls throughout; so does BTC, until it rises for six live days and falls again."""
    close = 100 * 0.997**day
    if pair == "BTCUSDT" and day >= HISTORY:
        rising, falling = min(day - HISTORY + 1, 6), max(day - HISTORY - 5, 0)
        close *= 1.08**rising * 0.88**falling
    return close


def numbers(pair: str, day: int) -> tuple[str, str, str, str]:
    """Open, high, low and close as the exchange writes them."""
    opens, close = close_of(pair, day - 1), close_of(pair, day)
    high, low = max(opens, close) * 1.01, min(opens, close) * 0.99
    return f"{opens:.6f}", f"{high:.6f}", f"{low:.6f}", f"{close:.6f}"


def milliseconds(day: int) -> int:
    return int((FIRST + day * DAY).timestamp() * 1000)


def pages(request: Request) -> Reply:
    """Binance's pages: every day of both pairs, over or not."""
    if request.path == "/api/v3/exchangeInfo":
        listed = [
            {"symbol": name, "status": "TRADING", "baseAsset": pair[:3], "quoteAsset": "USDT", "permissions": ["SPOT"]}
            | {"isSpotTradingAllowed": True, "baseAssetPrecision": 8, "quotePrecision": 8, "filters": []}
            for pair, name in PAIRS.items()
        ]
        return json_reply({"timezone": "UTC", "symbols": listed})
    pair, first, limit = request.query["symbol"], int(request.query["startTime"]), int(request.query["limit"])
    bars = [
        [milliseconds(day), *numbers(pair, day), "1000.5", milliseconds(day + 1) - 1, "1", 2, "1", "1", "0"]
        for day in range(HISTORY + LIVE)
        if milliseconds(day) >= first
    ]
    return json_reply(bars[:limit])


def candle(pair: str, day: int) -> str:
    told = dict(zip(("o", "h", "l", "c"), numbers(pair, day), strict=True))
    kline = {"t": milliseconds(day), "s": pair, "i": "1d", "v": "1000.5", "x": True, **told}
    return json.dumps({"stream": f"{pair.lower()}@kline_1d", "data": {"e": "kline", "s": pair, "k": kline}})


class Clock:
    """A moment that is set, and goes on from there."""

    def __init__(self, at: datetime) -> None:
        self.set(at)

    def set(self, at: datetime) -> None:
        self._at, self._since = at, time.monotonic()

    def __call__(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._since)


class Trader:
    """`tradeloom trade` in a process, with what it told so far."""

    def __init__(self, desk: Any, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "trade", *arguments, "--json"],
            env=desk.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))

    def waits_for(self, decisions: int) -> None:
        for _ in range(1200):
            if self.told and self.told[-1]["decisions"] >= decisions:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        assert self.process.stderr is not None
        raise AssertionError(f"expected {decisions} decisions, found {self.told[-1:]}; {self.process.poll()}")

    def end(self) -> int:
        code = self.process.wait(60)
        self._reader.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code


@contextmanager
def live_feed(desk: Any, clock: Clock) -> Iterator[StreamServer]:
    """The stream of both pairs on its way into the desk's warehouse."""
    stream, wanted = stream_named("ccxt:binance"), Subscription(tuple(PAIRS), "1d")
    stop = threading.Event()
    with ExitStack() as stack:
        server = stack.enter_context(StreamServer(binance_greeting()))
        calls = calls_to(stack.enter_context(VendorServer(pages)), stream.source)[0]
        fetch_log.declare(desk.url, stream.vendor)
        ask = Ask("prices", wanted.symbols, "1d", FIRST, LIVE_FROM, calendar="24/7")
        fetch(stream.vendor, ask, calls, clock=clock, database_url=desk.url, object_store=desk.objects, mode="history")
        publisher = stack.enter_context(
            FeedPublisher(stream, "1d", wanted.symbols, database_url=desk.url, object_store=desk.objects)
        )
        feed = Feed(
            stream=stream,
            wanted=wanted,
            publisher=publisher,
            events=FeedEvents(desk.url, stream.source, clock),
            schedule=lambda _: Schedule.of({"24/7": Sessions.of([])}),
            backfill=Backfill(stream.vendor, "1d", calls, clock, desk.url, desk.objects),
            address=server.url,
            secrets={},
            clock=clock,
            stop=stop,
            # A day of the test's clock passes at once, which is no silence.
            terms=FeedTerms(lateness=timedelta(seconds=1), stall_after=5 * DAY, backoff=Backoff(0.01, 0.02)),
        )
        thread = threading.Thread(target=feed.run, daemon=True)
        thread.start()
        yield server
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_a_paper_session_follows_a_live_feed_to_fills_that_explain_themselves(desk):
    clock = Clock(LIVE_FROM + timedelta(seconds=2))
    last = LIVE_FROM + (LIVE - 1) * DAY
    asked = ("live", "--source", "ccxt:binance", "--symbols", ",".join(PAIRS))
    days = ("--from", f"{LIVE_FROM:%Y-%m-%d}", "--until", f"{last:%Y-%m-%d}")
    with live_feed(desk, clock) as server:
        trader = Trader(desk, *asked, *days)
        for number in range(LIVE):
            if number == 5:  # the connection is cut over a bar, which comes by pages then
                server.cut()
            clock.set(LIVE_FROM + (number + 1) * DAY + timedelta(seconds=1))
            if number != 5:
                server.say(*(candle(pair, HISTORY + number) for pair in PAIRS.values()))
            trader.waits_for(2 * (number + 1))
        assert trader.end() == 0
    report = trader.told[-1]
    assert (report["event"], report["status"], report["decisions"]) == ("report", "finished", 2 * LIVE)
    assert report["fills"] >= 2
    fills = [
        row[0] for row in desk.rows("select fill_id from trading.fills where session_id = %s", report["session_id"])
    ]
    decisions = [
        row[0]
        for row in desk.rows("select decision_id from trading.decisions where session_id = %s", report["session_id"])
    ]
    assert [one["fill_id"] for one in desk.explained("fill", *fills) if not one["verified"]] == []
    assert [one for one in desk.replayed("decision", *decisions) if not one["identical"]] == []
    # Each day was decided on with the features of its own bar, and at a watermark of its own.
    stale, watermarks = desk.rows(
        "select count(*) filter (where feature_timestamp <> timestamp), count(distinct watermark) from trading.decisions"
        " where session_id = %s",
        report["session_id"],
    )[0]
    assert (stale, watermarks) == (0, LIVE)
    # Again with the same words it is the same session, and over.
    again = json.loads(desk.command("trade", *asked, *days, "--json").splitlines()[-1])
    assert (again["session_id"], again["status"]) == (report["session_id"], "finished")
