"""Alpaca's tickers: bars of two companies that had one after the other are never joined. No database.

META was an exchange traded fund until 2022-01-31 (METV since); from 2022-06-09 on it is what was FB.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from alpaca_protocol import ACTIONS, alpaca
from vendor_cases import BY_NAME
from vendor_server import VendorServer, json_reply

from trading.adapters.sources.alpaca_names import NameChange, of_one_company
from trading.ingestion.ports import Ask, Hole, Page

METV = {"old_symbol": "META", "new_symbol": "METV", "old_cusip": "3", "new_cusip": "3", "process_date": "2022-01-31"}
FB, AFTER = datetime(2022, 6, 9, 4, tzinfo=UTC), datetime(2022, 7, 1, tzinfo=UTC)
CASE = replace(BY_NAME["alpaca/prices"], begin=datetime(2021, 12, 1, tzinfo=UTC), end=AFTER)


@pytest.fixture(autouse=True)
def metv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Alpaca know of both changes."""
    monkeypatch.setitem(ACTIONS, "name_changes", [*ACTIONS["name_changes"], METV])


def asked(
    symbols: tuple[str, ...], cursor: str | None = None, **of_ask: Any
) -> tuple[list[tuple[str, ...]], list[Any]]:
    """Return (symbols, start, end, asof) of each request for bars, and what the vendor yields."""
    case = replace(CASE, symbols=symbols)
    with VendorServer(alpaca()) as server:
        calls, _ = case.calls(server)
        with calls:
            found = list(case.vendor.pages(replace(case.ask, **of_ask), cursor, calls))
    bars = [request.query for request in server.requests if request.path == "/v2/stocks/bars"]
    return [(one["symbols"], one["start"][:10], one["end"][:10], one["asof"]) for one in bars], found


def holes(found: list[Any]) -> list[str]:
    return [one.what for one in found if isinstance(one, Hole)]


def test_a_ticker_that_its_company_gave_up_is_asked_for_up_to_then_and_the_rest_is_told():
    """And whose bars are meant is said with every question: the company's that has the ticker on its last day."""
    requests, found = asked(("AAPL", "FB", "MSFT"))
    assert requests == [
        ("AAPL,MSFT", "2021-12-01", "2022-06-30", "2022-06-30"),
        ("FB", "2021-12-01", "2022-06-09", "2022-06-08"),
    ]
    assert holes(found) == ["bars FB 1d 2022-06-09 to 2022-06-30"]
    assert "FB became META on 2022-06-09" in found[0].why
    assert [page.cursor for page in found if isinstance(page, Page)] == ["0.1 ", "1 "]


def test_it_goes_on_with_the_symbol_that_is_asked_for_by_itself():
    requests, found = asked(("AAPL", "FB", "MSFT"), "0.1 ")
    assert [one[0] for one in requests] == ["FB"]
    assert [page.cursor for page in found if isinstance(page, Page)] == ["1 "]


def test_of_a_ticker_that_two_companies_had_nothing_is_asked_until_somebody_says_which():
    requests, found = asked(("META", "AAPL"))
    assert [one[0] for one in requests] == ["AAPL"]
    assert holes(found) == ["bars META 1d 2021-11-30 to 2022-06-30"]
    assert "META became METV on 2022-01-31, and FB became META on 2022-06-09: two companies" in found[0].why
    # Also where only the bars that are here already could be the other one's.
    assert asked(("META",), start=FB)[0] == []
    # The one of before, by its last day; the one of now, by --gap join; both under its own name.
    former, found = asked(("META",), end=datetime(2022, 1, 31, tzinfo=UTC))
    assert (former, holes(found)) == ([("META", "2021-12-01", "2022-01-30", "2022-01-30")], [])
    joined, found = asked(("META",), start=FB, gap="join")
    assert (joined, holes(found)) == ([("META", "2022-06-09", "2022-06-30", "2022-06-30")], [])


def test_a_year_later_the_bars_of_before_are_another_series_by_the_gap():
    requests, found = asked(("META",), start=datetime(2023, 3, 1, tzinfo=UTC), end=datetime(2023, 6, 1, tzinfo=UTC))
    assert ([one[0] for one in requests], holes(found)) == (["META"], [])


def test_a_company_that_takes_its_ticker_back_is_one_company():
    ask = Ask("prices", ("S",), "1d", datetime(2022, 1, 1, tzinfo=UTC), AFTER)
    there, back = NameChange(date(2022, 2, 1), "S", "T"), NameChange(date(2022, 3, 1), "T", "S")
    assert of_one_company(ask, "S", [there, back]) == (ask, None)
    cut, hole = of_one_company(ask, "S", [there, NameChange(back.day, "U", "S")])
    assert (cut, hole is None) == (None, False)
    cut, hole = of_one_company(ask, "S", [there])
    assert (cut.end, hole is None) == (datetime(2022, 2, 1, 5, tzinfo=UTC), False)  # midnight in New York


def test_every_page_of_name_changes_is_read():
    changes = [METV | {"old_symbol": f"S{number}", "new_symbol": f"T{number}"} for number in range(3)]

    def answer(request):
        if request.path != "/v1/corporate-actions":
            return json_reply({"bars": {}, "next_page_token": None})
        at = int(request.query.get("page_token", "0"))
        following = str(at + 1) if at + 1 < len(changes) else None
        return json_reply({"corporate_actions": {"name_changes": changes[at : at + 1]}, "next_page_token": following})

    case = replace(CASE, symbols=("S0", "S1", "S2"), answer=answer)
    with VendorServer(answer) as server:
        calls, _ = case.calls(server)
        with calls:
            found = list(case.vendor.pages(case.ask, None, calls))
    assert len(holes(found)) == 3
    first = next(request for request in server.requests).query
    assert (first["start"], first["end"]) == (str(CASE.begin.date() - timedelta(days=366)), "2022-06-30")


def test_a_week_in_which_the_ticker_was_given_up_is_not_asked_for():
    requests, _ = asked(("FB",), interval="1w")
    assert requests == [("FB", "2021-11-29", "2022-06-05", "2022-06-05")]
