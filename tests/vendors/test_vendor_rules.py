"""What is a vendor's own: how it is asked, what it leaves out, and what it says no to. No database."""

import json
import logging
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from alpaca_protocol import alpaca
from exchange_protocols import CLOSES, DAY, FIRST, binance, kline, kraken
from news_protocols import MARKETS, TECH, feeds, newsapi
from vendor_cases import BEGIN, CASES, FEEDS, WORDS, Case
from vendor_server import Reply, Request, VendorServer, json_reply, refusing

from trading.adapters.fetching import possible
from trading.adapters.sources.registry import vendor_named
from trading.errors import (
    CredentialsError,
    InputError,
    MissingColumnError,
    UnreadablePayloadError,
    VendorRefusedError,
    VendorUnavailableError,
)
from trading.ingestion.candidates import parse
from trading.ingestion.ports import Ask
from trading.ingestion.reader import Reader

BY_NAME = {case.name: case for case in CASES}


def fetched(case: Case, cursor: str | None = None):
    """Return the pages and the requests of a case with a server of its own."""
    with VendorServer(case.answer) as server:
        return case.fetched(server, cursor), server.requests


def rows_of(source: str, payload: bytes, reader: Reader) -> list:
    return list(vendor_named(source).rows(payload, reader))


class TestAlpaca:
    def test_it_is_asked_for_raw_bars_of_the_tape_up_to_before_the_end(self):
        _, requests = fetched(BY_NAME["alpaca/prices"])
        first = requests[0].query
        asked = {name: first[name] for name in ("symbols", "timeframe", "adjustment", "feed", "limit", "start")}
        assert asked == {
            "symbols": "AAPL,MSFT",
            "timeframe": "1Day",
            "adjustment": "raw",
            "feed": "sip",
            "limit": "10000",
            "start": "2024-01-01T00:00:00+00:00",
        }
        assert first["end"] == "2024-01-05T23:59:59.999999+00:00"
        assert [request.query.get("page_token") for request in requests] == [None, "AT|2", "AT|4"]

    def test_another_feed_is_another_source(self):
        case = replace(BY_NAME["alpaca/prices"], source="alpaca:iex")
        pages, requests = fetched(case)
        assert case.vendor.name == "alpaca:iex"
        assert {request.query["feed"] for request in requests} == {"iex"}
        assert pages[0].reader.details == {"feed": "iex"}
        with pytest.raises(InputError, match="one of sip, iex, realtime; found 'otc'"):
            vendor_named("alpaca:otc")

    @pytest.mark.parametrize(
        ("interval", "end", "asked"),
        [
            ("1d", "2024-01-04T20:59:00+00:00", "2024-01-04T04:59:59.999999+00:00"),  # a minute before the close
            ("1d", "2024-01-04T21:00:00+00:00", "2024-01-04T20:59:59.999999+00:00"),
            ("5m", "2024-01-04T15:44:00+00:00", "2024-01-04T15:39:59.999999+00:00"),
            ("1w", "2024-01-04T15:44:00+00:00", "2023-12-31T23:59:59.999999+00:00"),
        ],
    )
    def test_a_bar_that_the_end_of_the_ask_would_cut_is_not_asked_for(self, interval, end, asked):
        start = BEGIN - timedelta(days=20)
        assert self.ends_asked_for(interval, start, datetime.fromisoformat(end)) == [asked]

    def test_where_no_bar_is_over_nothing_is_asked_for(self):
        start = datetime(2024, 1, 4, 15, 41, tzinfo=UTC)
        assert [self.ends_asked_for(interval, start, start + timedelta(minutes=3)) for interval in ("5m", "1d")] == [
            [],
            [],
        ]

    def ends_asked_for(self, interval: str, start: datetime, end: datetime) -> list[str]:
        case = replace(BY_NAME["alpaca/prices"], interval=interval)
        with VendorServer(case.answer) as server:
            calls, _ = case.calls(server)
            with calls:
                list(case.vendor.pages(replace(case.ask, start=start, end=end), None, calls))
        return sorted({request.query["end"] for request in server.requests})

    def test_bars_before_and_after_the_regular_session_are_left_out(self):
        bar = {"o": 1, "h": 1, "l": 1, "c": 1, "v": 10}
        times = ("14:25", "14:30", "20:55", "21:00")  # 09:25, 09:30, 15:55 and 16:00 in New York
        body = json_reply({"bars": {"AAPL": [bar | {"t": f"2024-01-02T{time}:00Z"} for time in times]}}).body
        found = rows_of("alpaca", body, Reader("prices", "alpaca.bars", interval="5m"))
        assert [row["timestamp"] for row in found] == [
            datetime(2024, 1, 2, 14, 30, tzinfo=UTC),
            datetime(2024, 1, 2, 20, 55, tzinfo=UTC),
        ]

    def test_many_symbols_are_asked_in_groups_and_the_cursor_says_which(self):
        symbols = ("AAPL", *(f"S{number:03}" for number in range(199)), "MSFT")
        case = replace(BY_NAME["alpaca/prices"], symbols=symbols, answer=alpaca(page=10))
        pages, requests = fetched(case)
        assert [len(request.query["symbols"].split(",")) for request in requests] == [100, 100, 1]
        assert [page.cursor for page in pages] == ["1 ", "2 ", "3 "]
        rest, _ = fetched(case, "2 ")
        assert case.read(rest) == case.rows[3:]

    def test_no_bars_at_all_is_a_page_without_rows(self):
        case = replace(BY_NAME["alpaca/prices"], symbols=("NOPE",))
        pages, _ = fetched(case)
        assert (len(pages), case.read(pages)) == (1, ())

    def test_a_page_that_names_itself_as_the_next_one_ends_the_fetch(self):
        case = replace(BY_NAME["alpaca/prices"], answer=lambda _: json_reply({"bars": {}, "next_page_token": "AT|0"}))
        with pytest.raises(VendorRefusedError, match=r"expected the page after AT\|0 of alpaca, found the same one"):
            fetched(case)

    @pytest.mark.parametrize("body", [b'{"bars":null,"next_page_token":null}', b'{"bars":{}}'])
    def test_null_is_no_bars_too(self, body):
        assert rows_of("alpaca", body, Reader("prices", "alpaca.bars")) == []

    def test_a_field_that_no_bar_has_is_named(self):
        body = b'{"bars":{"AAPL":[{"t":"2024-01-02T05:00:00Z","o":1,"h":1,"l":1,"close":1,"v":1}]}}'
        with pytest.raises(MissingColumnError, match="found no c in any; its format has changed"):
            rows_of("alpaca", body, Reader("prices", "alpaca.bars"))

    def test_hours_are_not_offered_because_they_begin_before_the_session(self):
        with pytest.raises(InputError, match="expected an interval of 1m, 5m, 15m, 30m, 1d, 1w, 1mo"):
            vendor_named("alpaca").refuse_unless_offered("prices", "1h")

    def test_a_plan_without_the_tape_is_told_in_the_vendors_words(self):
        case = BY_NAME["alpaca/prices"]
        with VendorServer(case.answer) as server:
            server.fail(refusing(403, b'{"message":"subscription does not permit querying recent SIP data"}'))
            with pytest.raises(CredentialsError, match=r"status 403.*does not permit querying recent SIP data"):
                case.fetched(server)


