"""A feed against a websocket on loopback that cuts, repeats, reorders and stalls: every bar once, nothing lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from alpaca_protocol import KEYS
from stream_server import StreamServer, alpaca_greeting, binance_greeting, refusing_greeting
from vendor_server import Reply, Request, VendorServer, calls_to, json_reply
from yahoo_server import Listing, yahoo

from trading.adapters import fetch_log
from trading.adapters.charts import declare
from trading.adapters.feeds.backfill import Backfill
from trading.adapters.feeds.chart_keeper import ChartKeeper
from trading.adapters.feeds.events import FeedEvent, FeedEvents
from trading.adapters.feeds.payload_mover import PayloadMover
from trading.adapters.feeds.polling import PollingFeed
from trading.adapters.feeds.publishing import FeedPublisher, Published
from trading.adapters.feeds.registry import stream_named
from trading.adapters.feeds.running import Feed
from trading.adapters.feeds.stream import Subscription
from trading.adapters.feeds.terms import FeedTerms
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.sources.registry import vendor_named
from trading.adapters.wake_ups import WakeUps
from trading.calendar import Session, Sessions, exchange_sessions
from trading.chart_bars.chart import Chart
from trading.errors import CredentialsError, VendorRefusedError, VendorUnavailableError
from trading.feed.backoff import Backoff
from trading.feed.silence import Schedule
from trading.intervals import Interval

pytestmark = pytest.mark.engines

OPENS = datetime(2026, 11, 18, 14, 30, tzinfo=UTC)
NOW = OPENS + timedelta(minutes=30)
TERMS = FeedTerms(
    lateness=timedelta(milliseconds=150),
    stall_after=timedelta(seconds=30),
    holes_every=timedelta(0),
    backoff=Backoff(0.01, 0.02),
)
ALWAYS = Schedule.of({"24/7": Sessions.of([])})


def bar(symbol: str, minute: int, *, kind: str = "b", close: float = 10.25) -> str:
    at = OPENS + timedelta(minutes=minute)
    told = {
        "T": kind,
        "S": symbol,
        "o": 10.1,
        "h": 11.5,
        "l": 9.75,
        "c": close,
        "v": 1000 + minute,
        "t": f"{at:%Y-%m-%dT%H:%M:%SZ}",
    }
    return json.dumps(told, separators=(",", ":"))


def frame(*messages: str) -> str:
    return f"[{','.join(messages)}]"


def alpaca_pages(minutes: int) -> Callable[[Request], Reply]:
    """The same bars by pages: all minutes of the session so far, of whatever symbols are asked for."""

    def answer(request: Request) -> Reply:
        if request.path == "/v1/corporate-actions":  # who gave up a ticker: nobody
            return json_reply({"corporate_actions": {}, "next_page_token": None})
        first, last = (datetime.fromisoformat(request.query[name]) for name in ("start", "end"))
        bars = {
            symbol: [
                {name: value for name, value in json.loads(bar(symbol, minute)).items() if name not in "TS"}
                for minute in range(minutes)
                if first <= OPENS + timedelta(minutes=minute) <= last
            ]
            for symbol in request.query["symbols"].split(",")
        }
        return json_reply({"bars": bars, "next_page_token": None})

    return answer


class Desk:
    """A feed of two symbols that runs in a thread, with everything it told."""

    def __init__(self, stack: ExitStack, url: str, store: ObjectStore, source: str, server: StreamServer) -> None:
        self.url, self.store, self.server = url, store, server
        self.stream, self.stack = stream_named(source), stack
        self.conn = stack.enter_context(psycopg.connect(url, autocommit=True, options="-c timezone=UTC"))
        self.pages = stack.enter_context(VendorServer(alpaca_pages(30)))
        self.stop, self.told, self.batches = threading.Event(), [], []
        self.error: BaseException | None = None
        self.begun = time.monotonic()
        fetch_log.declare(url, self.stream.vendor)

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=time.monotonic() - self.begun)

    def feed(self, wanted: Subscription, terms: FeedTerms = TERMS, **others: Any) -> Feed:
        publisher = self.stack.enter_context(
            FeedPublisher(self.stream, wanted.interval, wanted.symbols, database_url=self.url, object_store=self.store)
        )
        calls = calls_to(self.pages, self.stream.source, secrets=KEYS)[0]
        return Feed(
            stream=self.stream,
            wanted=wanted,
            publisher=publisher,
            events=FeedEvents(self.url, self.stream.source, self.clock, self.told.append),
            schedule=lambda _: ALWAYS,
            backfill=Backfill(
                self.stream.vendor, wanted.interval, calls, self.clock, self.url, self.store, self.stream.trades
            ),
            address=self.server.url,
            secrets=others.pop("secrets", KEYS),
            clock=self.clock,
            stop=self.stop,
            terms=terms,
            on_batch=others.pop("on_batch", self.batches.append),
        )

    def run(self, feed: Feed) -> threading.Thread:
        def running() -> None:
            try:
                feed.run()
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.error = error

        thread = threading.Thread(target=running, daemon=True)
        thread.start()
        self.stack.callback(self.end, thread)
        return thread

    def end(self, thread: threading.Thread) -> None:
        self.stop.set()
        thread.join(20)
        assert not thread.is_alive()

    def waits_for(self, holds: Callable[[], bool]) -> None:
        for _ in range(3000):
            if holds() or self.error:
                break
            time.sleep(0.02)
        assert self.error is None, self.error
        assert holds(), self.told

    def minutes(self) -> dict[str, list[int]]:
        """The minutes of the bars that are there, a version each, by symbol."""
        rows = self.conn.execute("select symbol, timestamp from raw.price_bars order by symbol, timestamp, watermark")
        found: dict[str, list[int]] = {}
        for symbol, at in rows:
            found.setdefault(symbol, []).append((at - OPENS) // timedelta(minutes=1))
        return found

    def events(self) -> list[str]:
        return [row[0] for row in self.conn.execute("select event from raw.feed_events order by event_id")]


@pytest.fixture
def store(object_store_settings: Any) -> ObjectStore:
    settings = object_store_settings
    return ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)


@pytest.fixture
def open_desk(database_url: str, store: ObjectStore) -> Iterator[Callable[..., Desk]]:
    with ExitStack() as stack:

        def opened(source: str = "alpaca:iex", greeting: Any = None) -> Desk:
            server = stack.enter_context(StreamServer(greeting or alpaca_greeting()))
            return Desk(stack, database_url, store, source, server)

        yield opened


BARS = Subscription(("AAPL", "MSFT"), "1m")


def test_every_bar_comes_once_over_repeats_reorders_cuts_and_absences(open_desk: Callable[..., Desk]):
    desk = open_desk()
    feed = desk.feed(BARS)
    thread = desk.run(feed)
    server = desk.server
    server.say(frame(bar("AAPL", 20), bar("MSFT", 20)))
    desk.waits_for(lambda: len(desk.batches) == 1)
    server.say(frame(bar("AAPL", 21)), frame(bar("AAPL", 21), bar("MSFT", 21)))  # a repeat
    server.say(frame(bar("AAPL", 23)), frame(bar("MSFT", 22), bar("AAPL", 22)))  # a reorder
    desk.waits_for(lambda: desk.minutes() == {"AAPL": [20, 21, 22, 23], "MSFT": [20, 21, 22]})
    server.cut()  # and what was told before the next connection is missed: 24 to 29 are by pages only
    desk.waits_for(lambda: desk.minutes() == {"AAPL": [*range(20, 30)], "MSFT": [*range(20, 30)]})
    server.say(frame(bar("AAPL", 29), bar("MSFT", 29, kind="u", close=10.5)))  # told again, and corrected
    desk.waits_for(lambda: desk.minutes() == {"AAPL": [*range(20, 30)], "MSFT": [*range(20, 30), 29]})
    desk.end(thread)
    assert server.connections == 2
    assert desk.events() == ["connected", "disconnected", "connected", "backfilled", "stopped"]
    assert (feed.report.repeated, feed.report.rows_quarantined, feed.report.rows_backfilled) == (1, 0, 13)
    assert [one.was_quick for one in desk.batches][:2] == [False, True]
    asked = {"action": "subscribe", "bars": ["AAPL", "MSFT"], "updatedBars": ["AAPL", "MSFT"]}
    assert [one for one in server.heard if one["action"] == "subscribe"] == [asked, asked]
    _every_batch_is_read_again_from_its_payload(desk)


def _every_batch_is_read_again_from_its_payload(desk: Desk) -> None:
    before = desk.conn.execute("select count(*) from raw.held_payloads").fetchone()
    with PayloadMover(desk.url, desk.store, every=60):
        found = _hashes(desk)
    after = desk.conn.execute("select count(*) from raw.held_payloads").fetchone()
    assert before is not None
    assert before[0] > 0
    assert after == (0,)
    assert _hashes(desk) == found
    stored = desk.conn.execute("select batch_id, row_hash from raw.price_bars order by batch_id, row_hash").fetchall()
    assert found == stored


def _hashes(desk: Desk) -> list[tuple[int, bytes]]:
    batches = [row[0] for row in desk.conn.execute("select batch_id from raw.ingestion_batches order by batch_id")]
    return [
        (batch, row_hash)
        for batch in batches
        for row_hash in sorted(one.row_hash for one in rows_of_payload(desk.conn, desk.store, batch))
    ]


def test_a_bad_bar_is_quarantined_and_the_feed_goes_on(open_desk: Callable[..., Desk]):
    desk = open_desk()
    thread = desk.run(desk.feed(BARS))
    desk.server.say(frame(bar("AAPL", 20), bar("MSFT", 20)))
    desk.waits_for(lambda: len(desk.batches) == 1)
    wrong = bar("MSFT", 21).replace('"l":9.75', '"l":12')
    desk.server.say(frame(bar("AAPL", 21), wrong), "[{", frame(bar("AAPL", 22)))
    desk.waits_for(lambda: desk.minutes() == {"AAPL": [20, 21, 22], "MSFT": [20]})
    rules = desk.conn.execute("select rule from raw.quarantined_rows order by 1").fetchall()
    assert rules == [("ohlc_order",)]
    assert desk.events() == ["connected", "refused"]
    desk.end(thread)


def test_a_hole_is_asked_for_by_pages(open_desk: Callable[..., Desk]):
    desk = open_desk()
    thread = desk.run(desk.feed(BARS))
    desk.server.say(frame(bar("AAPL", 20)))
    desk.waits_for(lambda: len(desk.batches) == 1)
    desk.server.say(frame(bar("AAPL", 23)))
    desk.waits_for(lambda: desk.minutes() == {"AAPL": [20, 21, 22, 23]})
    desk.end(thread)
    assert desk.events() == ["connected", "backfilled", "stopped"]


def test_a_feed_that_ended_anywhere_is_completed_by_the_next_one(open_desk: Callable[..., Desk]):
    desk = open_desk()

    def dies(published: Published) -> None:
        if published.was_quick:
            raise SystemExit(9)  # after the commit, before anything else

    thread = desk.run(desk.feed(BARS, on_batch=dies))
    desk.server.say(frame(bar("AAPL", 20), bar("MSFT", 20)))
    desk.waits_for(lambda: desk.minutes() == {"AAPL": [20], "MSFT": [20]})
    desk.server.say(frame(bar("AAPL", 21), bar("MSFT", 21)))
    thread.join(20)
    assert isinstance(desk.error, SystemExit)
    desk.error, desk.stop = None, threading.Event()
    second = desk.run(desk.feed(BARS))
    desk.waits_for(lambda: desk.minutes() == {"AAPL": [*range(20, 30)], "MSFT": [*range(20, 30)]})
    desk.end(second)


def test_a_stalled_feed_is_noticed_and_given_up_after_so_many_stalls(open_desk: Callable[..., Desk]):
    desk = open_desk()
    terms = FeedTerms(stall_after=timedelta(milliseconds=50), most_stalls=2, backoff=Backoff(0.01, 0.02))
    with pytest.raises(VendorUnavailableError, match=r"found nothing for 0\.05 s after 2 tries"):
        desk.feed(BARS, terms).run()
    assert desk.events() == ["connected", "stalled", "disconnected"] * 2 + ["stopped"]
    told: list[FeedEvent] = desk.told
    assert told[1].sentence().startswith("2026-11-18 15:00:0")


def test_wrong_credentials_end_the_feed_and_are_written_nowhere(open_desk: Callable[..., Desk]):
    desk = open_desk()
    with pytest.raises(CredentialsError, match="402 auth failed; check APCA_API_KEY_ID"):
        desk.feed(BARS, secrets=KEYS | {"APCA_API_SECRET_KEY": "wrong-secret"}).run()
    rows = desk.conn.execute("select event, detail::text from raw.feed_events").fetchall()
    assert rows == [("stopped", '{"why": "CredentialsError"}')]
    desk.server.greeting = refusing_greeting(405, "symbol limit exceeded")
    with pytest.raises(VendorRefusedError, match="405 symbol limit exceeded"):
        desk.feed(BARS).run()


LAST = "select trade_id, side from raw.last_trades('ccxt:binance', 'BTC/USDT', 1000)"


def binance_trade(number: int) -> str:
    milliseconds = int(OPENS.timestamp() * 1000) + number
    told = {"e": "trade", "s": "BTCUSDT", "t": number, "p": f"{number}.5", "q": "0.001", "T": milliseconds, "m": False}
    return json.dumps({"stream": "btcusdt@trade", "data": told})


def binance_newest(*numbers: int) -> Callable[[Request], Reply]:
    """developers.binance.com, "Recent trades list": what Binance still has of the pair, at most a thousand."""

    def answer(request: Request) -> Reply:
        if (request.path, request.query) != ("/api/v3/trades", {"symbol": "BTCUSDT", "limit": "1000"}):
            return json_reply({"code": -1, "msg": f"unexpected {request.path}"}, 404)
        first = int(OPENS.timestamp() * 1000)
        told = [
            {"id": one, "price": f"{one}.5", "qty": "0.001", "time": first + one, "isBuyerMaker": False}
            for one in numbers
        ]
        return json_reply(told)

    return answer


def test_trades_come_once_in_order_and_the_last_of_them_in_one_statement(open_desk: Callable[..., Desk]):
    desk = open_desk("ccxt:binance", binance_greeting())
    declare(desk.url, Chart.of("tick", "2"), "ccxt:binance", ["BTC/USDT"])
    desk.stack.enter_context(ChartKeeper(desk.url, lambda why: None, every=0.01))
    thread = desk.run(desk.feed(Subscription(("BTC/USDT",), "1m", ("trades",))))
    desk.pages.answer = binance_newest(1, 2, 3, 4, 5, 6)
    desk.server.say(binance_trade(1))
    desk.waits_for(lambda: len(desk.batches) == 1)
    desk.server.say(*map(binance_trade, (3, 2, 2, 4, 6)))  # 5 is left out: asked for by pages
    desk.waits_for(lambda: len(desk.conn.execute(LAST).fetchall()) == 6)
    assert desk.conn.execute(LAST).fetchall() == [(str(number), "buy") for number in (6, 5, 4, 3, 2, 1)]
    assert next(one.was_quick for one in desk.batches) is False
    assert all(one.was_quick for one in desk.batches[1:])
    desk.server.say(binance_trade(7), binance_trade(8))  # the quick way again, after which nobody ingests
    bars = "select b.open from marts.active_charts c, marts.chart_bars_as_of(c.definition, c.source, c.symbol) b order by 1"
    desk.waits_for(lambda: [float(row[0]) for row in desk.conn.execute(bars)] == [1.5, 3.5, 5.5, 7.5])
    desk.end(thread)
    assert desk.events() == ["connected", "backfilled", "stopped"]
    assert desk.server.heard == [{"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}]


def test_numbered_trades_that_a_cut_lost_are_fetched_and_what_the_exchange_has_no_more_is_a_hole(
    open_desk: Callable[..., Desk],
):
    desk = open_desk("ccxt:binance", binance_greeting())
    thread = desk.run(desk.feed(Subscription(("BTC/USDT",), "1m", ("trades",))))
    desk.server.say(binance_trade(1), binance_trade(2))
    desk.waits_for(lambda: len(desk.conn.execute(LAST).fetchall()) == 2)
    desk.pages.answer = binance_newest(6, 7, 8)  # 3 to 5 are beyond its newest thousand
    desk.server.cut()
    desk.waits_for(lambda: len(desk.conn.execute(LAST).fetchall()) == 5)
    desk.server.say(binance_trade(8), binance_trade(9))
    desk.waits_for(lambda: len(desk.conn.execute(LAST).fetchall()) == 6)
    desk.end(thread)
    assert [int(row[0]) for row in desk.conn.execute(LAST)] == [9, 8, 7, 6, 2, 1]
    assert desk.events() == ["connected", "disconnected", "connected", "backfilled", "hole", "stopped"]
    (hole,) = [one.detail for one in desk.told if one.event == "hole"]
    assert (hole["symbol"], hole["trades"]) == ("BTC/USDT", 3)
    _every_trade_is_read_again_from_its_payload(desk)


def alpaca_trade(number: int, price: float = 10.5, **more: Any) -> dict[str, Any]:
    at = OPENS + timedelta(minutes=20, seconds=number)
    return {"i": number, "x": "V", "p": price, "s": 100, "t": f"{at:%Y-%m-%dT%H:%M:%SZ}", "c": ["@"], "z": "C", **more}


def test_trades_that_a_cut_lost_are_asked_of_alpaca_as_canceled_as_they_are_by_now(open_desk: Callable[..., Desk]):
    desk = open_desk()
    desk.pages.answer = lambda request: json_reply(
        {"trades": {"AAPL": [alpaca_trade(1), alpaca_trade(2), alpaca_trade(3, u="canceled")]}, "next_page_token": None}
        if request.path == "/v2/stocks/trades" and request.query["feed"] == "iex"
        else {"message": "endpoint not found."}
    )
    thread = desk.run(desk.feed(Subscription(("AAPL",), "1m", ("trades",))))
    desk.server.say(json.dumps([{"T": "t", "S": "AAPL", **alpaca_trade(1)}]))
    desk.waits_for(lambda: len(desk.batches) == 1)
    desk.server.cut()
    last = "select trade_id from raw.last_trades('alpaca:iex', 'AAPL', 1000)"
    desk.waits_for(lambda: len(desk.conn.execute(last).fetchall()) == 2)
    desk.end(thread)
    assert desk.conn.execute(last).fetchall() == [("2026-11-18-V-2",), ("2026-11-18-V-1",)]
    assert desk.events() == ["connected", "disconnected", "connected", "backfilled", "stopped"]
    assert desk.pages.requests[-1].query["start"] == "2026-11-18T14:50:01.000000Z"
    _every_trade_is_read_again_from_its_payload(desk)


def _every_trade_is_read_again_from_its_payload(desk: Desk) -> None:
    with PayloadMover(desk.url, desk.store, every=60):
        found = _hashes(desk)
    stored = {
        (one, bytes(two)) for one, two in desk.conn.execute("select batch_id, row_hash from raw.trades").fetchall()
    }
    assert stored <= set(found)


def test_trades_that_cannot_be_fetched_are_a_hole(open_desk: Callable[..., Desk]):
    desk = open_desk()
    desk.pages.answer = lambda _: json_reply({"message": "subscription does not permit"}, 422)
    thread = desk.run(desk.feed(Subscription(("AAPL",), "1m", ("trades",))))
    desk.server.say(json.dumps([{"T": "t", "S": "AAPL", **alpaca_trade(1)}]))
    desk.waits_for(lambda: len(desk.batches) == 1)
    desk.server.cut()
    desk.waits_for(lambda: "hole" in desk.events())
    desk.end(thread)
    assert desk.events() == ["connected", "disconnected", "connected", "refused", "hole", "stopped"]


def test_bars_do_not_wait_for_features_that_cannot_be_derived(open_desk: Callable[..., Desk]):
    desk = open_desk()
    thread = desk.run(desk.feed(BARS))
    desk.server.say(frame(bar("AAPL", 20), bar("MSFT", 20)))
    desk.waits_for(lambda: len(desk.batches) == 1)
    desk.conn.execute(
        "create or replace procedure features.advance(to_watermark bigint default null) "
        "language plpgsql as $$ begin raise exception 'no features today'; end $$"
    )
    desk.server.say(frame(bar("AAPL", 21), bar("MSFT", 21)))
    desk.waits_for(lambda: desk.minutes() == {"AAPL": [20, 21], "MSFT": [20, 21]})
    desk.waits_for(lambda: "refused" in desk.events())
    assert "no features today" in desk.told[-1].sentence()
    desk.end(thread)


@pytest.mark.long
def test_a_vendor_is_polled_as_each_bar_ends(open_desk: Callable[..., Desk]):
    desk = open_desk()
    desk.pages.answer = alpaca_pages(390)
    sessions = Sessions.of([Session(OPENS.date(), OPENS, OPENS + timedelta(hours=6.5))])

    def clock() -> datetime:  # a minute each second
        return NOW + 60 * timedelta(seconds=time.monotonic() - desk.begun)

    newest = "select symbol, max(timestamp) from raw.price_bars group by 1"
    calls = calls_to(desk.pages, desk.stream.source, secrets=KEYS)[0]
    feed = PollingFeed(
        symbols=("AAPL",),
        interval=Interval.parse("1m"),
        newest=lambda: dict(desk.conn.execute(newest).fetchall()),
        sessions=lambda _: {"XNYS": sessions},
        backfill=Backfill(desk.stream.vendor, "1m", calls, clock, desk.url, desk.store),
        events=FeedEvents(desk.url, desk.stream.source, clock, desk.told.append),
        clock=clock,
        stop=desk.stop,
    )
    thread = threading.Thread(target=feed.run)
    thread.start()
    desk.waits_for(lambda: feed.report.connections > 2 and feed.report.rows_published > 32)
    desk.stop.set()
    thread.join()
    there = desk.minutes()["AAPL"]
    assert there == [*range(len(there))]
    assert desk.events() == ["stopped"]


class Hurried(threading.Event):
    """Whoever waits for it moves its clock on instead; set at the end of its time."""

    def __init__(self, now: datetime, until: datetime) -> None:
        super().__init__()
        self.now, self._until = now, until

    def clock(self) -> datetime:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timedelta(seconds=timeout or 0)
        if self.now >= self._until:
            self.set()
        return self.is_set()


def test_yahoos_days_are_polled_after_each_close_and_not_at_a_weekend(open_desk: Callable[..., Desk]):
    desk = open_desk()
    first, until = datetime(2026, 11, 11, 22, tzinfo=UTC), datetime(2026, 11, 17, 12, tzinfo=UTC)
    sessions = exchange_sessions("XNYS", date(2026, 11, 12), date(2026, 11, 25))
    days = [one.session_date for one in sessions]
    listing = Listing([(day, 10.0, 15.0, 9.5, 10.5 + number / 4, 1000) for number, day in enumerate(days)])
    yfinance, stop = vendor_named("yfinance"), Hurried(first, until)
    fetch_log.declare(desk.url, yfinance)
    asked: list[datetime] = []

    def answer(request: Request) -> Reply:
        asked.append(stop.now)
        return yahoo({"TOY": listing})(request)

    desk.pages.answer = answer
    newest = "select symbol, max(timestamp) from raw.price_bars group by 1"
    calls = calls_to(desk.pages, "yfinance")[0]
    report = PollingFeed(
        symbols=("TOY",),
        interval=Interval.parse("1d"),
        newest=lambda: dict(desk.conn.execute(newest).fetchall()),
        sessions=lambda _: {"XNYS": Sessions.of(sessions)},
        backfill=Backfill(yfinance, "1d", calls, stop.clock, desk.url, desk.store),
        events=FeedEvents(desk.url, "yfinance", stop.clock, desk.told.append),
        clock=stop.clock,
        stop=stop,
    ).run()
    there = desk.conn.execute("select timestamp::date, known_at from raw.price_bars order by 1").fetchall()
    over = {one.session_date: one.closes_at + yfinance.lag for one in sessions if one.closes_at < until}
    assert [day for day, _ in there] == sorted(over)
    assert all(timedelta(0) <= known_at - over[day] < timedelta(minutes=1) for day, known_at in there)
    assert not [at for at in asked if at.date().isoweekday() > 5]
    assert (report.rows_published, report.stalls, desk.events()) == (len(over), 0, ["stopped"])


def test_a_listener_wakes_for_what_is_committed_and_finds_what_nobody_told(open_desk: Callable[..., Desk]):
    desk = open_desk()
    thread = desk.run(desk.feed(BARS))
    with WakeUps(desk.url, "publications", period=0.05) as wake_ups:
        assert wake_ups.wait(0.1) is None
        desk.server.say(frame(bar("AAPL", 20), bar("MSFT", 20)))
        woken = wake_ups.wait(60)
        assert woken is not None
        newest = desk.conn.execute("select max(watermark) from raw.price_bars").fetchone()
        assert newest == (woken.watermark,)
        wake_ups._conn.execute("unlisten *")
        desk.server.say(frame(bar("AAPL", 21)))
        found = wake_ups.wait(60)
        assert found is not None
        assert not found.was_told
        assert found.watermark > woken.watermark
    desk.end(thread)
