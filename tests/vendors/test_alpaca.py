"""Alpaca: how it is asked, what is left out, and what it says no to. No database."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from alpaca_protocol import alpaca
from vendor_cases import BEGIN, BY_NAME, fetched, rows_of
from vendor_server import VendorServer, json_reply, refusing

from trading.adapters.sources.registry import vendor_named
from trading.errors import (
    CredentialsError,
    InputError,
    MissingColumnError,
    VendorRefusedError,
)
from trading.ingestion.candidates import parse
from trading.ingestion.reader import Reader

NO_CHANGES = json_reply({"corporate_actions": {}, "next_page_token": None})


def test_it_is_asked_for_raw_bars_of_the_tape_up_to_before_the_end():
    _, requests = fetched(BY_NAME["alpaca/prices"])
    first = requests[1].query
    asked = {name: first[name] for name in ("symbols", "timeframe", "adjustment", "feed", "limit", "start", "asof")}
    assert asked == {
        "symbols": "AAPL,MSFT",
        "timeframe": "1Day",
        "adjustment": "raw",
        "feed": "sip",
        "limit": "10000",
        "start": "2024-01-01T00:00:00+00:00",
        "asof": "2024-01-05",
    }
    assert first["end"] == "2024-01-05T23:59:59.999999+00:00"
    assert [request.query.get("page_token") for request in requests[1:]] == [None, "AT|2", "AT|4"]


def test_another_feed_is_another_source():
    case = replace(BY_NAME["alpaca/prices"], source="alpaca:iex")
    pages, requests = fetched(case)
    assert case.vendor.name == "alpaca:iex"
    assert {request.query["feed"] for request in requests[1:]} == {"iex"}
    assert pages[0].reader.details == {"feed": "iex", "asof": "2024-01-05"}
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
def test_a_bar_that_the_end_of_the_ask_would_cut_is_not_asked_for(interval, end, asked):
    start = BEGIN - timedelta(days=20)
    assert ends_asked_for(interval, start, datetime.fromisoformat(end)) == [asked]


def test_where_no_bar_is_over_nothing_is_asked_for():
    start = datetime(2024, 1, 4, 15, 41, tzinfo=UTC)
    assert [ends_asked_for(interval, start, start + timedelta(minutes=3)) for interval in ("5m", "1d")] == [
        [],
        [],
    ]


def ends_asked_for(interval: str, start: datetime, end: datetime) -> list[str]:
    case = replace(BY_NAME["alpaca/prices"], interval=interval)
    with VendorServer(case.answer) as server:
        calls, _ = case.calls(server)
        with calls:
            list(case.vendor.pages(replace(case.ask, start=start, end=end), None, calls))
    return sorted({request.query["end"] for request in server.requests if request.path == "/v2/stocks/bars"})


def test_bars_before_and_after_the_regular_session_are_left_out():
    bar = {"o": 1, "h": 1, "l": 1, "c": 1, "v": 10}
    times = ("14:25", "14:30", "20:55", "21:00")  # 09:25, 09:30, 15:55 and 16:00 in New York
    body = json_reply({"bars": {"AAPL": [bar | {"t": f"2024-01-02T{time}:00Z"} for time in times]}}).body
    found = rows_of("alpaca", body, Reader("prices", "alpaca.bars", interval="5m"))
    assert [row["timestamp"] for row in found] == [
        datetime(2024, 1, 2, 14, 30, tzinfo=UTC),
        datetime(2024, 1, 2, 20, 55, tzinfo=UTC),
    ]


def test_on_half_days_the_session_ends_earlier_and_the_page_says_when():
    case = replace(BY_NAME["alpaca/prices"], interval="5m", answer=lambda _: half_day())
    with VendorServer(case.answer) as server:
        server.fail(lambda _: NO_CHANGES)
        calls, _ = case.calls(server)
        with calls:
            ask = replace(case.ask, start=datetime(2024, 11, 27, tzinfo=UTC), end=datetime(2024, 12, 3, tzinfo=UTC))
            (page,) = case.vendor.pages(ask, None, calls)
    assert page.reader.details == {"feed": "sip", "asof": "2024-12-02", "half_days": "2024-11-29 13:00"}
    assert [row["timestamp"] for row in rows_of("alpaca", page.payload, page.reader)] == [
        datetime(2024, 11, 29, 17, 55, tzinfo=UTC),
        datetime(2024, 12, 2, 18, 0, tzinfo=UTC),
    ]


def half_day():
    bar = {"o": 1, "h": 1, "l": 1, "c": 1, "v": 10}
    times = ("11-29T17:55", "11-29T18:00", "12-02T18:00")  # 12:55 and 13:00 on a half day, 13:00 on a whole one
    bars = {"AAPL": [bar | {"t": f"2024-{time}:00Z"} for time in times], "MSFT": []}
    return json_reply({"bars": bars, "next_page_token": None})


def test_many_symbols_are_asked_in_groups_and_the_cursor_says_which():
    symbols = ("AAPL", *(f"S{number:03}" for number in range(199)), "MSFT")
    case = replace(BY_NAME["alpaca/prices"], symbols=symbols, answer=alpaca(page=10))
    pages, requests = fetched(case)
    # Who gave up a ticker is asked of each group before its bars.
    assert [len(request.query["symbols"].split(",")) for request in requests] == [100, 100, 100, 100, 1, 1]
    assert [page.cursor for page in pages] == ["1 ", "2 ", "3 "]
    rest, _ = fetched(case, "2 ")
    assert case.read(rest) == case.rows[3:]


def test_actions_are_those_of_the_asked_ex_dates_whenever_alpaca_processes_them():
    """AAPL: ex-date 2024-02-09, paid on the 15th; MSFT: 2024-02-14, paid in March."""
    case = replace(BY_NAME["alpaca/actions"], symbols=("AAPL", "MSFT"), begin=datetime(2024, 2, 1, tzinfo=UTC))
    found = {}
    for begins, ends in ((1, 9), (1, 10), (10, 14), (10, 15), (15, 28)):
        asked = replace(case, begin=datetime(2024, 2, begins, tzinfo=UTC), end=datetime(2024, 2, ends, tzinfo=UTC))
        found[begins, ends] = [row[0] for row in asked.read(fetched(asked)[0])]
    assert found == {(1, 9): [], (1, 10): ["AAPL"], (10, 14): [], (10, 15): ["MSFT"], (15, 28): []}


def test_no_bars_at_all_is_a_page_without_rows():
    case = replace(BY_NAME["alpaca/prices"], symbols=("NOPE",))
    pages, _ = fetched(case)
    assert (len(pages), case.read(pages)) == (1, ())


@pytest.mark.parametrize("following", [{"": "A", "A": "A"}, {"": "A", "A": "B", "B": "A"}])
def test_pages_that_lead_back_to_one_that_was_there_end_the_fetch(following):
    def answer(request):
        named = following[request.query.get("page_token", "")]
        return json_reply({"bars": {}, "next_page_token": named}) if "stocks" in request.path else NO_CHANGES

    with pytest.raises(VendorRefusedError, match="expected a page of alpaca that has not been, found A named as the"):
        fetched(replace(BY_NAME["alpaca/prices"], answer=answer))


@pytest.mark.parametrize("renamed", ["id", "headline", "symbols", "created_at"])
def test_a_field_that_no_news_item_has_is_named(renamed):
    item = {"id": 1, "headline": "Up", "symbols": ["AAPL"], "created_at": "2024-01-02T05:00:00Z", "summary": ""}
    item[f"{renamed}_2"] = item.pop(renamed)
    with pytest.raises(MissingColumnError, match=f"found no {renamed} in any; its format has changed"):
        rows_of("alpaca", json.dumps({"news": [item]}).encode(), Reader("news", "alpaca.news"))


@pytest.mark.parametrize("body", [b'{"bars":null,"next_page_token":null}', b'{"bars":{}}'])
def test_null_is_no_bars_too(body):
    assert rows_of("alpaca", body, Reader("prices", "alpaca.bars")) == []


def test_a_field_that_no_bar_has_is_named():
    body = b'{"bars":{"AAPL":[{"t":"2024-01-02T05:00:00Z","o":1,"h":1,"l":1,"close":1,"v":1}]}}'
    with pytest.raises(MissingColumnError, match="found no c in any; its format has changed"):
        rows_of("alpaca", body, Reader("prices", "alpaca.bars"))


def test_hours_are_not_offered_because_they_begin_before_the_session():
    with pytest.raises(InputError, match="expected an interval of 1m, 5m, 15m, 30m, 1d, 1w, 1mo"):
        vendor_named("alpaca").refuse_unless_offered("prices", "1h")


def test_a_plan_without_the_tape_is_told_in_the_vendors_words():
    case = BY_NAME["alpaca/prices"]
    with VendorServer(case.answer) as server:
        server.fail(refusing(403, b'{"message":"subscription does not permit querying recent SIP data"}'))
        with pytest.raises(CredentialsError, match=r"status 403.*does not permit querying recent SIP data"):
            case.fetched(server)


def test_weeks_and_months_are_labelled_by_their_first_day_whatever_the_hour_in_utc():
    bar = {"o": 1, "h": 2, "l": 1, "c": 2, "v": 10}
    for interval, begins, label in (
        ("1w", "2024-07-01T04:00:00Z", datetime(2024, 7, 1, tzinfo=UTC)),  # summer: midnight in New York is 04:00
        ("1mo", "2024-01-01T05:00:00Z", datetime(2024, 1, 1, tzinfo=UTC)),
    ):
        body = json_reply({"bars": {"AAPL": [bar | {"t": begins}]}}).body
        (candidate,) = parse(body, Reader("prices", "alpaca.bars", interval=interval, parser=2)).candidates
        assert (candidate.values["timestamp"], candidate.values["interval"]) == (label, interval)