class TestCcxt:
    def test_only_bars_that_are_over_are_asked_for(self):
        case = BY_NAME["ccxt/binance"]
        running = replace(case, answer=binance(page=1000))
        ask = replace(running.ask, end=datetime(2024, 1, 5, 13, tzinfo=UTC))
        with VendorServer(running.answer) as server:
            calls, _ = running.calls(server)
            with calls:
                pages = list(running.vendor.pages(ask, None, calls))
        assert [row[1] for row in running.read(pages)] == [date(2024, 1, day) for day in (1, 2, 3, 4)]
        assert server.requests[-1].query["limit"] == "4"

    def test_the_running_bar_that_an_exchange_adds_is_left_out(self):
        case = BY_NAME["ccxt/kraken"]
        ask = replace(case.ask, end=datetime(2024, 1, 4, 13, tzinfo=UTC))
        with VendorServer(kraken) as server:
            calls, _ = case.calls(server)
            with calls:
                pages = list(case.vendor.pages(ask, None, calls))
        assert [row[2] for row in case.read(pages)] == list(CLOSES[:3])

    def test_a_pair_that_is_younger_than_the_ask_is_found_window_by_window(self):
        def windows(request: Request) -> Reply:
            """As exchanges do that answer for a window of time, and with an empty list before the pair was there."""
            if request.path != "/api/v3/klines":
                return binance()(request)
            since, limit = int(request.query["startTime"]), int(request.query["limit"])
            bars = [kline(number, close) for number, close in enumerate(CLOSES)]
            return json_reply([bar for bar in bars if since <= bar[0] < since + limit * DAY])

        case = replace(BY_NAME["ccxt/binance"], answer=windows)
        ask = replace(case.ask, start=BEGIN - timedelta(days=1500))
        with VendorServer(windows) as server:
            calls, _ = case.calls(server)
            with calls:
                pages = list(case.vendor.pages(ask, None, calls))
        assert case.read(pages) == case.rows
        assert (len(pages), len(server.requests)) == (1, 3)

    def test_the_exchanges_own_pace_is_kept_between_requests(self):
        case = BY_NAME["ccxt/kraken"]
        with VendorServer(kraken) as server:
            calls, waits = case.calls(server)
            with calls:
                list(case.vendor.pages(case.ask, None, calls))
        assert len(server.requests) == 3
        assert all(0.5 < wait < 2 for wait in waits)  # one request per second, counted from the one before
        assert len(waits) == 2

    def test_what_an_exchange_says_with_status_200_counts(self):
        case = BY_NAME["ccxt/kraken"]
        said = ["EGeneral:Too many requests", "EService:Unavailable"]

        def busy_then_good(request: Request) -> Reply:
            if request.path == "/0/public/OHLC" and said:
                return json_reply({"error": [said.pop()]})
            return kraken(request)

        pages, requests = fetched(replace(case, answer=busy_then_good))
        assert case.read(pages) == case.rows
        assert len(requests) == 5
        said.extend(["EGeneral:Invalid arguments"])
        with pytest.raises(VendorRefusedError, match="EGeneral:Invalid arguments"):
            fetched(replace(case, answer=busy_then_good))

    def test_a_banned_address_is_not_asked_again(self):
        case = BY_NAME["ccxt/binance"]
        with VendorServer(case.answer) as server:
            server.fail(None, refusing(418, b'{"code":-1003,"msg":"Way too many requests; IP banned."}'))
            with pytest.raises(VendorRefusedError, match=r"status 418.*IP banned"):
                case.fetched(server)
            assert len(server.requests) == 2

    def test_a_pair_that_the_exchange_has_not_is_named_before_anything_is_fetched(self):
        case = replace(BY_NAME["ccxt/binance"], symbols=("BTC/USDT", "BTC-USD"))
        with VendorServer(case.answer) as server:
            with pytest.raises(
                InputError, match=r"expected a spot pair of binance .* such as BTC/USDT, found 'BTC-USD'"
            ):
                case.fetched(server)
            assert [request.path for request in server.requests] == ["/api/v3/exchangeInfo"]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("ccxt:nowhere", "expected an exchange that ccxt knows"),
            ("rss:x", "expected the vendor rss without a colon"),
        ],
    )
    def test_an_exchange_that_nobody_knows_is_refused(self, name, message):
        with pytest.raises(InputError, match=message):
            vendor_named(name)

    def test_without_an_exchange_there_are_no_bars_to_ask_for(self):
        with pytest.raises(InputError, match="found '1d'"):
            vendor_named("ccxt").refuse_unless_offered("prices", "1d")

    def test_weeks_and_months_are_not_offered_because_exchanges_begin_them_on_other_days(self):
        assert {"1w", "1M", "1mo"} & set(vendor_named("ccxt:binance").intervals) == set()
        assert {"1m", "1h", "1d"} <= set(vendor_named("ccxt:binance").intervals)

    # Answers as the exchanges' own documents show them; Coinbase gives numbers, not text.
    @pytest.mark.parametrize(
        ("exchange", "market", "body", "expected"),
        [
            (
                "coinbaseexchange",
                "BTC-USD",
                b"[[1704067200,42000.010000000001,42600.2,42283.58,42499.999999,9371.12345678]]",
                ("42283.58", "42600.2", "42000.010000000001", "42499.999999", "9371.12345678"),
            ),
            (
                "okx",
                "BTC-USD",
                b'{"code":"0","msg":"","data":[["1704067200000","42.1","44.0","41.9","43.2","628","2","3","1"]]}',
                ("42.1", "44.0", "41.9", "43.2", "628"),
            ),
            (
                "bitstamp",
                "btcusd",
                b'{"data":{"pair":"BTC/USD","ohlc":[{"high":"44","timestamp":"1704067200","volume":"1.5","low":"41",'
                b'"close":"43","open":"42"}]}}',
                ("42", "44", "41", "43", "1.5"),
            ),
        ],
    )
    def test_any_exchange_is_read_by_ccxt_with_every_digit(self, exchange, market, body, expected):
        details = {"exchange": exchange, "symbol": "BTC/USD", "market": market, "since": str(FIRST), "limit": "5"}
        reader = Reader("prices", "ccxt.bars", details=details | {"until": str(FIRST + 4 * DAY)})
        (row,) = rows_of("ccxt", body, reader)
        assert tuple(row[name] for name in ("open", "high", "low", "close", "volume")) == expected
        assert (row["symbol"], row["timestamp"]) == ("BTC/USD", date(2024, 1, 1))


