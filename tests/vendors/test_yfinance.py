"""The vendor yfinance against Yahoo's protocol: raw prices out of restated ones, pages, and what goes wrong."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from vendor_server import VendorServer, calls_to, changed, cut, empty, failing, json_reply, refusing, slow, too_many
from yahoo_server import Listing, yahoo

from trading.adapters.sources.calls import Patience
from trading.adapters.sources.registry import vendor_named
from trading.errors import (
    CredentialsError,
    MissingColumnError,
    TradeloomError,
    UnreadablePayloadError,
    VendorRefusedError,
    VendorUnavailableError,
)
from trading.ingestion.candidates import parse
from trading.ingestion.ports import Ask

YFINANCE = vendor_named("yfinance")
# As traded: four for one on the Monday, seven for one in 2014 and again two for one after what is asked for.
TOY = Listing(
    bars=[
        (date(2020, 8, 27), 508.57, 509.94, 495.33, 500.04, 38_888_096),
        (date(2020, 8, 28), 504.05, 505.77, 498.31, 499.23, 46_907_479),
        (date(2020, 8, 31), 127.58, 131.0, 126.0, 129.04, 225_702_700),
        (date(2020, 9, 1), 132.76, 134.8, 130.53, 134.18, 151_948_100),
        (date(2021, 6, 1), 70.5, 71.25, 69.125, 70.0625, 1_000_000),
    ],
    splits={date(2020, 8, 31): 4.0, date(2021, 6, 1): 2.0},
    dividends={date(2020, 8, 28): 0.82, date(2020, 9, 1): 0.205},
)


def ask(kind="prices", symbols=("TOY",), interval="1d", start=(2020, 8, 27), end=(2020, 9, 2)):
    return Ask(kind, tuple(symbols), interval, datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC))


def fetched(asked, listings=None, *failures, resume=None):
    """Return the pages and the requests."""
    with VendorServer(yahoo(listings or {"TOY": TOY})) as server:
        server.fail(*failures)
        calls, _ = calls_to(server, "yfinance", patience=Patience(most_tries=3, to_connect=2, to_answer=1))
        with calls:
            pages = list(YFINANCE.pages(asked, resume, calls))
    return pages, server.requests


def values(pages, *names):
    return [
        tuple(candidate.values[name] for name in names)
        for page in pages
        for candidate in parse(page.payload, page.reader).candidates
    ]


def test_bars_come_out_as_they_were_traded_whatever_split_came_later():
    pages, requests = fetched(ask())
    assert values(pages, "timestamp", "open", "high", "low", "close", "volume") == [
        (
            datetime(day.year, day.month, day.day, tzinfo=UTC),
            *(Decimal(str(price)) for price in prices),
            Decimal(volume),
        )
        for day, *prices, volume in TOY.bars[:4]
    ]
    assert values(pages, "adjustment") == [("raw",)] * 4
    assert len(requests) == 1
    assert requests[0].query["period2"] == "9999999999"  # up to now: with every later split


def test_a_later_split_changes_nothing_that_was_published():
    before, _ = fetched(ask(), {"TOY": Listing(TOY.bars, {date(2020, 8, 31): 4.0})})
    after, _ = fetched(ask())
    assert before[0].payload != after[0].payload
    assert values(before, "timestamp", "close", "volume") == values(after, "timestamp", "close", "volume")


def test_the_numbers_of_a_real_answer_of_yahoo():
    """AAPL as Yahoo writes it: 32-bit floats as 64-bit decimals, a day of nothing, the day's own bar at the end."""
    body = json.loads(
        '{"chart":{"result":[{"meta":{"currency":"USD","symbol":"AAPL","exchangeTimezoneName":"America/New_York"},'
        '"timestamp":[1598535000,1598621400,1598880600],"events":{"splits":{"1598880600":{"date":1598880600,'
        '"numerator":4.0,"denominator":1.0,"splitRatio":"4:1"}}},"indicators":{"quote":[{'
        '"open":[127.1425018310547,null,127.58000183105469],"high":[127.48500061035156,null,131.0],'
        '"low":[123.8324966430664,null,126.0],"close":[125.01000213623047,null,129.0399932861328],'
        '"volume":[155552400,null,225702700]}]}}],"error":null}}'
    )
    asked = ask(start=(2020, 8, 27), end=(2020, 9, 1))
    with VendorServer(lambda _: json_reply(body)) as server:
        calls, _ = calls_to(server, "yfinance")
        with calls:
            pages = list(YFINANCE.pages(asked, None, calls))
    assert values(pages, "open", "close", "volume") == [
        (Decimal("508.57"), Decimal("500.04"), Decimal("38888100")),
        (Decimal("127.58"), Decimal("129.04"), Decimal("225702700")),
    ]


