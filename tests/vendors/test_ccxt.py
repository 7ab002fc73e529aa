"""Exchanges through ccxt: how they are asked, how their answers are read, what is refused. No database."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from exchange_protocols import CLOSES, DAY, FIRST, binance, kline, kraken
from vendor_cases import BEGIN, BY_NAME, fetched, rows_of
from vendor_server import Reply, Request, VendorServer, json_reply, refusing

from trading.adapters.sources.registry import vendor_named
from trading.errors import (
    InputError,
    UnreadablePayloadError,
    VendorRefusedError,
)
from trading.ingestion.candidates import parse
from trading.ingestion.ports import Hole, Page
from trading.ingestion.reader import Reader


def test_only_bars_that_are_over_are_asked_for():
    case = BY_NAME["ccxt/binance"]
    running = replace(case, answer=binance(page=1000))
    ask = replace(running.ask, end=datetime(2024, 1, 5, 13, tzinfo=UTC))
    with VendorServer(running.answer) as server:
        calls, _ = running.calls(server)
        with calls:
            pages = list(running.vendor.pages(ask, None, calls))
    assert [row[1] for row in running.read(pages)] == [date(2024, 1, day) for day in (1, 2, 3, 4)]
    assert server.requests[-1].query["limit"] == "4"


def test_days_that_begin_elsewhere_than_in_utc_are_refused():
    """Such as those of exchanges that count in UTC+8: labelled as days of UTC they would be known eight hours early."""
    case = BY_NAME["ccxt/binance"]
    pages, _ = fetched(replace(case, answer=binance(page=1000)))
    later = pages[0].payload
    for number in range(len(CLOSES)):
        later = later.replace(str(FIRST + number * DAY).encode(), str(FIRST + number * DAY - 8 * 3_600_000).encode())
    reader = replace(pages[0].reader, details=pages[0].reader.details | {"since": str(FIRST - DAY)})
    with pytest.raises(UnreadablePayloadError, match="begin at 00:00 UTC, found one of 16:00"):
        rows_of("ccxt:binance", later, reader)


def test_the_running_bar_that_an_exchange_adds_is_left_out():
    case = BY_NAME["ccxt/kraken"]
    ask = replace(case.ask, end=datetime(2024, 1, 4, 13, tzinfo=UTC))
    with VendorServer(kraken) as server:
        calls, _ = case.calls(server)
        with calls:
            pages = list(case.vendor.pages(ask, None, calls))
    assert [row[2] for row in case.read(pages)] == list(CLOSES[:3])


def test_a_pair_that_is_younger_than_the_ask_is_found_window_by_window():
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


def test_the_exchanges_own_pace_is_kept_between_requests():
    case = BY_NAME["ccxt/kraken"]
    with VendorServer(kraken) as server:
        calls, waits = case.calls(server)
        with calls:
            list(case.vendor.pages(case.ask, None, calls))
    assert len(server.requests) == 3
    assert all(0.5 < wait < 2 for wait in waits)  # one request per second, counted from the one before
    assert len(waits) == 2


def test_what_an_exchange_says_with_status_200_counts():
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


def test_a_banned_address_is_not_asked_again():
    case = BY_NAME["ccxt/binance"]
    with VendorServer(case.answer) as server:
        server.fail(None, refusing(418, b'{"code":-1003,"msg":"Way too many requests; IP banned."}'))
        with pytest.raises(VendorRefusedError, match=r"status 418.*IP banned"):
            case.fetched(server)
        assert len(server.requests) == 2


def test_a_pair_that_the_exchange_has_not_is_named_before_anything_is_fetched():
    case = replace(BY_NAME["ccxt/binance"], symbols=("BTC/USDT", "BTC-USD"))
    with VendorServer(case.answer) as server:
        with pytest.raises(InputError, match=r"expected a spot pair of binance .* such as BTC/USDT, found 'BTC-USD'"):
            case.fetched(server)
        assert [request.path for request in server.requests] == ["/api/v3/exchangeInfo"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ccxt:nowhere", "expected an exchange that ccxt knows"),
        ("rss:x", "expected the vendor rss without a colon"),
    ],
)
def test_an_exchange_that_nobody_knows_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        vendor_named(name)


def test_without_an_exchange_there_are_no_bars_to_ask_for():
    with pytest.raises(InputError, match="such as ccxt:kraken, found ccxt alone"):
        vendor_named("ccxt").refuse_unless_offered("prices", "1d")


def test_weeks_and_months_are_not_offered_because_exchanges_begin_them_on_other_days():
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
            "bybit",
            "BTCUSD",
            b'{"retCode":0,"retMsg":"OK","result":{"category":"spot","symbol":"BTCUSD","list":'
            b'[["1704067200000","42.5","44.5","41.5","43.5","1451.59","2.43"]]},"retExtInfo":{},"time":1704153600000}',
            ("42.5", "44.5", "41.5", "43.5", "1451.59"),
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
def test_any_exchange_is_read_by_ccxt_with_every_digit(exchange, market, body, expected):
    details = {"exchange": exchange, "symbol": "BTC/USD", "market": market, "since": str(FIRST), "limit": "5"}
    reader = Reader("prices", "ccxt.bars", details=details | {"until": str(FIRST + 4 * DAY)})
    (row,) = rows_of("ccxt", body, reader)
    assert tuple(row[name] for name in ("open", "high", "low", "close", "volume")) == expected
    assert (row["symbol"], row["timestamp"]) == ("BTC/USD", date(2024, 1, 1))


def test_a_price_with_more_decimals_than_are_kept_is_quarantined_and_never_rounded():
    def of_fractions(request: Request) -> Reply:
        good = binance()(request)
        return replace(good, body=good.body.replace(CLOSES[0].encode(), b"0.00001234"))

    case = replace(BY_NAME["ccxt/binance"], answer=of_fractions)
    pages, _ = fetched(case)
    parsed = parse(pages[0].payload, pages[0].reader)
    assert [(defect.number, defect.rule) for defect in parsed.defects] == [(1, "too_many_decimals")]
    assert len(parsed.candidates) == 1


END, NOW = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 2, 13, 7, tzinfo=UTC)


def newest_of(step: int, count: int) -> list[list]:
    """Return so many bars up to now as Binance writes them, the running one among them; `step` in milliseconds."""
    running = int(NOW.timestamp() * 1000) // step * step
    starts = [running - step * back for back in range(count)][::-1]
    return [[start, "1.5", "2", "1", "1.5", "3", start + step - 1, "1", 2, "1", "1", "0"] for start in starts]


DATE = {"Date": "Mon, 02 Nov 2026 13:07:00 GMT"}


def asked_of(answer, start, end, interval="1d"):
    """Return the days or moments of the bars that come, and the holes that are told."""
    case = replace(BY_NAME["ccxt/binance"], answer=answer, interval=interval)
    with VendorServer(answer) as server:
        calls, _ = case.calls(server)
        with calls:
            found = list(case.vendor.pages(replace(case.ask, start=start, end=end), None, calls))
        asked = len(server.requests)
    pages = [one for one in found if isinstance(one, Page)]
    holes = [one for one in found if isinstance(one, Hole)]
    return [row[1] for row in case.read(pages)], [hole.what for hole in holes], asked


def with_bars(bars, looks_at_since):
    def answer(request: Request) -> Reply:
        if request.path != "/api/v3/klines":
            return binance()(request)
        since, limit = int(request.query["startTime"]), int(request.query["limit"])
        given = [bar for bar in bars if bar[0] >= since][:limit] if looks_at_since else bars
        return replace(json_reply(given), headers=DATE)

    return answer


@pytest.mark.parametrize("looks_at_since", [True, False])
def test_an_exchange_that_gives_its_newest_bars_only_is_told_with_what_is_missing(looks_at_since):
    """One has 300 newest days and does not look at `since`; one, as Kraken does, keeps a page of them and no more."""
    bars = newest_of(DAY, 1000 if looks_at_since else 300)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    days, holes, asked = asked_of(with_bars(bars, looks_at_since), start, END)
    first = datetime.fromtimestamp(bars[0][0] / 1000, UTC)
    assert (days[0], days[-1], len(days)) == (first.date(), date(2026, 11, 1), len(bars) - 1)
    assert holes == [f"bars BTC/USDT 1d 2020-01-01 00:00 to {first:%Y-%m-%d} 00:00"]
    assert asked == (2 if looks_at_since else 3)  # one that may be young is asked once more


def test_what_ends_before_the_newest_bars_is_missing_whole():
    days, holes, _ = asked_of(
        with_bars(newest_of(DAY, 300), False), *(datetime(2024, 1, day, tzinfo=UTC) for day in (1, 9))
    )
    assert (days, holes) == ([], ["bars BTC/USDT 1d 2024-01-01 00:00 to 2024-01-09 00:00"])


@pytest.mark.parametrize(("young", "missing"), [(300, 0), (300, 1), (1, 0)])
def test_a_pair_that_is_younger_than_the_ask_has_no_hole(young, missing):
    bars = newest_of(DAY, young)
    del bars[1 : 1 + missing]  # a day without a trade
    days, holes, _ = asked_of(with_bars(bars, True), datetime(2025, 1, 1, tzinfo=UTC), END)
    assert (len(days), holes) == (young - missing - 1, [])


def test_bars_up_to_now_of_which_the_first_is_missing_have_no_hole():
    start = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
    bars = [bar for bar in newest_of(60_000, 200) if bar[0] > start.timestamp() * 1000]
    moments, holes, _ = asked_of(with_bars(bars, True), start, NOW, "1m")
    assert (moments[0].minute, moments[-1], holes) == (1, datetime(2026, 11, 2, 13, 6, tzinfo=UTC), [])


def test_a_bar_that_is_not_over_by_the_exchanges_clock_is_left_out_though_it_is_by_ours():
    """Ours is two minutes ahead: the exchange says 13:07:00, and its bars of 13:07 and later are still growing."""
    bars, ahead = newest_of(60_000, 10), NOW + timedelta(minutes=2)
    moments, holes, _ = asked_of(with_bars(bars, True), NOW - timedelta(minutes=5), ahead, "1m")
    assert (moments[0], moments[-1], holes) == (
        NOW - timedelta(minutes=5),
        datetime(2026, 11, 2, 13, 6, tzinfo=UTC),
        [],
    )