class TestNewsapi:
    def test_each_symbol_is_searched_by_its_words_where_a_reader_can_see_them(self):
        _, requests = fetched(BY_NAME["newsapi"])
        assert [request.query["q"] for request in requests] == ['"Apple" OR "iPhone"', '"MSFT"']
        assert {name: requests[0].query[name] for name in ("searchIn", "from", "to", "sortBy", "pageSize", "page")} == {
            "searchIn": "title,description",
            "from": "2024-01-01T00:00:00",
            "to": "2024-01-05T23:59:59",
            "sortBy": "publishedAt",
            "pageSize": "100",
            "page": "1",
        }

    def test_pages_go_on_as_far_as_there_are_results(self):
        case = replace(BY_NAME["newsapi"], symbols=("AAPL",), answer=newsapi(total=150, plan=200))
        pages, requests = fetched(case)
        assert [request.query["page"] for request in requests] == ["1", "2"]
        assert case.read(pages) == case.rows[:3]
        assert [page.cursor for page in pages] == ["AAPL 2", "AAPL 0"]

    def test_the_end_of_the_plan_is_told_and_the_pages_before_it_come(self):
        case = replace(BY_NAME["newsapi"], symbols=("AAPL",), answer=newsapi(total=150))
        with VendorServer(case.answer) as server:
            calls, _ = case.calls(server)
            with calls:
                pages = case.vendor.pages(case.ask, None, calls)
                assert case.read([next(pages)]) == case.rows[:2]
                with pytest.raises(VendorRefusedError, match=r"maximumResultsReached.*ask for fewer days with --from"):
                    next(pages)

    def test_too_many_words_are_refused_before_anything_is_asked(self):
        environ = BY_NAME["newsapi"].environ | {WORDS: "AAPL=" + ",".join(f"word{number:04}" for number in range(60))}
        with pytest.raises(InputError, match="expected words of AAPL of at most 500 characters together"):
            fetched(replace(BY_NAME["newsapi"], environ=environ))