RUNNING = datetime(2024, 6, 4, 13, 30, tzinfo=UTC), datetime(2024, 6, 4, 20, 0, tzinfo=UTC)
PRICES = (10.0, 11.0, 9.0, 10.5, 100)


@pytest.mark.parametrize(("end", "days"), [((2024, 6, 4, 19, 59), [3]), ((2024, 6, 4, 20, 0), [3, 4])])
def test_a_day_whose_session_is_not_over_by_the_end_of_the_ask_is_left_out(end, days):
    """The end is the lag before now: five minutes after the close Yahoo's last trade is ten minutes before it."""
    listing = Listing([(date(2024, 6, day), *PRICES) for day in (3, 4)], session=RUNNING)
    pages, _ = fetched(ask(start=(2024, 6, 3), end=end), {"TOY": listing})
    assert [when.day for (when,) in values(pages, "timestamp")] == days


def test_of_a_day_that_comes_twice_the_row_of_the_last_trade_counts():
    again = datetime(2024, 6, 4, 20, 0, 2, tzinfo=UTC)
    listing = Listing([(date(2024, 6, 4), *PRICES), (again, 10.0, 11.0, 9.0, 10.75, 120)])
    pages, _ = fetched(ask(start=(2024, 6, 4), end=(2024, 6, 5)), {"TOY": listing})
    assert values(pages, "close", "volume") == [(Decimal("10.75"), Decimal(120))]


def test_within_a_day_only_bars_that_are_over_come_and_never_the_row_of_the_last_trade():
    starts = ["14:20:00", "14:25:00", "14:27:00", "14:27:41", "14:30:00", "14:35:00"]
    moments = [datetime.fromisoformat(f"2024-06-04T{start}+00:00") for start in starts]
    listing = Listing([], intraday={"5m": [(moment, *PRICES) for moment in moments]})
    pages, _ = fetched(ask(interval="5m", start=(2024, 6, 4), end=(2024, 6, 4, 14, 38)), {"TOY": listing})
    assert [f"{when:%H:%M}" for (when,) in values(pages, "timestamp")] == ["14:20", "14:25", "14:30"]


@pytest.mark.parametrize(
    ("zone", "begins"),
    [
        ("Pacific/Auckland", "2024-06-02T22:00:00"),  # 10:00 there, on the eve in UTC
        ("America/Sao_Paulo", "2024-06-03T02:00:00"),  # 23:00 of the day before: Yahoo's clocks were not changed
    ],
)
def test_the_first_day_is_that_of_the_exchange_whatever_day_it_is_in_utc(zone, begins):
    opens = datetime.fromisoformat(begins + "+00:00")
    listing = Listing([(opens, *PRICES), (opens + timedelta(days=1), *PRICES)], zone=zone)
    pages, _ = fetched(ask(start=(2024, 6, 3), end=(2024, 6, 5)), {"TOY": listing})
    assert [when.day for (when,) in values(pages, "timestamp")] == [3, 4]


def test_splits_and_dividends_are_actions_as_they_were_paid():
    pages, _ = fetched(ask("actions"))
    assert values(pages, "kind", "ex_date", "ratio", "amount", "currency") == [
        ("split", date(2020, 8, 31), Decimal(4), None, None),
        ("dividend", date(2020, 8, 28), Decimal(1), Decimal("0.82"), "USD"),
        ("dividend", date(2020, 9, 1), Decimal(1), Decimal("0.205"), "USD"),
    ]


def test_a_dividend_in_pence_is_one_in_pence():
    pages, _ = fetched(ask("actions"), {"TOY": replace(TOY, currency="GBp")})
    assert values(pages[:1], "kind", "amount", "currency")[1:] == [
        ("dividend", Decimal("0.82"), "GBX"),
        ("dividend", Decimal("0.205"), "GBX"),
    ]


