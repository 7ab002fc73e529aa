"""What holds for every vendor: declarations, cursors, lags, and answers of any other form. No database."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from vendor_cases import BY_NAME, CASES, fetched

from trading.adapters.fetching import possible
from trading.adapters.sources.registry import vendor_named
from trading.errors import InputError
from trading.ingestion.candidates import parse
from trading.ingestion.ports import Ask
from trading.ingestion.reader import Reader


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