class TestRss:
    def test_a_feed_is_asked_only_for_what_changed_and_a_feed_without_changes_is_no_page(self):
        case = BY_NAME["rss"]
        with VendorServer(feeds) as server:
            first = case.fetched(server)
            server.forget()
            assert case.fetched(server, first[-1].cursor) == []
        moved, tech, markets = server.requests
        assert moved.headers["if-none-match"] == tech.headers["if-none-match"] == '"tech-1"'
        assert markets.headers["if-modified-since"] == "Tue, 09 Jan 2024 12:00:00 GMT"

    def test_other_words_read_a_feed_again_and_leave_the_others(self):
        case = BY_NAME["rss"]
        words = replace(case, environ=case.environ | {WORDS: "AAPL=Apple;MSFT=Pineapples"})
        with VendorServer(feeds) as server:
            first = case.fetched(server)
            again = words.fetched(server, first[-1].cursor)
        assert [page.name for page in again] == ["feed 127.0.0.1/markets.xml"]
        assert [row[1] for row in words.read(again)] == ["Pineapples"]

    def test_the_items_of_a_stated_feed_are_about_its_symbols_and_others_about_the_words_they_hold(self):
        details = {"feed": "f", "type": "application/xml"}
        stated = Reader("news", "rss.feed", details=details | {"symbols": "AAPL,MSFT"})
        assert [row["symbols"] for row in rows_of("rss", TECH, stated)] == [["AAPL", "MSFT"]]
        searched = Reader("news", "rss.feed", details=details | {"symbols": "", "words": "AAPL=apple;M=MICROSOFT"})
        # "Pineapples" holds apple inside a word: that names nobody.
        assert [(row["symbols"], row["url"]) for row in rows_of("rss", MARKETS, searched)] == [
            (["M"], "https://feeds.example/m1")
        ]

    @pytest.mark.parametrize("body", [b"<html><body>Sign in</body></html>", TECH[:-20]])
    def test_what_is_no_whole_feed_is_asked_for_again_and_then_refused(self, body):
        case = replace(BY_NAME["rss"], answer=lambda _: Reply(200, body))
        with pytest.raises(VendorUnavailableError, match=r"rss at 127.0.0.1/moved.xml .* not whole after 4 tries"):
            fetched(case)

    def test_a_feed_that_closes_but_is_none_is_refused(self):
        reader = Reader("news", "rss.feed", details={"feed": "f", "type": "", "symbols": "AAPL"})
        with pytest.raises(UnreadablePayloadError, match="expected RSS or Atom, found another form"):
            rows_of("rss", b"<html></feed>", reader)

    @pytest.mark.parametrize(
        ("feeds_setting", "words", "message"),
        [
            ("", "", "expected feeds in TRADELOOM_RSS_FEEDS, found none"),
            ("AAPL=https://user:pw@feeds.example/x", "", "found another form$"),
            ("https://feeds.example/x", "", "found another form$"),
            ("AAPL=https://feeds.example/x", "", "expected a feed of MSFT in TRADELOOM_RSS_FEEDS"),
            ("*=https://feeds.example/x", "AAPL=Apple", "words of MSFT in TRADELOOM_NEWS_WORDS"),
            ("*=https://feeds.example/x", "AAPL", "expected TRADELOOM_NEWS_WORDS such as"),
        ],
    )
    def test_settings_that_name_nothing_are_refused_before_anything_is_asked(self, feeds_setting, words, message):
        with pytest.raises(InputError, match=message):
            fetched(replace(BY_NAME["rss"], environ={FEEDS: feeds_setting, WORDS: words}))

    def test_the_key_in_a_feeds_address_is_in_no_page_error_or_log(self, caplog):
        caplog.set_level(logging.DEBUG)
        environ = {FEEDS: "AAPL,MSFT={url}/tech.xml?key=t0ken AAPL={url}/tech.xml?key=0ther"}
        case = replace(BY_NAME["rss"], environ=environ)
        with VendorServer(feeds) as server:
            pages = case.fetched(server)
            server.fail(*[refusing(404)])
            with pytest.raises(VendorRefusedError) as refused:
                case.fetched(server)
        assert server.requests[0].query == {"key": "t0ken"}
        names = [page.reader.details["feed"] for page in pages]
        assert len(set(names)) == 2  # two addresses are two feeds, though their names may not say why
        kept = "".join(f"{page.name}{page.cursor}{page.reader.as_dict()}" for page in pages)
        assert "t0ken" not in kept + str(refused.value) + caplog.text


