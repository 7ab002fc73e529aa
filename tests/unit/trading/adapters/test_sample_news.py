"""The offline sample news: what the file promises to those who read it."""

import csv
import datetime as dt
import re
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[4] / "trading/adapters/sources/sample_news.csv"
HEADER = ["id", "published_at", "symbols", "headline", "url", "body"]
SYMBOLS = {"AAPL", "MSFT", "IBM", "GOOG", "FB"}
FIRST_DAY, LAST_DAY = dt.date(2004, 1, 1), dt.date(2013, 3, 1)
WINDOW_START, WINDOW_END = dt.date(2012, 1, 3), dt.date(2013, 3, 1)
NOT_BEFORE = {"GOOG": dt.date(2004, 4, 29), "FB": dt.date(2012, 2, 1)}  # the days of their IPO filings

_MOVE = (
    r"r[io]se[sn]?|rising|fell|falls?|falling|gain(s|ed)?|climb(s|ed)?|drop(s|ped)?|slip(s|ped)?|slid(es?)?"
    r"|advanced?|declined?|lost|up|down|higher|lower"
)
PRICE_MOVE = re.compile(
    rf"\b(shares?|stocks?)\s+({_MOVE})\b"
    r"|\b(stock|share)\s+prices?\b"
    r"|\bmarket\s+(cap|capitali[sz]ation|value)\b"
    r"|\b(all-time|52-week|record)\s+(high|low)\b"
    r"|\bclos(es|ed|ing)\s+(up|down|higher|lower|at\s+\$)"
    r"|\b(rall(y|ies|ied|ying)|surg(e|es|ed|ing)|plung(e|es|ed|ing)|soar(s|ed|ing)?|tumbl(e|es|ed|ing)"
    r"|slump(s|ed|ing)?|jump(s|ed|ing)?|plummet(s|ed|ing)?|skyrocket(s|ed|ing)?)\b",
    re.IGNORECASE,
)


def _day(row: dict[str, str]) -> dt.date:
    return dt.date.fromisoformat(row["published_at"][:10])


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with PATH.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_the_header_is_the_agreed_one_and_every_row_has_as_many_fields() -> None:
    with PATH.open(newline="", encoding="utf-8") as handle:
        lines = list(csv.reader(handle))
    assert lines[0] == HEADER
    assert {len(line) for line in lines} == {len(HEADER)}


def test_ids_are_unique_slugs(rows: list[dict[str, str]]) -> None:
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert [i for i in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", i)] == []


def test_there_are_enough_events_in_all_and_in_the_demo_window(rows: list[dict[str, str]]) -> None:
    assert len(rows) >= 300
    assert sum(WINDOW_START <= _day(row) <= WINDOW_END for row in rows) >= 120


def test_every_date_lies_in_the_years_of_the_sample(rows: list[dict[str, str]]) -> None:
    assert [row["id"] for row in rows if not FIRST_DAY <= _day(row) <= LAST_DAY] == []


def test_rows_are_sorted_by_date_then_id(rows: list[dict[str, str]]) -> None:
    keys = [(_day(row), row["id"]) for row in rows]
    assert keys == sorted(keys)


def test_published_at_is_a_bare_date_or_carries_a_utc_offset(rows: list[dict[str, str]]) -> None:
    for row in rows:
        value = row["published_at"]
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            continue
        assert dt.datetime.fromisoformat(value).utcoffset() is not None, row["id"]


def test_symbols_are_of_the_five_and_not_before_their_filing(rows: list[dict[str, str]]) -> None:
    seen: set[str] = set()
    for row in rows:
        symbols = row["symbols"].split("|")
        assert set(symbols) <= SYMBOLS, row["id"]
        assert len(set(symbols)) == len(symbols), row["id"]
        assert all(_day(row) >= NOT_BEFORE.get(symbol, FIRST_DAY) for symbol in symbols), row["id"]
        seen.update(symbols)
    assert seen == SYMBOLS


def test_headlines_are_there_and_none_is_repeated(rows: list[dict[str, str]]) -> None:
    headlines = [row["headline"].strip() for row in rows]
    assert all(headlines)
    assert len({headline.casefold() for headline in headlines}) == len(headlines)


def test_no_text_mentions_a_price_move(rows: list[dict[str, str]]) -> None:
    assert [row["id"] for row in rows if PRICE_MOVE.search(f"{row['headline']}. {row['body']}")] == []


@pytest.mark.parametrize(
    "text",
    [
        "Apple shares rose after the report",
        "IBM stock fell",
        "The stock price doubled",
        "Google shares up on results",
        "Facebook plunges in early trading",
        "Tech stocks rally",
    ],
)
def test_the_price_move_check_finds_what_it_is_for(text: str) -> None:
    assert PRICE_MOVE.search(text)