def test_intraday_bars_come_in_stretches_and_their_splits_from_the_daily_chart():
    minutes = [
        (datetime(2020, 8, day, 14, 30, tzinfo=UTC), 400.0, 400.5, 399.5, 400.25, 1000) for day in (3, 10, 17, 28)
    ]
    listing = Listing(TOY.bars, TOY.splits, {}, {"1m": minutes})
    pages, requests = fetched(ask(interval="1m", start=(2020, 8, 3), end=(2020, 8, 29)), {"TOY": listing})
    assert [request.query["interval"] for request in requests] == ["1d", "1m", "1m", "1m", "1m"]
    assert [page.reader.details["splits"] for page in pages] == ["2020-08-31 4.0000000000,2021-06-01 2.0000000000"] * 4
    assert values(pages, "timestamp", "close", "volume") == [
        (moment, Decimal("400.25"), Decimal(1000)) for moment, *_ in minutes
    ]


def test_it_goes_on_after_any_page_and_asks_only_for_the_rest():
    listings = dict.fromkeys(("A", "B", "C"), TOY)
    whole, _ = fetched(ask(symbols="ABC"), listings)
    for at, page in enumerate(whole, start=1):
        rest, requests = fetched(ask(symbols="ABC"), listings, resume=page.cursor)
        assert [(page.payload, page.reader) for page in rest] == [(page.payload, page.reader) for page in whole[at:]]
        assert len(requests) == 3 - at


def test_a_stretch_is_where_it_goes_on_inside_a_symbol():
    asked = ask(interval="1m", start=(2020, 8, 3), end=(2020, 8, 29))
    whole, _ = fetched(asked)
    rest, _ = fetched(asked, resume=whole[1].cursor)
    assert (
        [page.name for page in rest]
        == [page.name for page in whole[2:]]
        == [
            "chart TOY prices 1m 2020-08-17",
            "chart TOY prices 1m 2020-08-24",
        ]
    )


def test_a_symbol_that_yahoo_does_not_have_is_a_page_of_nothing():
    pages, _ = fetched(ask(symbols=("GONE", "TOY")))
    assert [len(parse(page.payload, page.reader).candidates) for page in pages] == [0, 4]


def test_an_empty_range_is_a_page_of_nothing():
    pages, _ = fetched(ask(start=(2019, 1, 1), end=(2019, 2, 1)), {"TOY": Listing([])})
    assert [len(parse(page.payload, page.reader).candidates) for page in pages] == [0]


@pytest.mark.parametrize("failure", [too_many("3"), failing(502), cut(), cut(40), empty(), slow(1.5)])
def test_a_failure_that_passes_leaves_no_trace(failure):
    pages, requests = fetched(ask(), None, failure)
    assert len(values(pages, "close")) == 4
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("failures", "error", "says"),
    [
        ([failing()] * 3, VendorUnavailableError, "found status 503 after 3 tries"),
        ([too_many("900")], VendorUnavailableError, "run again in 900 s"),
        ([refusing(401)], CredentialsError, "it may refuse this address"),
        ([changed(b'"chart"', b'"graph"')], UnreadablePayloadError, "another form .KeyError: 'chart'."),
        ([changed(b'"exchangeTimezoneName"', b'"zone"')], UnreadablePayloadError, "it has changed"),
        (
            [refusing(422, b'{"chart":{"result":null,"error":{"description":"Invalid input"}}}')],
            VendorRefusedError,
            "Inv",
        ),
    ],
)
def test_a_failure_that_stays_is_one_clear_line(failures, error, says):
    with pytest.raises(error, match=says):
        fetched(ask(), None, *failures)


def test_a_column_that_changed_its_name_is_named():
    pages, _ = fetched(ask(), None, changed(b'"close"', b'"last"'))
    with pytest.raises(
        MissingColumnError, match="expected close in Yahoo's chart, found open, high, low, last, volume"
    ):
        parse(pages[0].payload, pages[0].reader)


def test_bars_that_it_does_not_have_are_refused_before_it_is_asked():
    with pytest.raises(TradeloomError, match="expected an interval of 1m, 5m, 15m, 1h, 1d of yfinance, found '30m'"):
        YFINANCE.refuse_unless_offered("prices", "30m")
    with pytest.raises(TradeloomError, match="expected one of prices, actions of yfinance, found news"):
        YFINANCE.refuse_unless_offered("news", "1d")