def test_no_bar_is_asked_for_before_its_lag_is_over_and_a_live_poll_begins_earlier_by_the_lag():
    now = datetime(2024, 1, 5, 15, 0, tzinfo=UTC)
    ask = Ask("prices", ("AAPL",), "1m", datetime(2024, 1, 4, tzinfo=UTC), now)
    alpaca_asked = possible(vendor_named("alpaca"), ask, "live", now)
    assert (alpaca_asked.start, alpaca_asked.end) == (ask.start - timedelta(minutes=15), now - timedelta(minutes=15))
    assert possible(vendor_named("alpaca"), replace(ask, end=ask.start), "history", now) == replace(ask, end=ask.start)
    # The Developer plan shows an article a day late: yesterday's poll could not see what was written after it began.
    news = possible(vendor_named("newsapi"), replace(ask, kind="news"), "live", now)
    assert (news.start, news.end) == (datetime(2024, 1, 3, tzinfo=UTC), now)


def test_an_ask_that_changed_does_not_go_on_with_the_old_cursor():
    for name in ("newsapi", "ccxt/binance"):
        with pytest.raises(InputError, match=r"expected to go on with one of .*, found GONE; begin anew"):
            fetched(BY_NAME[name], "GONE 1")


def test_the_page_says_of_every_vendor_what_it_declares():
    lines = (Path(__file__).parents[2] / "docs" / "vendors.md").read_text().splitlines()
    rows = {
        cells[1].split(",")[0].strip(" `"): cells for cells in (line.split("|") for line in lines) if len(cells) == 10
    }
    for name in ("alpaca", "newsapi", "rss", "yfinance"):
        vendor, (_, _, kinds, intervals, adjustment, lag, pace, _, wants, _) = vendor_named(name), rows[name]
        assert kinds.strip() == ", ".join(vendor.kinds)
        assert intervals.strip() == " ".join(vendor.intervals)
        assert adjustment.strip().startswith((vendor.adjustment or "") if vendor.intervals else "")
        lags = {timedelta(0): "none", timedelta(hours=24): "24 h"}
        assert lag.strip() == lags.get(vendor.lag, f"{vendor.lag // timedelta(minutes=1)} min")
        assert pace.strip() == str(vendor.requests_per_minute)
        assert all(f"`{variable}`" in wants for variable in vendor.credentials)


def test_every_vendor_declares_what_it_promises():
    for case in CASES:
        vendor = case.vendor
        assert case.kind in vendor.kinds
        assert vendor.requests_per_minute > 0
        assert vendor.lag >= timedelta(0)
        if case.kind == "prices":
            assert vendor.adjustment == "raw"
            assert "1d" in vendor.intervals
    assert vendor_named("ccxt:kraken").calendar == "24/7"


def changed_somewhere(value, other):
    """Yield the value once for each place in it, with `other` there."""
    yield other
    if isinstance(value, dict):
        for name, part in value.items():
            yield from ({**value, name: changed} for changed in changed_somewhere(part, other))
    if isinstance(value, list):
        for at, part in enumerate(value[:1]):
            yield from ([*value[:at], changed, *value[at + 1 :]] for changed in changed_somewhere(part, other))


def lines_of_refusals(payload: bytes, reader: Reader) -> list[str]:
    """Return what parsing says in the one way that it may fail; every other error is the test's."""
    try:
        parse(payload, reader)
    except InputError as error:
        return [str(error)]
    return []


@pytest.mark.parametrize("name", ["alpaca/prices", "alpaca/news", "alpaca/actions", "ccxt/kraken", "newsapi"])
def test_anything_anywhere_in_an_answer_is_read_or_refused_in_one_line(name):
    pages, _ = fetched(BY_NAME[name])
    good = json.loads(pages[0].payload)
    said = []
    for other in (None, True, 7, "text", [], [7], {}, {"text": [7]}):
        for value in changed_somewhere(good, other):
            said += lines_of_refusals(json.dumps(value).encode(), pages[0].reader)
    assert len(said) > 8
    assert not [line for line in said if "\n" in line or not line.startswith("expected ")]


def test_weeks_and_months_are_labelled_by_their_first_day_whatever_the_hour_in_utc():
    bar = {"o": 1, "h": 2, "l": 1, "c": 2, "v": 10}
    for interval, begins, label in (
        ("1w", "2024-07-01T04:00:00Z", datetime(2024, 7, 1, tzinfo=UTC)),  # summer: midnight in New York is 04:00
        ("1mo", "2024-01-01T05:00:00Z", datetime(2024, 1, 1, tzinfo=UTC)),
    ):
        body = json_reply({"bars": {"AAPL": [bar | {"t": begins}]}}).body
        (candidate,) = parse(body, Reader("prices", "alpaca.bars", interval=interval, parser=2)).candidates
        assert (candidate.values["timestamp"], candidate.values["interval"]) == (label, interval)
